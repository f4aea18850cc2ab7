"""The file of a killed stage is whole or not there, and a full disk leaves the one before."""

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from trainables.resume_file import read_state, write_state

STATE = {"epoch": 3, "weights": torch.arange(6.0)}


def refuse(error: Exception) -> Callable[..., None]:
    def call(*_: Any) -> None:
        raise error

    return call


def test_a_state_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_state(tmp_path / "resume.pt", STATE)
    state = read_state(tmp_path / "resume.pt")
    assert state is not None
    assert state["epoch"] == 3
    assert torch.equal(state["weights"], STATE["weights"])


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_a_torn_file_is_no_state(tmp_path: Path, share: float) -> None:
    path = tmp_path / "resume.pt"
    write_state(path, STATE)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    assert read_state(path) is None


def test_where_there_is_no_file_there_is_no_state(tmp_path: Path) -> None:
    assert read_state(tmp_path / "resume.pt") is None


@pytest.mark.parametrize(
    ("function", "error"),
    [
        ("trainables.results.os.fsync", OSError(errno.ENOSPC, "No space left on device")),
        ("trainables.resume_file.torch.save", OSError(errno.ENOSPC, "No space left on device")),
        ("trainables.resume_file.torch.save", RuntimeError("unexpected pos 64 vs 0")),  # as torch's writer puts it
    ],
)
def test_a_full_disk_is_named_and_leaves_the_state_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str, error: Exception
) -> None:
    path = tmp_path / "resume.pt"
    write_state(path, STATE)
    monkeypatch.setattr(function, refuse(error))
    with pytest.raises(OSError, match=r"resume.pt cannot be written \(.*; \d+ MiB are free there\); make room"):
        write_state(path, {"epoch": 4})
    monkeypatch.undo()
    state = read_state(path)
    assert state is not None
    assert state["epoch"] == 3
    assert [each.name for each in tmp_path.iterdir()] == ["resume.pt"]

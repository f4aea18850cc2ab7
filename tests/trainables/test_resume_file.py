"""The file of a killed stage is whole or not there, and a full disk leaves the one before."""

import errno
from pathlib import Path
from typing import Any

import pytest
import torch

from trainables.resume_file import read_state, write_state

STATE = {"epoch": 3, "weights": torch.arange(6.0)}


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


@pytest.mark.parametrize("function", ["trainables.results.atomic.os.fsync", "trainables.resume_file.torch.save"])
def test_a_full_disk_is_named_and_leaves_the_state_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    path = tmp_path / "resume.pt"
    write_state(path, STATE)

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(function, full)
        with pytest.raises(OSError, match=r"resume.pt cannot be written \(.*No space left.*; \d+ MiB are free there\)"):
            write_state(path, {"epoch": 4})
    state = read_state(path)
    assert state is not None
    assert state["epoch"] == 3
    assert [each.name for each in tmp_path.iterdir()] == ["resume.pt"]

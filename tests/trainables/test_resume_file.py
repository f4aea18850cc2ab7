"""The file of a killed stage is whole or not there, and a full disk leaves the one before."""

import errno
import pickle
from pathlib import Path
from types import SimpleNamespace
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


class Bomb:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_what_is_pickled_in_a_state_is_never_run_and_is_no_state(tmp_path: Path) -> None:
    path, exploded = tmp_path / "resume.pt", tmp_path / "exploded"
    write_state(path, STATE | {"bomb": Bomb(exploded)})
    assert read_state(path) is None
    assert not exploded.exists()
    torch.load(path, weights_only=False)
    assert exploded.exists()  # where it is run


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


def torn_by_a_full_disk(*_: Any) -> None:
    """As torch does it: the archive's end raises anew over the error of the disk."""
    try:
        raise OSError(errno.ENOSPC, "No space left on device")
    finally:
        raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 704 vs 598")


def assert_full_disk_is_told(path: Path, state: dict[str, Any]) -> None:
    with pytest.raises(OSError, match=r"resume.pt cannot be written \(.*No space left.*; 0 MiB are free") as caught:
        write_state(path, state)
    handed_on = pickle.loads(pickle.dumps(caught.value))  # as Ray does, which keeps nothing that stands behind it
    assert handed_on.errno == errno.ENOSPC


def test_torchs_own_error_on_a_full_disk_is_told_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainables.resume_file.torch.save", torn_by_a_full_disk)
    monkeypatch.setattr("trainables.resume_file.shutil.disk_usage", lambda _: SimpleNamespace(free=0))
    assert_full_disk_is_told(tmp_path / "resume.pt", STATE)


def test_a_disk_that_is_full_keeps_the_state_before_and_nothing_else(small_disk: Path) -> None:
    path = small_disk / "resume.pt"
    write_state(path, STATE)
    (small_disk / "other").write_bytes(bytes(600_000))
    assert_full_disk_is_told(path, {"epoch": 4, "weights": torch.zeros(200_000)})
    state = read_state(path)
    assert state is not None
    assert state["epoch"] == 3
    assert sorted(each.name for each in small_disk.iterdir()) == ["other", "resume.pt"]


def test_an_error_of_torch_that_is_none_of_the_disk_stays_what_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("no such storage")

    monkeypatch.setattr("trainables.resume_file.torch.save", broken)
    with pytest.raises(RuntimeError, match="no such storage"):
        write_state(tmp_path / "resume.pt", STATE)

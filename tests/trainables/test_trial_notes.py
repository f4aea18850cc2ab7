"""What a worker noted is there after its death, whatever killed it."""

import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from trainables import trial_notes
from trainables.trial_notes import Notes, NoteTaker, read_notes

WORKER = """
import os, pathlib, signal, sys
from trainables.trial_notes import NoteTaker
notes = NoteTaker(pathlib.Path(sys.argv[1]))
def segment(): os.kill(os.getpid(), int(sys.argv[2]))
with notes.of_crashes():
    notes.begun("first")
    notes.ended("first")
    notes.begun("second")
    segment()
"""


@pytest.mark.parametrize(
    ("number", "told"), [(signal.SIGKILL, ""), (signal.SIGSEGV, "Segmentation fault"), (signal.SIGABRT, "Aborted")]
)
def test_the_cell_that_ran_is_told_after_any_death_and_the_stack_where_python_could_write_it(
    tmp_path: Path, number: signal.Signals, told: str
) -> None:
    path = tmp_path / "notes"
    worker = subprocess.Popen([sys.executable, "-c", WORKER, str(path), str(int(number))], stderr=subprocess.PIPE)
    worker.communicate()
    assert worker.returncode == -number
    notes = read_notes(path)
    assert (notes.running, notes.ended, notes.pid) == ("second", {"first"}, worker.pid)
    assert notes.host == socket.gethostname()
    assert told in notes.crash
    assert ("in segment" in notes.crash) == bool(told)


def test_nothing_runs_between_cells_nor_before_the_first(tmp_path: Path) -> None:
    assert read_notes(tmp_path / "none") == Notes()
    taker = NoteTaker(tmp_path / "notes")
    assert not read_notes(tmp_path / "notes").running
    taker.begun("a")
    taker.ended("a")
    assert not read_notes(tmp_path / "notes").running


def test_a_kill_by_this_machines_kernel_is_told_by_its_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial_notes, "kernel_kills", lambda: 3)
    NoteTaker(tmp_path / "notes")
    assert not read_notes(tmp_path / "notes").is_kernel_out_of_memory
    monkeypatch.setattr(trial_notes, "kernel_kills", lambda: 4)
    assert read_notes(tmp_path / "notes").is_kernel_out_of_memory
    monkeypatch.setattr("socket.gethostname", lambda: "elsewhere")
    assert not read_notes(tmp_path / "notes").is_kernel_out_of_memory

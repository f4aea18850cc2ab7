"""A file system that works passes ``python -m tests.chaos.file_system``; one that loses files, or whose locks hold on
each node alone, does not. The nodes are shells on this machine.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos import remote
from tests.chaos.remote import Node, NodeError, Role

ROOT = Path(__file__).parents[2]
AS_SSH = """bash -c 'setsid bash -c "$0" & wait'"""  # what runs there does not end with who started it
LOCKS_OF_ONE_NODE = "import fcntl\nfcntl.flock = lambda *_: None\n"  # what nobody else hears of


@contextlib.contextmanager
def examining(folder: Path, *nodes: str, seconds: int = 3, cells: int = 20) -> Iterator[subprocess.Popen[str]]:
    """Run the program beside the block."""
    command = [sys.executable, "-u", "-m", "tests.chaos.file_system", str(folder), f"--cells={cells}"]
    command += [f"--seconds={seconds}", *(f"--node={node}" for node in nodes or ("bash -c", "bash -c"))]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT)
    with process:
        try:
            yield process
        finally:
            process.terminate()


@pytest.mark.slow
def test_two_nodes_with_one_working_folder_find_nothing_wrong(tmp_path: Path) -> None:
    with examining(tmp_path / "shared") as process:
        said = process.communicate()[0]
    assert process.returncode == 0, said
    assert "both are one machine" in said
    assert re.search(r"the other node was refused, and had it within \d+\.\d s", said)
    assert "20 cells" in said
    assert "880 rows were read as they were written" in said  # 20 cells of 1 + 5 + 5 rows, twice on each node


@pytest.mark.slow
def test_files_that_vanish_while_it_runs_are_told(tmp_path: Path) -> None:
    cells = tmp_path / "shared" / "results" / "cells"
    with examining(tmp_path / "shared") as process:
        while process.poll() is None:
            time.sleep(0.3)
            for path in cells.glob("[!.]*"):
                path.unlink(missing_ok=True)
        said = process.communicate()[0]
    assert process.returncode == 1, said
    assert re.search("WRONG look on node .*: a reader was misled: .*finished cells are missing", said)
    assert re.search("WRONG write on node .* is finished, was said not to be", said)
    assert re.search("WRONG compare on node .* cells are missing", said)


@pytest.mark.slow
def test_locks_that_hold_on_each_node_alone_are_told(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(LOCKS_OF_ONE_NODE)
    node = f"env PYTHONPATH={tmp_path} bash -c"
    with examining(tmp_path / "shared", node, node, seconds=1, cells=4) as process:
        said = process.communicate()[0]
    assert process.returncode == 1, said
    assert "WRONG the lock: both nodes held it at once" in said


def test_what_runs_on_the_nodes_ends_with_the_program(tmp_path: Path) -> None:
    with examining(tmp_path / "shared", AS_SSH, AS_SSH, seconds=300) as process:
        assert process.stdout
        assert any(line.startswith("lock:") for line in process.stdout)
        until = time.monotonic() + 60
        while len(_processes(tmp_path)) < 13:  # the program, three roles on each node and who started each
            assert time.monotonic() < until
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        assert process.returncode
    assert not _processes(tmp_path)


def _processes(folder: Path) -> list[str]:
    """The commands that name a folder."""
    found = []
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            found.append(Path("/proc", pid, "cmdline").read_text())
    return [command for command in found if str(folder) in command]


@pytest.mark.parametrize(
    ("node", "reason"),
    [
        ("no-such-program", "node 'no-such-program' cannot be reached: .*No such file"),
        ("bash -c 'echo no route to host; exit 255'", "ended with exit code 255: no route to host"),
    ],
)
def test_a_node_that_cannot_be_reached_is_told(tmp_path: Path, node: str, reason: str) -> None:
    with examining(tmp_path / "shared", "bash -c", node) as process:
        said = process.communicate()[0]
    assert process.returncode == 2
    assert re.search(reason, said)


def test_a_node_that_says_nothing_is_not_waited_for_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "END_SECONDS", 0.2)
    silent = Role(Node(0, "bash -c 'sleep 600'", sys.executable), "meet", tmp_path, 0, 2, 1)
    try:
        with pytest.raises(NodeError, match="said nothing of 'met' for 0 s"):
            silent.hear("met", seconds=0.2)
    finally:
        silent.close()


def test_a_folder_that_holds_something_is_refused(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    with examining(tmp_path) as process:
        said = process.communicate()[0]
    assert process.returncode == 2
    assert f"{tmp_path} is not empty" in said

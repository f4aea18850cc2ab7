"""What a worker notes while it runs a trial's cells, so that its death tells which of them was running.

In: a file that worker and driver both see. Out: who the worker is, which cells have begun and ended, and where it
crashed. Each line is appended and the file closed again: that survives a SIGKILL of the worker, and on NFS the loss of
its node. Nothing is flushed to disk, since only a running driver reads it.
"""

import contextlib
import faulthandler
import os
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trainables.results import ask_server


class NoteTaker:
    """A worker's notes on one trial. Raises OSError where the disk is full."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._add(f"worker {os.getpid()} {kernel_kills()} {socket.gethostname()}")

    def begun(self, cell_id: str) -> None:
        """Note that a cell begins."""
        self._add(f"begun {cell_id}")

    def ended(self, cell_id: str) -> None:
        """Note that a cell is committed, or its failure recorded."""
        self._add(f"ended {cell_id}")

    @contextlib.contextmanager
    def of_crashes(self) -> Iterator[None]:
        """Have Python write its stack here when a signal such as SIGSEGV or SIGABRT kills the worker."""
        was_on = faulthandler.is_enabled()
        with self._path.open("a") as file:
            faulthandler.enable(file, all_threads=False)
            try:
                yield
            finally:
                faulthandler.disable()
                if was_on and sys.__stderr__ is not None:
                    faulthandler.enable(sys.__stderr__, all_threads=False)

    def _add(self, line: str) -> None:
        with self._path.open("a") as file:
            file.write(line + "\n")


@dataclass(frozen=True)
class Notes:
    """What a worker noted: ``running`` is the cell that had begun and not ended, ``crash`` the stack of its end."""

    pid: int = 0
    kernel_kills: int = 0
    host: str = ""
    running: str = ""
    ended: frozenset[str] = frozenset()
    crash: str = ""

    @property
    def is_kernel_out_of_memory(self) -> bool:
        """Whether the kernel of this machine has killed for want of memory since the trial began here."""
        return self.host == socket.gethostname() and kernel_kills() > self.kernel_kills


def read_notes(path: Path) -> Notes:
    """Read a trial's notes; without any, its worker never came to a cell."""
    ask_server(path.parent)  # the worker's node made the file
    try:
        text = path.read_text(errors="replace")
    except OSError:
        return Notes()
    written, mark, crash = text.partition("Fatal Python error")
    pid, kills, host, running, ended = 0, 0, "", "", set()
    for words in map(str.split, written.splitlines()):
        match words:
            case ["worker", number, count, name] if number.isdigit() and count.isdigit():
                pid, kills, host = int(number), int(count), name
            case ["begun", cell_id]:
                running = cell_id
            case ["ended", cell_id]:
                ended.add(cell_id)
    return Notes(pid, kills, host, "" if running in ended else running, frozenset(ended), mark + crash)


def kernel_kills() -> int:
    """Return how many processes this machine's kernel has killed for want of memory since it started."""
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/vmstat").read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0

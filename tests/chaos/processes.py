"""Who can be killed: the processes below a driver or a cluster, by what they do.

In: a process id. Out: ids and kinds of its descendants, told by the titles that Ray gives them; or a command, and its
process, which does not outlive the test.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

KINDS = {  # part of a process's title -> kind, the first that fits
    "RayTrainWorker": "train worker",
    "TrainController": "train controller",
    "ray::train_stage": "stage task",
    "finetune_trial": "trial",
    "ray::ImplicitFunc": "trial",
    "ray::IDLE": "idle worker",
}


@contextlib.contextmanager
def running(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Iterator["subprocess.Popen[str]"]:
    """Start a program whose errors can be read; however the test ends, kill what is left of it and close its pipe."""
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
    ) as process:
        try:
            yield process
        finally:
            for pid in [process.pid, *descendants(process.pid)] if process.poll() is None else ():
                kill(pid)


def title(pid: int) -> str:
    """A process's title, of its program the name alone; nothing if it has ended."""
    with contextlib.suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
        program = words[0].rpartition("/")[2] if words[0].startswith("/") else words[0]
        return " ".join([program, *words[1:]]).strip()
    return ""


def descendants(pid: int) -> Iterator[int]:
    """The processes below one, at this moment."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(folder.name))
    found = [pid]
    while found:
        for child in children.get(found.pop(), []):
            found.append(child)
            yield child


def victims(ancestor: int) -> dict[str, list[int]]:
    """The workers below a process by kind."""
    found: dict[str, list[int]] = {}
    for pid in descendants(ancestor):
        name = title(pid)
        kind = next((kind for part, kind in KINDS.items() if part in name), None)
        if kind:
            found.setdefault(kind, []).append(pid)
    return found


def kill(pid: int) -> bool:
    """Kill a process at once; whether it was there."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def is_alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    with contextlib.suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


def seconds_until_gone(pids: Collection[int], at_most: float) -> float:
    """Wait until none of the processes is alive; infinite if some still are after ``at_most`` seconds."""
    started = time.monotonic()
    while any(is_alive(pid) for pid in pids):
        if time.monotonic() - started > at_most:
            return float("inf")
        time.sleep(0.05)
    return time.monotonic() - started

"""A results folder as a whole: created, checked, and held by one run at a time.

In: a path. Out: the folder's absolute path, or a ResultsError that says what was expected and found. A run holds a lock
on ``.lock`` that the operating system releases when the run dies, on whatever node the file system tells others.
"""

import contextlib
import errno
import fcntl
import json
import os
import re
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from trainables.results.atomic import write_text
from trainables.results.contract import MARKER, SCHEMA_VERSION, ResultsError
from trainables.results.server import ask_server, is_there

LOCK = ".lock"
LOCK_SECONDS = 1.0  # a status that asks who holds the folder holds it itself for a moment
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP)


def open_results(root: Path) -> Path:
    """Create the results folder, or check an existing one, and return its absolute path.

    Raises ResultsError if it cannot be written, has another schema version, or holds files that are not ours.
    """
    root = on_disk(root)
    check_writable(root, "results folder", "--results")
    if not is_there(root / MARKER):
        if any(root.iterdir()):
            raise ResultsError(
                f"{root} is not empty and holds no {MARKER}; expected an empty folder or one of an earlier run: "
                "choose another with --results"
            )
        write_text(root / MARKER, json.dumps({"schema_version": SCHEMA_VERSION}) + "\n")
    return check_results(root)


def on_disk(root: Path) -> Path:
    """Return the absolute path of a results folder that may not be there yet; raise ResultsError for a URI.

    A path has lost one of its slashes, and would be a folder named ``s3:``.
    """
    if uri := re.fullmatch(r"([a-z][a-z0-9+.-]+):/+(.*)", str(root)):
        scheme, rest = uri.groups()
        where = f"{scheme}://{'/' * (scheme == 'file')}{rest}"
        raise ResultsError(
            f"{where} is a URI, expected a results folder on a disk or NFS: a run keeps a copy there with "
            f"--mirror {where}, and python -m sweep.mirror {where} results/NAME brings one back to be read"
        )
    return Path(root).absolute()


def check_writable(folder: Path, what: str, option: str) -> None:
    """Create a folder if it is not there, and raise ResultsError if nothing can be written to it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise _unwritable(folder, what, option, error.strerror) from error


def check_place(folder: Path, what: str, option: str) -> None:
    """Raise what ``check_writable`` would where a file is in the way of a folder, and create nothing."""
    there = next(each for each in (folder, *folder.parents) if each.exists())
    if not there.is_dir():
        raise _unwritable(folder, what, option, os.strerror(errno.ENOTDIR))


def _unwritable(folder: Path, what: str, option: str, reason: str | None) -> ResultsError:
    found = "a file of that name is there" if folder.is_file() else reason
    return ResultsError(f"{what} {folder} cannot be written ({found}); choose another with {option}")


def check_results(root: Path) -> Path:
    """Return the absolute path of an existing results folder of this schema version, or raise ResultsError."""
    root = on_disk(root)
    marker = root / MARKER
    if not is_there(marker):
        raise ResultsError(
            f"no results in {root}: expected a folder with {MARKER}; run python -m sweep.data_efficiency"
        )
    try:
        found = json.loads(marker.read_text())["schema_version"]
    except (ValueError, KeyError, TypeError) as error:
        raise ResultsError(f"{marker} is damaged: expected a JSON object with schema_version ({error!r})") from error
    if found != SCHEMA_VERSION:
        raise ResultsError(
            f"{root} has results schema version {found}, this program reads and writes version {SCHEMA_VERSION}: "
            "use another --results folder, or the program version that wrote it"
        )
    return root


@contextlib.contextmanager
def exclusive(root: Path) -> Iterator[None]:
    """Hold the results folder for one run; raise ResultsError if another run holds it."""
    busy = f"another run is writing to {root}; wait for it, or choose another --results"
    with held(root / LOCK, busy, LOCK_SECONDS):
        yield


@contextlib.contextmanager
def held(path: Path, busy: str, seconds: float = 0.0) -> Iterator[None]:
    """Hold a lock file, trying for some seconds; raise ResultsError with the message ``busy`` if it stays held."""
    deadline = time.monotonic() + seconds
    with path.open("w") as lock:
        while not _locked(lock, path):
            if time.monotonic() >= deadline:
                raise ResultsError(busy)
            time.sleep(0.02)
        yield


def try_lock(path: Path) -> IO[str] | None:
    """Hold a lock file until what is returned is closed; None where another process holds it."""
    lock = path.open("w")
    try:
        if _locked(lock, path):
            return lock
    except ResultsError:
        lock.close()
        raise
    lock.close()
    return None


def _locked(lock: IO[str], path: Path) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        raise ResultsError(
            f"the file system of {path} has no locks ({error.strerror}), which keep a second run away; mount it with "
            "them (Lustre: -o flock; NFS: without nolock), or choose another --results (compute.encoders)"
        ) from error
    return True


def is_held(root: Path) -> bool:
    """Return whether a run holds the results folder now; nothing is written, so that others' folders can be asked."""
    ask_server(root)  # whose lock file another node may just have made
    try:
        with (root / LOCK).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError as error:
        if error.errno not in (errno.ENOENT, *NO_LOCKS):
            raise
        return False
    return False

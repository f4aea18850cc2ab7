"""Files that are there whole or not at all, whenever their writer is killed.

In: a path and what to write. Out: the file, flushed to disk under a temporary name and then renamed. The writer holds a
lock on its temporary file; a file that nobody holds is of a writer that was killed, and ``remove_abandoned`` takes it
away. Another machine's lock may not be seen from here, so its files, which are named after it, are taken away only
when they are a day old. Where the file system has no locks, such files stay.
"""

import contextlib
import errno
import fcntl
import os
import re
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from trainables.results.server import GONE

PREFIX = ".tmp-"
NUM_TRIES = 100  # at a new temporary file that nobody takes for abandoned
STRANGE_SECONDS = 86_400  # after which another machine's temporary file is taken for abandoned


def write_text(path: Path, text: str) -> None:
    """Write a small text file atomically, creating its folder."""
    with replacing(path) as temporary:
        temporary.write_text(text)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success flush it to disk and rename it, on error remove it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = _held_file(path.parent)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    finally:
        os.close(handle)


def remove_abandoned(folder: Path) -> int:
    """Remove the temporary files of killed writers in a folder and those below it; return how many there were."""
    found = [Path(place, name) for place, _, names in os.walk(folder) for name in names if name.startswith(PREFIX)]
    return sum(_remove_if_abandoned(path) for path in found)


def make_durable(folder: Path) -> None:
    """Flush a folder's names to disk, where the file system can: a rename is then not undone by a loss of power."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            os.fsync(handle)
    finally:
        os.close(handle)


def _held_file(folder: Path) -> tuple[int, Path]:
    """Create a temporary file and hold a lock on it until its handle is closed or this process dies."""
    for _ in range(NUM_TRIES):
        handle, name = tempfile.mkstemp(dir=folder, prefix=own_prefix())
        try:
            if _is_ours(handle, Path(name)):
                return handle, Path(name)
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # the file is removed by whoever holds it
        time.sleep(0.01)
    raise OSError(errno.EAGAIN, f"{NUM_TRIES} new files were taken for abandoned; are its locks in order?", str(folder))


def _is_ours(handle: int, path: Path) -> bool:
    """Lock a new temporary file; False where somebody takes it for abandoned, or has done so.

    Its name is what tells: NFS renames a file that is removed while this node has it open, and so leaves it its link.
    """
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:  # it will be removed
        return False
    except OSError:  # no locks here
        pass
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except OSError as error:
        if error.errno not in GONE:
            raise
        return False


def own_prefix() -> str:
    """Return how the names of this machine's temporary files begin."""
    return f"{PREFIX}{re.sub(r'[^A-Za-z0-9.]', '-', socket.gethostname())}_"  # so that no name begins another's


def _remove_if_abandoned(path: Path) -> bool:
    try:
        handle = os.open(path, os.O_RDWR)
    except OSError:  # renamed by its writer, or another user's
        return False
    try:
        is_strange = not path.name.startswith(own_prefix())
        if is_strange and time.time() - os.fstat(handle).st_mtime < STRANGE_SECONDS:
            return False
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
    except OSError:
        return False
    finally:
        os.close(handle)
    return True

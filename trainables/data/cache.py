"""Build a folder once per node, however many processes ask for it.

In: a cache root, a key and a function that fills an empty folder. Out: the finished folder. A build is made under a
file lock in a folder of its own and renamed when whole, so a killed build leaves nothing that looks finished. A folder
says in ``origin.json`` what it was made from, its time is that of its last use, and whoever has it open holds a lock of
its own on it, so that ``stores.py`` can tell what nobody needs.
"""

import contextlib
import fcntl
import json
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from trainables.data.dataset import DataError, Problem
from trainables.failures import FULL
from trainables.results import ask_server

BUILDING = ".building-"
IN_USE = ".in-use"
ORIGIN = "origin.json"

Opened = TypeVar("Opened")


def cache_root(configured: Path | None) -> Path:
    """Return the configured cache folder, or the user's (``XDG_CACHE_HOME`` or ``~/.cache``)."""
    if configured is not None:
        return Path(configured).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "labelcurve"


def open_built(
    root: Path, key: str, build: Callable[[Path], None], kind: Callable[[Path], Opened], sources: Sequence[Path] = ()
) -> Opened:
    """Return ``kind(built_once(...))``, whose folder is in use until that object is gone."""
    release = _hold(root / key)
    try:
        found = kind(built_once(root, key, build, sources))
    except BaseException:
        release()
        raise
    weakref.finalize(found, release)
    return found


def open_if_there(folder: Path, kind: Callable[[Path], Opened]) -> Opened | None:
    """Return ``kind(folder)`` of a finished folder, in use until that object is gone; None where it was removed."""
    release = _hold(folder)
    if not folder.is_dir():
        release()
        return None
    found = kind(folder)
    weakref.finalize(found, release)
    return found


def mark_used(folder: Path) -> None:
    """Note in a folder's time that it is used now; another user's, or one that is only read, stays as it is."""
    with contextlib.suppress(OSError):
        os.utime(folder)


def _hold(folder: Path) -> Callable[[], None]:
    """Keep a folder from being pruned; return what lets it go. Without locks or files of its own it is not kept."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        handle = _opened_lock(lock_of_use(folder))
    except OSError:
        return lambda: None
    with contextlib.suppress(OSError):
        fcntl.flock(handle, fcntl.LOCK_SH)
    return lambda: os.close(handle)


@contextlib.contextmanager
def locked(path: Path, how: int) -> Iterator[None]:
    """Hold a lock's file, another user's too. Raises OSError where it cannot be opened, or is held and ``how`` says so.

    It is created only where it is absent: in a sticky folder that all may write to Linux refuses O_CREAT for another
    user's file (``fs.protected_regular``).
    """
    handle = _opened_lock(path)
    try:
        fcntl.flock(handle, how)
        yield
    finally:
        os.close(handle)


def _opened_lock(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return os.open(path, os.O_CREAT | os.O_RDWR, 0o666)
    except OSError:  # another user's, which can be locked though it may only be read
        return os.open(path, os.O_RDONLY)


def lock_of_use(folder: Path) -> Path:
    """Return the file of the lock that is shared by all who have the folder open."""
    return folder.with_name(f"{folder.name}{IN_USE}")


def built_once(root: Path, key: str, build: Callable[[Path], None], sources: Sequence[Path] | None = None) -> Path:
    """Return ``root/key``, calling ``build`` on a fresh folder if it does not exist yet.

    ``sources``: folders and files without which it could not be built again, for who looks at the cache.
    """
    final = root / key
    if final.is_dir():
        mark_used(final)
        return final
    _check_writable(root)
    with locked(root / f"{key}.lock", fcntl.LOCK_EX):
        ask_server(root)  # another node may have built it meanwhile
        if final.is_dir():
            return final
        _remove_abandoned(root, key)
        building = Path(tempfile.mkdtemp(prefix=f"{key}{BUILDING}", dir=root))
        try:
            build(building)
            if sources is not None:
                paths = [str(path.absolute()) for path in sources]
                (building / ORIGIN).write_text(json.dumps({"sources": paths}) + "\n")
            building.chmod(0o755)  # other users of the node may read it
            building.rename(final)
        finally:
            shutil.rmtree(building, ignore_errors=True)
    return final


def _check_writable(root: Path) -> None:
    """Create the cache if it is absent. Raises DataError where it cannot be written; a full disk stays an OSError."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=root):
            pass
    except OSError as error:
        if error.errno in FULL:
            raise
        found = f"a cache of decoded data that cannot be written ({error.strerror})"
        remedy = "choose another with compute.cache=FOLDER, or XDG_CACHE_HOME"
        raise DataError(Problem(str(root), found, "a folder that this user may write", remedy)) from error


def _remove_abandoned(root: Path, held_key: str) -> None:
    """Remove what killed builds left, of whatever key: nobody holds the lock of such a key but perhaps we."""
    for abandoned in root.glob(f"*{BUILDING}*"):
        key = abandoned.name.partition(BUILDING)[0]
        if key == held_key:
            shutil.rmtree(abandoned, ignore_errors=True)
            continue
        with contextlib.suppress(OSError), locked(root / f"{key}.lock", fcntl.LOCK_EX | fcntl.LOCK_NB):
            shutil.rmtree(abandoned, ignore_errors=True)

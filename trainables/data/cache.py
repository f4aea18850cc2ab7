"""Build a folder once per node, however many processes ask for it.

In: a cache root, a key and a function that fills an empty folder. Out: the finished folder. A build is made under a
file lock in a folder of its own and renamed when whole, so a killed build leaves nothing that looks finished.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

BUILDING = ".building-"


def cache_root(configured: Path | None) -> Path:
    """Return the configured cache folder, or the user's (``XDG_CACHE_HOME`` or ``~/.cache``)."""
    if configured is not None:
        return Path(configured).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "labelcurve"


def built_once(root: Path, key: str, build: Callable[[Path], None]) -> Path:
    """Return ``root/key``, calling ``build`` on a fresh folder if it does not exist yet."""
    final = root / key
    if final.is_dir():
        return final
    root.mkdir(parents=True, exist_ok=True)
    with (root / f"{key}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if final.is_dir():
            return final
        _remove_abandoned(root, key)
        building = Path(tempfile.mkdtemp(prefix=f"{key}{BUILDING}", dir=root))
        try:
            build(building)
            building.chmod(0o755)  # other users of the node may read it
            building.rename(final)
        finally:
            shutil.rmtree(building, ignore_errors=True)
    return final


def _remove_abandoned(root: Path, held_key: str) -> None:
    """Remove what killed builds left, of whatever key: nobody holds the lock of such a key but perhaps we."""
    for abandoned in root.glob(f"*{BUILDING}*"):
        key = abandoned.name.partition(BUILDING)[0]
        with (root / f"{key}.lock").open("w") as lock, contextlib.suppress(BlockingIOError):
            if key != held_key:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(abandoned, ignore_errors=True)

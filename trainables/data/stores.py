"""Look at the cache of decoded data, and remove what nobody needs: python -m trainables.data.stores [--prune].

In: a cache folder. Out: each store of decoded data with its size, the days since it was last opened, what it was made
from and whether it is in use, and how many small folders of splits stand beside; ``--prune`` removes those whose source
is gone or that nobody has opened for ``--unused-days``, never one that a process has open. What is removed is decoded
anew when it is asked for. Exit codes: 0 done, 2 usage.
"""

import argparse
import contextlib
import fcntl
import json
import os
import re
import shutil
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from trainables.data.cache import BUILDING, ORIGIN, cache_root, lock_of_use, locked

SPLIT = r"split-[0-9a-f]+"  # holds no image: which volumes of a store make up the parts
STORE = r"(slices-[0-9a-f]+|natural|phantom)-[0-9a-f]+"
UNUSED_DAYS = 30.0
DAY_SECONDS = 24 * 60 * 60


@dataclass(frozen=True)
class CachedStore:
    """A finished folder of the cache. ``sources`` None: an earlier version wrote none down, or they cannot be read."""

    folder: Path
    num_bytes: int
    unused_days: float
    sources: tuple[Path, ...] | None

    @property
    def is_orphaned(self) -> bool:
        """Whether something is gone from which it was made."""
        return not all(path.exists() for path in self.sources or ())

    @property
    def is_in_use(self) -> bool:
        """Whether a process has it open, or may have: where it cannot be locked, nobody can tell."""
        with _locked(self.folder) as is_free:
            return not is_free


def list_stores(root: Path, names: str = STORE) -> list[CachedStore]:
    """Return the finished stores of a cache folder, or its splits, the largest first."""
    folders = [path for path in root.glob("*") if re.fullmatch(names, path.name) and path.is_dir()]
    return sorted(map(_look_at, folders), key=lambda each: (-each.num_bytes, each.folder))


def _look_at(folder: Path) -> CachedStore:
    num_bytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    unused_days = max(0.0, time.time() - folder.stat().st_mtime) / DAY_SECONDS
    sources = None
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # none, another's, or torn
        sources = tuple(map(Path, json.loads((folder / ORIGIN).read_text())["sources"]))
    return CachedStore(folder, num_bytes, unused_days, sources)


def prune(root: Path, unused_days: float) -> list[CachedStore]:
    """Remove what has lost its source or was not opened for so long, unless it is in use; return the stores of it."""
    for each in _unneeded(list_stores(root, SPLIT), unused_days):
        _remove(each.folder)
    wanted = _unneeded(list_stores(root), unused_days)
    return [each for each in wanted if _remove(each.folder)]


def _unneeded(stores: Sequence[CachedStore], unused_days: float) -> list[CachedStore]:
    return [each for each in stores if each.is_orphaned or each.unused_days >= unused_days]


def _remove(folder: Path) -> bool:
    """Rename a folder that nobody has open, so that it is gone at once, and delete it; another user's may stay."""
    doomed = folder.with_name(f"{folder.name}{BUILDING}{uuid.uuid4().hex}")  # the next build clears what is left of it
    with _locked(folder) as is_free:
        if not is_free or not os.access(folder, os.W_OK):
            return False
        try:
            folder.rename(doomed)
        except OSError:
            return False
        shutil.rmtree(doomed, ignore_errors=True)
    return True


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Hold off whoever would open the folder; yield whether nobody has it open, False where that cannot be told."""
    with contextlib.ExitStack() as held:
        is_free = False
        with contextlib.suppress(OSError):  # open elsewhere, or no file or lock for this user
            held.enter_context(locked(lock_of_use(folder), fcntl.LOCK_EX | fcntl.LOCK_NB))
            is_free = True
        yield is_free


def main(arguments: Sequence[str] | None = None) -> int:
    """List the stores of the cache, and remove those that nobody needs where asked to."""
    parser = argparse.ArgumentParser(prog="python -m trainables.data.stores", description="Look at decoded data.")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="as compute.cache (default: the user's)")
    parser.add_argument("--prune", action="store_true", help="remove what has no source, or was long not opened")
    parser.add_argument("--unused-days", type=float, default=UNUSED_DAYS, help="how long (default: %(default)g)")
    options = parser.parse_args(arguments)
    if options.unused_days < 1:
        parser.error(f"--unused-days: expected at least 1, found {options.unused_days:g}")
    root = cache_root(options.cache)
    removed = prune(root, options.unused_days) if options.prune else []
    kept = list_stores(root)
    for each in kept:
        print(f"{_line(each)}{', in use' if each.is_in_use else ''}")
    for each in removed:
        print(f"removed: {_line(each)}")
    splits = len(list_stores(root, SPLIT))
    there = f"{_number(kept, 'store')}, {_size(kept)}, {splits} {'split' if splits == 1 else 'splits'}"
    print(f"{root}: {there}; {len(removed)} removed, {_size(removed)}")
    return 0


def _line(store: CachedStore) -> str:
    names = ", ".join(map(str, store.sources or ())) or ("unknown files" if store.sources is None else "no files")
    gone = " (gone)" if store.is_orphaned else ""
    return f"{store.folder.name}  {_size([store])}, {store.unused_days:.0f} days unused, from {names}{gone}"


def _number(stores: Sequence[CachedStore], noun: str) -> str:
    return f"{len(stores)} {noun}{'' if len(stores) == 1 else 's'}"


def _size(stores: Sequence[CachedStore]) -> str:
    return f"{sum(each.num_bytes for each in stores) / 2**20:.1f} MiB"


if __name__ == "__main__":
    sys.exit(main())

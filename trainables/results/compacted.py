"""Compacted files, and how a reader is never misled while singles are replaced by them.

In: a results folder. Out: its files by table, the units that a compacted file holds, and ``undisturbed``, which repeats
a look at the folder that a compaction may have disturbed. The protocol itself: ``compaction``.
"""

import functools
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from trainables.results.contract import ResultsError
from trainables.results.server import GONE, ask_server

FINISHED_TABLES = ("cells", "curves", "cases")  # a finished cell has a file in each of them
COMPACTED_TABLES = (*FINISHED_TABLES, "examples")  # each of them one file per cell, named by the cell's id
PREFIX = "compacted-"
UNITS = b"labelcurve.units"  # metadata of a compacted file: JSON list of the units whose files it replaces
GENERATION = ".compaction"
NUM_LOOKS = 120

T = TypeVar("T")


class VanishedError(Exception):
    """A file that was listed is not there any more."""


def must_be_there(path: Path, error: Exception) -> None:
    """Raise VanishedError where an error of reading says that the file is gone.

    A link whose file is gone is not, however often it is looked at: whoever reads it tells of it as of a torn file.
    """
    if isinstance(error, OSError) and error.errno in GONE and not path.is_symlink():
        raise VanishedError(path) from error


@dataclass(frozen=True)
class TableFiles:
    """The Parquet files of a table: ``singles`` in order of name, ``compacted`` from the newest to the oldest."""

    singles: tuple[Path, ...]
    compacted: tuple[Path, ...]


def table_files(root: Path, table: str) -> TableFiles:
    """List a table's files; temporary and foreign ones are left out."""
    folder = root / table
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(".parquet") and name[0] != ".")
    except FileNotFoundError:
        names = []
    compacted = [name for name in names if is_compacted(table, name)]
    singles = [name for name in names if not is_compacted(table, name)]
    newest_first = sorted(compacted, key=lambda name: (compacted_number(name), name), reverse=True)
    return TableFiles(tuple(folder / name for name in singles), tuple(folder / name for name in newest_first))


def is_compacted(table: str, name: str) -> bool:
    """Return whether a file of this name holds the rows of many units."""
    return table in COMPACTED_TABLES and name.startswith(PREFIX)


def compacted_number(name: str) -> int:
    """Return the number of the compaction that wrote a file of this name; 0 for a foreign one."""
    digits = name.removeprefix(PREFIX).partition("-")[0]
    return int(digits) if digits.isdecimal() else 0


def units_in(path: Path) -> frozenset[str]:
    """Return the units that a compacted file holds; none where it is torn. Raises VanishedError."""
    try:
        found = path.stat()
        return _units_in(path, found.st_mtime_ns, found.st_size)
    except (pa.ArrowException, OSError, ValueError) as error:
        must_be_there(path, error)
        return frozenset()


@functools.lru_cache(maxsize=64)
def _units_in(path: Path, _mtime_ns: int, _size: int) -> frozenset[str]:
    return units_of(pq.read_metadata(path).metadata)


def units_of(metadata: dict[bytes, bytes] | None) -> frozenset[str]:
    """Return the units named in a compacted file's metadata. Raises ValueError where none are."""
    try:
        return frozenset(json.loads((metadata or {})[UNITS]))
    except KeyError as error:
        raise ValueError("no list of cells in it") from error


def generation(root: Path) -> str:
    """Return the number, as text, of the latest compaction that may have removed files. Raises VanishedError."""
    ask_server(root)
    try:
        return (root / GENERATION).read_text(errors="replace").strip()
    except FileNotFoundError:
        return ""
    except OSError as error:
        must_be_there(root / GENERATION, error)
        raise


def undisturbed(root: Path, look: Callable[[], T]) -> T:
    """Return what ``look`` finds at a time when no compaction began to remove files.

    Files are removed only after the generation was raised, and only files whose rows the compacted file of that
    generation holds. So while the generation stands still every unit lies in some file from the first listing to the
    last read. A file that vanishes nevertheless was listed by a node's outdated cache, was merged by the compaction
    that raised the generation before, or told of a failure that was cleared: look again.
    """
    for attempt in range(NUM_LOOKS):
        if attempt:
            time.sleep(min(0.01 * attempt, 1.0))  # beyond the minute for which NFS may keep a listing
        try:
            before = generation(root)
            found = look()
            if generation(root) == before:
                return found
        except VanishedError:
            continue
    raise ResultsError(f"files in {root} kept vanishing while they were read; is something else removing them?")

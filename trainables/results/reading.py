"""What a results folder holds: tables of rows, and which cells are finished.

In: a results folder, in use or not, with single files, compacted ones or both. Out: rows, each unit's once, and a
message for every file that had to be left out (``parts``).

A cell is finished when its files in ``cells``, ``curves`` and ``cases`` are all there: a cell that lost one of them is
run again. Its ``examples`` are pictures for a report, without which it is as finished.
"""

import functools
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from trainables.results.compacted import (
    COMPACTED_TABLES,
    FINISHED_TABLES,
    VanishedError,
    generation,
    table_files,
    undisturbed,
    units_in,
)
from trainables.results.contract import SCHEMAS
from trainables.results.parts import READ_ERRORS, Part, in_threads, is_whole, merged, read_part
from trainables.results.server import ask_server

LIST_SECONDS = 10.0  # that a listing of compacted files may be old, as one that a network file system keeps is anyway


def read_table(root: Path, table: str, columns: Sequence[str] | None = None) -> tuple[pa.Table, list[str]]:
    """Read one table, or some columns of it, and name the files that could not be read.

    Returns the rows of all readable files in order of unit, each unit's once, and a message for each file left out.
    """
    names = list(columns or SCHEMAS[table].names)
    read = sorted({*names, "cell_id"}) if table in COMPACTED_TABLES else names
    parts: dict[Path, Part] = {}

    def look() -> tuple[pa.Table, list[str]]:
        files = table_files(root, table)
        paths = [*files.singles, *files.compacted]
        new = [path for path in paths if path not in parts]
        parts.update(zip(new, in_threads(partial(read_part, table, read), new), strict=True))
        problems = [parts[path].problem for path in sorted(paths) if parts[path].problem]
        return merged(table, read, files, parts).select(names), problems

    return undisturbed(root, look)


def finished_cells(root: Path) -> set[str]:
    """Return the ids of all finished cells; a torn or foreign file does not count."""
    return undisturbed(root, lambda: _finished(root))


def _finished(root: Path) -> set[str]:
    finished: set[str] | None = None
    for table in FINISHED_TABLES:
        files = table_files(root, table)
        compacted = {unit for path in files.compacted for unit in units_in(path)}
        wanted = [
            path for path in files.singles if path.stem not in compacted and (finished is None or path.stem in finished)
        ]
        are_whole = in_threads(partial(is_whole, table), wanted)
        found = compacted | {path.stem for path, whole in zip(wanted, are_whole, strict=True) if whole}
        finished = found if finished is None else finished & found
    return finished or set()


def is_finished(root: Path, cell_id: str) -> bool:
    """Return whether everything of this cell exists and can be read."""

    def look() -> bool:
        return all(_holds(root, table, cell_id) for table in FINISHED_TABLES)

    if undisturbed(root, look):
        return True
    for table in FINISHED_TABLES:  # another node may have finished it since this one asked
        ask_server(root / table)
    return undisturbed(root, look)


def _holds(root: Path, table: str, cell_id: str) -> bool:
    try:
        if is_whole(table, root / table / f"{cell_id}.parquet"):
            return True
    except VanishedError:  # or never there
        pass
    latest = generation(root)
    if not latest:  # no compaction has removed a file yet: the cell's own would be there
        return False
    return any(
        cell_id in _units(path) for path in _compacted(root, table, latest, int(time.monotonic() // LIST_SECONDS))
    )


@functools.lru_cache(maxsize=16)
def _compacted(root: Path, table: str, _generation: str, _period: int) -> tuple[Path, ...]:
    """List compacted files once for all that ask in a generation and a while: the folder may be long."""
    return table_files(root, table).compacted


def _units(path: Path) -> frozenset[str]:
    try:
        return units_in(path)
    except VanishedError:  # replaced by a compaction that raised the generation: who asks looks again
        return frozenset()


def num_rows(path: Path) -> int:
    """Return how many rows a Parquet file has; 0 if it does not exist or is torn."""
    try:
        return int(pq.read_metadata(path).num_rows)
    except READ_ERRORS:
        return 0

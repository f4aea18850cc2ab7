"""Compaction: the single files of many finished cells become one file a table, beside a sweep and under any kill.

In: a results folder. Out: the same rows in fewer files. The protocol, and why no reader sees a cell twice or misses it:

1. One compaction at a time holds ``.compaction.lock``. A run's own lock is not asked for: a sweep may go on.
2. Only cells that are finished are merged, and only their ``cells``, ``curves``, ``cases`` and ``examples``. Files that
   are written again (failures, plans, the rows of stages) stay single. So does a file whose rows name another cell
   than its name.
3. For each table, the rows of its single files and of earlier compacted files are written to one new compacted file,
   atomically, with the list of cells that it holds in its metadata, and read back. Until now nothing is removed.
   Readers see cells in two files and take each once: from its single file first, then from the newest compacted one
   (``parts``).
4. The generation (the file ``.compaction``) is raised to this compaction's number.
5. The merged files are removed, those that have changed since they were read excepted.

A reader looks at the generation before its first listing and after its last read, and looks again if it was raised in
between (``compacted.undisturbed``). While it stands still, files are removed at most by the compaction of that
generation or an earlier one, whose new file was there before the reader began: every cell is in some file throughout.

A kill before step 4 leaves one file too many, and one after it leaves some single files too many; both are read
correctly, and the next compaction removes them. A worker that was left behind by a dead run may write a finished
cell's file again: it stands before the compacted rows, with the same numbers. Where a file system has no locks two
compactions could run at once; each removes only what its own file holds, so nothing is lost.
"""

import contextlib
import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq

from trainables.results.atomic import make_durable, remove_abandoned, replacing, write_text
from trainables.results.compacted import (
    COMPACTED_TABLES,
    GENERATION,
    PREFIX,
    UNITS,
    TableFiles,
    compacted_number,
    generation,
    table_files,
    undisturbed,
    units_of,
)
from trainables.results.contract import SCHEMAS
from trainables.results.folder import check_results, held
from trainables.results.parts import Part, in_threads, merged, read_part
from trainables.results.reading import finished_cells
from trainables.results.server import GONE, ask_server

LOCK = ".compaction.lock"


@dataclass(frozen=True)
class Compacted:
    """What became of one table; ``path`` is None where there was nothing to merge."""

    table: str
    path: Path | None
    num_files: int  # merged, and removed
    num_cells: int
    problems: tuple[str, ...]  # files that cannot be read, and stay


@dataclass(frozen=True)
class _Merge:
    """A table's files that are to become one, with their state before they were read."""

    table: str
    files: TableFiles
    states: dict[Path, tuple[int, int, int]]
    parts: dict[Path, Part]

    @property
    def sources(self) -> list[Path]:
        return [*self.files.singles, *self.files.compacted]


def compact(root: Path) -> list[Compacted]:
    """Merge the single files of all finished cells. Raises ResultsError where another compaction is at work."""
    root = check_results(root)
    with held(root / LOCK, f"another compaction is at work in {root}; wait for it"):
        remove_abandoned(root)
        finished = finished_cells(root)
        number = 1 + max(_last_generation(root), *(_last_number(root, table) for table in COMPACTED_TABLES))
        merges = [undisturbed(root, partial(_chosen, root, table, finished)) for table in COMPACTED_TABLES]
        with _written(root, merges, number) as written:
            write_text(root / GENERATION, f"{number}\n")
            make_durable(root)
        for merge in merges:
            if merge.table in written:
                _remove(merge, root / merge.table)
        return [_told(merge, written.get(merge.table)) for merge in merges]


def _last_generation(root: Path) -> int:
    digits = undisturbed(root, partial(generation, root))
    return int(digits) if digits.isdecimal() else 0  # damaged, or none yet: every file's number is exceeded too


def _last_number(root: Path, table: str) -> int:
    return max((compacted_number(path.name) for path in table_files(root, table).compacted), default=0)


def _chosen(root: Path, table: str, finished: set[str]) -> _Merge:
    """Read what can be merged."""
    listed = table_files(root, table)
    candidates = [*(path for path in listed.singles if path.stem in finished), *listed.compacted]
    states = {path: _state(path) for path in candidates}
    names = SCHEMAS[table].names
    parts = dict(zip(candidates, in_threads(partial(read_part, table, names), candidates), strict=True))
    singles = tuple(path for path in listed.singles if path in parts and _is_of_one(parts[path], path.stem))
    compacted = tuple(path for path in listed.compacted if parts[path].rows is not None)
    return _Merge(table, TableFiles(singles, compacted), states, parts)


def _state(path: Path) -> tuple[int, int, int]:
    """Return what changes when a file is written again; zeros where it is not there."""
    try:
        found = path.stat()
    except OSError as error:
        if error.errno not in GONE:
            raise
        return 0, 0, 0
    return found.st_ino, found.st_mtime_ns, found.st_size


def _is_of_one(part: Part, cell_id: str) -> bool:
    return part.rows is not None and set(part.rows["cell_id"].unique().to_pylist()) <= {cell_id}


@contextlib.contextmanager
def _written(root: Path, merges: list[_Merge], number: int) -> Iterator[dict[str, Path]]:
    """Write the compacted files of all tables; they are taken back where not all of them, or the body, succeed."""
    written: dict[str, Path] = {}
    try:
        for merge in merges:
            if merge.files.singles or len(merge.files.compacted) > 1:
                written[merge.table] = root / merge.table / f"{PREFIX}{number:06d}-{secrets.token_hex(4)}.parquet"
                _write(merge, written[merge.table])
        yield written
    except BaseException:
        for path in written.values():
            path.unlink(missing_ok=True)
        raise


def _write(merge: _Merge, path: Path) -> None:
    units = sorted({unit for source in merge.sources for unit in merge.parts[source].units})
    schema = SCHEMAS[merge.table].with_metadata({UNITS: json.dumps(units).encode()})
    rows = merged(merge.table, schema.names, merge.files, merge.parts).cast(schema)
    with replacing(path) as temporary:
        pq.write_table(rows, temporary)
    make_durable(path.parent)
    back = pq.read_table(path)
    if back.num_rows != rows.num_rows or units_of(back.schema.metadata) != frozenset(units):
        raise OSError(f"{path} does not read back as it was written; the single files stay")


def _remove(merge: _Merge, folder: Path) -> None:
    ask_server(folder)  # or a file that another node has written again, with equal rows, would look unchanged
    for path in merge.sources:
        if _state(path) == merge.states[path]:
            path.unlink(missing_ok=True)


def _told(merge: _Merge, path: Path | None) -> Compacted:
    units = {unit for source in merge.sources for unit in merge.parts[source].units}
    problems = tuple(part.problem for part in merge.parts.values() if part.problem)
    return Compacted(merge.table, path, len(merge.sources) if path else 0, len(units), problems)

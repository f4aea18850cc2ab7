"""One Parquet file of a table, and how the rows of many become one table.

In: paths. Out: rows, each unit's once. A unit's single file stands before a compacted one, a newer compacted file
before an older; of those only the readable ones count.
"""

import functools
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from trainables.results.compacted import COMPACTED_TABLES, TableFiles, is_compacted, must_be_there, units_of
from trainables.results.contract import SCHEMAS, required_columns

MAGIC = b"PAR1"
TRAILER_BYTES = 8  # the footer's length and the magic bytes
READ_BYTES = 16 * 1024  # at once: more than the footer of a single file
NUM_THREADS = 16  # storage over a network answers late, but many at once
NUM_TRIED = 32  # files that tell how late
LATE_SECONDS = 1e-3  # of waiting for a file
NAMES = {table: [name.encode() for name in required_columns(table)] for table in SCHEMAS}
READ_ERRORS = (pa.ArrowException, OSError, KeyError, ValueError)

T = TypeVar("T")


@dataclass(frozen=True)
class Part:
    """One file's rows and the units that it holds, or why it cannot be read."""

    rows: pa.Table | None
    units: frozenset[str] = frozenset()
    problem: str = ""


def read_part(table: str, names: Sequence[str], path: Path) -> Part:
    """Read some columns of a file, which must hold all that its table requires. Raises VanishedError.

    Columns that only files of newer programs have are null in older ones.
    """
    schema = chosen_columns(table, tuple(names))
    try:
        with pq.ParquetFile(path) as file:
            if lost := set(required_columns(table)) - set(file.schema.names):
                raise ValueError(f"no column {', '.join(sorted(lost))}")
            is_many = is_compacted(table, path.name)
            units = units_of(file.metadata.metadata) if is_many else frozenset({path.stem})
            rows = _with_later(file.read(columns=list(names), use_threads=is_many), schema)
            if not is_many and table in COMPACTED_TABLES and "cell_id" in names:
                _must_be_of(path.stem, rows["cell_id"])
            is_ours = rows.schema.equals(schema)
            return Part(rows.replace_schema_metadata() if is_ours else rows.cast(schema), units)
    except READ_ERRORS as error:
        must_be_there(path, error)
        return Part(None, problem=f"{path}: not a readable {table} file ({str(error).splitlines()[0]})")


def _with_later(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """Put columns in order; those that are not there are null."""
    for name in set(schema.names) - set(rows.column_names):
        rows = rows.append_column(schema.field(name), pa.nulls(rows.num_rows, schema.field(name).type))
    return rows.select(schema.names)


def _must_be_of(cell_id: str, found: pa.ChunkedArray) -> None:
    """Refuse a file that was put in the place of another cell's."""
    if others := set(found.unique().to_pylist()) - {cell_id}:
        raise ValueError(f"rows of cell {', '.join(sorted(map(str, others)))}, expected those of {cell_id}")


@functools.cache
def chosen_columns(table: str, names: tuple[str, ...]) -> pa.Schema:
    """Return the schema of some columns of a table."""
    return pa.schema([SCHEMAS[table].field(name) for name in names])


def merged(table: str, names: Sequence[str], files: TableFiles, parts: dict[Path, Part]) -> pa.Table:
    """Return the rows of all readable files, each unit's once, in order of unit."""
    singles = [parts[path] for path in files.singles if parts[path].rows is not None]
    seen = {unit for part in singles for unit in part.units}
    pieces = [part.rows for part in singles]
    for part in (parts[path] for path in files.compacted):
        if part.rows is not None:
            pieces.append(_without(part.rows, part.units & seen))
            seen |= part.units
    rows = (pa.concat_tables(pieces) if pieces else chosen_columns(table, tuple(names)).empty_table()).combine_chunks()
    is_ordered = len(pieces) < 2 or len(pieces) == len(singles)
    return rows if is_ordered else rows.sort_by("cell_id")  # stable: a cell's own rows keep their order


def _without(rows: pa.Table, units: frozenset[str]) -> pa.Table:
    if not units:
        return rows
    return rows.filter(pc.invert(pc.is_in(rows["cell_id"], pa.array(sorted(units), pa.string()))))


def is_whole(table: str, path: Path) -> bool:
    """Return whether a unit's single file is there and has its table's columns, from the end of the file alone.

    Parquet ends with its schema and statistics: a torn file has none, and those of a cell's rows name the cell. Where
    the end says less than that, the file is read. Raises VanishedError.
    """
    try:
        footer = _footer(path)
    except (OSError, ValueError) as error:
        must_be_there(path, error)
        return False
    if any(name not in footer for name in NAMES[table]):
        return False
    if path.stem.encode() in footer:
        return True
    rows = read_part(table, ["cell_id"], path).rows
    return rows is not None and (table != "cells" or rows.num_rows == 1)


def _footer(path: Path) -> bytes:
    """Return the end of a Parquet file, its footer included. Raises ValueError where it has none."""
    handle = os.open(path, os.O_RDONLY)
    try:
        size = os.fstat(handle).st_size
        end = os.pread(handle, READ_BYTES, max(0, size - READ_BYTES))
        if size < 2 * TRAILER_BYTES or end[-len(MAGIC) :] != MAGIC:
            raise ValueError("no Parquet file")
        length = int.from_bytes(end[-TRAILER_BYTES : -len(MAGIC)], "little") + TRAILER_BYTES
        if length > size:
            raise ValueError("a footer longer than its file")
        return end[-length:] if length <= len(end) else os.pread(handle, length, size - length)
    finally:
        os.close(handle)


def in_threads(function: Callable[[Path], T], paths: Sequence[Path]) -> list[T]:
    """Call a function on every path; on several at once where the first ones say that storage answers late.

    Where it does not, threads would only wait for one another.
    """
    first, rest = paths[:NUM_TRIED], paths[NUM_TRIED:]
    waited = time.perf_counter() - time.thread_time()
    found = [function(path) for path in first]
    waited = time.perf_counter() - time.thread_time() - waited
    if waited < LATE_SECONDS * len(first):
        return found + [function(path) for path in rest]
    size = -(-len(rest) // (4 * NUM_THREADS)) or 1
    chunks = [rest[start : start + size] for start in range(0, len(rest), size)]
    with ThreadPoolExecutor(NUM_THREADS) as pool:
        parts = pool.map(lambda chunk: [function(path) for path in chunk], chunks)
        return found + [each for part in parts for each in part]

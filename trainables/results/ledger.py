"""What units of work leave in the ledger: a finished cell's rows, a failure's reason, a plan's cells.

In: rows as plain dictionaries. Out: files of the contract. A cell's row in ``cells`` is written last, after its curves
and cases, so that a cell is finished or not there.
"""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from trainables.results.compacted import table_files
from trainables.results.contract import Row, write_rows
from trainables.results.reading import num_rows, read_table
from trainables.results.server import ask_server


def commit_cell(
    root: Path, cell: Row, curves: Sequence[Row], cases: Sequence[Row], examples: Sequence[Row] = ()
) -> None:
    """Write everything that a finished cell found; its row in ``cells`` comes last and marks it as finished."""
    cell_id = str(cell["cell_id"])
    write_rows(root, "curves", cell_id, curves)
    write_rows(root, "cases", cell_id, cases)
    if examples:
        write_rows(root, "examples", cell_id, examples)
    write_rows(root, "cells", cell_id, [cell])
    clear_failure(root, cell_id)


def record_example_slices(root: Path, rows: Sequence[Row]) -> None:
    """Store the test slices that examples are of, once for all cells of the same data; more slices replace fewer."""
    if not rows:
        return
    name = str(rows[0]["data_id"])
    if num_rows(root / "example_slices" / f"{name}.parquet") < len(rows):
        write_rows(root, "example_slices", name, rows)


def record_failure(root: Path, failure: Row) -> None:
    """Write down why a cell or stage failed; a later success removes it."""
    write_rows(root, "failures", str(failure["unit_id"]), [failure])


def failure_reason(root: Path, unit_id: str) -> str:
    """Return why a cell or stage failed last; nothing if it did not, or if its row cannot be read."""
    path = root / "failures" / f"{unit_id}.parquet"
    ask_server(path.parent)  # it may be another node's
    try:
        return str(pq.read_table(path, columns=["reason"]).column("reason")[0])
    except (pa.ArrowException, OSError, IndexError):
        return ""


def clear_failure(root: Path, unit_id: str) -> None:
    """Forget an earlier failure of a unit that has now succeeded."""
    (root / "failures" / f"{unit_id}.parquet").unlink(missing_ok=True)


def failed_units(root: Path) -> frozenset[str]:
    """Return the ids of cells and stages whose last try failed."""
    return frozenset(path.stem for path in table_files(root, "failures").singles)


def clear_failures_of_finished(root: Path, finished: Iterable[str]) -> None:
    """Forget the failures of cells that are finished: their worker may have been killed before it had cleared them."""
    for cell_id in failed_units(root).intersection(finished):
        clear_failure(root, cell_id)


def record_plan(root: Path, rows: Iterable[Row]) -> None:
    """Store the cells that an experiment asks for; the same plan is stored once and becomes the latest."""
    planned = list(rows)
    ids = sorted(str(row["cell_id"]) for row in planned)
    name = hashlib.sha256("\n".join(ids).encode()).hexdigest()[:16]
    table, _ = read_table(root, "planned", ["plan_number"])
    number = 1 + max(table.column("plan_number").to_pylist(), default=0)
    write_rows(root, "planned", name, [{**row, "plan_number": number} for row in planned])

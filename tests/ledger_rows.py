"""Rows of the results' tables that mean nothing, for tests of how they are kept.

In: a table and the values that matter. Out: a whole row, a finished cell in a results folder, or that cell as an older
program wrote it.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from trainables.results import SCHEMAS, commit_cell
from trainables.results.contract import LATER_COLUMNS

EXAMPLES = {
    pa.string(): "x",
    pa.binary(): b"x",
    pa.float64(): 0.5,
    pa.timestamp("us", tz="UTC"): datetime(2026, 1, 1, tzinfo=UTC),
}


def row(table: str, **values: Any) -> dict[str, Any]:
    """A valid row of a table."""
    return {field.name: EXAMPLES.get(field.type, 1) for field in SCHEMAS[table]} | values


def commit(root: Path, cell_id: str) -> None:
    """A finished cell with one point of a curve and one case."""
    curves, cases = ([row(table, cell_id=cell_id)] for table in ("curves", "cases"))
    commit_cell(root, row("cells", cell_id=cell_id), curves, cases)


def make_older(root: Path, pattern: str = "*") -> None:
    """Rewrite cells as programs wrote them before there were ``LATER_COLUMNS``."""
    for table, columns in LATER_COLUMNS.items():
        for path in (root / table).glob(f"{pattern}.parquet"):
            pq.write_table(pq.read_table(path).drop_columns(sorted(columns)), path)

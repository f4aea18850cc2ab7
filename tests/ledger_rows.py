"""Rows of the results' tables that mean nothing, for tests of how they are kept.

In: a table and the values that matter. Out: a whole row, or a finished cell in a results folder.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from trainables.results import SCHEMAS, commit_cell

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

"""What the tests of mirrors copy and compare: cells of a results folder, its tables as rows, its files."""

from pathlib import Path
from typing import Any

from tests.ledger_rows import row
from trainables.results import SCHEMAS, commit_cell, read_table, write_rows

CELLS = ("a", "b", "c")


def commit(root: Path, cell_id: str) -> None:
    curves = [row("curves", cell_id=cell_id, step=step) for step in (0, 20, 10)]
    examples = [row("examples", cell_id=cell_id, slice_index=index) for index in (4, 2)]
    commit_cell(root, row("cells", cell_id=cell_id), curves, [row("cases", cell_id=cell_id)], examples)


def epochs(root: Path, count: int, loss: float = 0.5) -> None:
    rows = [row("pretraining", stage_id="stage", epoch=epoch + 1, loss=loss) for epoch in range(count)]
    write_rows(root, "pretraining", "stage", rows)


def contents(root: Path) -> dict[str, list[dict[str, Any]]]:
    tables = {table: read_table(root, table) for table in SCHEMAS}
    assert not any(problems for _, problems in tables.values())
    return {table: content.to_pylist() for table, (content, _) in tables.items()}


def files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}

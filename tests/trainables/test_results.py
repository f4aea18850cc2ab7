"""The results contract: atomic, versioned, readable by others."""

import json
import os
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.ledger_rows import commit, row
from trainables.results import (
    SCHEMA_VERSION,
    SCHEMAS,
    ResultsError,
    check_results,
    exclusive,
    finished_cells,
    is_finished,
    open_results,
    read_table,
    record_failure,
    record_plan,
    write_rows,
)


@pytest.mark.parametrize("table", SCHEMAS)
def test_every_table_reads_back_what_was_written(tmp_path: Path, table: str) -> None:
    write_rows(tmp_path, table, "x", [row(table)])  # the cell that the row is of
    content, problems = read_table(tmp_path, table)
    assert content.to_pylist() == [row(table)]
    assert problems == []


def test_pandas_reads_a_table_in_one_line(tmp_path: Path) -> None:
    commit(tmp_path, "a")
    commit(tmp_path, "b")
    assert sorted(pd.read_parquet(tmp_path / "cells").cell_id) == ["a", "b"]


def test_a_row_with_a_missing_or_unknown_column_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="speed"):
        write_rows(tmp_path, "curves", "one", [row("curves", speed=1.0)])


def test_a_cell_counts_as_finished_only_once_all_its_tables_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = pq.write_table

    def full_disk(table: pa.Table, path: Path, **options: Any) -> None:
        if "cases" in str(path):
            raise OSError(28, "No space left on device")
        real(table, path, **options)

    monkeypatch.setattr(pq, "write_table", full_disk)
    with pytest.raises(OSError, match="No space left"):
        commit(tmp_path, "a")
    assert finished_cells(tmp_path) == set()
    assert not list(tmp_path.rglob(".tmp-*"))
    monkeypatch.undo()
    commit(tmp_path, "a")
    assert finished_cells(tmp_path) == {"a"}


def test_a_torn_file_is_reported_and_does_not_count_as_finished(tmp_path: Path) -> None:
    commit(tmp_path, "a")
    commit(tmp_path, "b")
    torn = tmp_path / "cells" / "b.parquet"
    os.truncate(torn, torn.stat().st_size // 2)
    assert finished_cells(tmp_path) == {"a"}
    assert is_finished(tmp_path, "a")
    assert not is_finished(tmp_path, "b")
    _, problems = read_table(tmp_path, "cells")
    assert len(problems) == 1
    assert str(torn) in problems[0]


def test_temporary_files_of_a_killed_writer_are_not_read(tmp_path: Path) -> None:
    commit(tmp_path, "a")
    (tmp_path / "cells" / ".tmp-123.parquet").write_bytes(b"PAR1")
    assert read_table(tmp_path, "cells")[1] == []


def test_a_success_clears_the_cells_earlier_failure(tmp_path: Path) -> None:
    record_failure(tmp_path, row("failures", unit_id="a"))
    commit(tmp_path, "a")
    assert read_table(tmp_path, "failures")[0].num_rows == 0


def test_the_same_plan_is_stored_once_and_becomes_the_latest(tmp_path: Path) -> None:
    small, large = [row("planned", cell_id="a")], [row("planned", cell_id=name) for name in "ab"]
    for plan in (small, large, small):
        record_plan(tmp_path, plan)
    numbers = {
        len(part): part.plan_number.iloc[0] for _, part in pd.read_parquet(tmp_path / "planned").groupby("plan_number")
    }
    assert len(list((tmp_path / "planned").iterdir())) == 2
    assert numbers[1] > numbers[2]


def test_a_new_folder_is_marked_and_opens_again(tmp_path: Path) -> None:
    root = open_results(tmp_path / "new" / "results")
    assert open_results(root) == root == check_results(root)


def test_a_folder_of_another_schema_version_is_refused(tmp_path: Path) -> None:
    (open_results(tmp_path / "r") / "labelcurve.json").write_text(json.dumps({"schema_version": 99}))
    with pytest.raises(
        ResultsError, match=rf"schema version 99, this program reads and writes version {SCHEMA_VERSION}"
    ):
        open_results(tmp_path / "r")


def test_a_folder_that_holds_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.docx").touch()
    with pytest.raises(ResultsError, match=r"is not empty and holds no labelcurve\.json"):
        open_results(tmp_path)


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ResultsError, match="cannot be written"):
        open_results(tmp_path / "file" / "results")


def test_a_folder_that_another_run_writes_to_is_refused(tmp_path: Path) -> None:
    with exclusive(tmp_path), pytest.raises(ResultsError, match="another run is writing to"), exclusive(tmp_path):
        pass
    with exclusive(tmp_path):
        pass

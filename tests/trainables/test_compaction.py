"""Compaction: no reader sees a cell twice or misses it, wherever it is killed; what is torn is named and run again."""

import itertools
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sweep.compact import main
from tests.ledger_rows import make_older, row
from trainables import results as contract
from trainables.results import (
    SCHEMAS,
    ResultsError,
    commit_cell,
    compact,
    compaction,
    finished_cells,
    is_finished,
    open_results,
    read_table,
    record_failure,
    write_rows,
)
from trainables.results.contract import LATER_COLUMNS

CELLS = ("a", "b", "c")
FINISHED = ("cells", "curves", "cases")  # in all of which a finished cell has a file
TABLES = (*FINISHED, "examples")


class Killed(BaseException):  # stands for SIGKILL, which is no error
    """The process is killed here."""


def commit(root: Path, cell_id: str, dice: float = 0.5) -> None:
    """A cell with three points of a curve, two cases and two examples."""
    curves = [row("curves", cell_id=cell_id, step=step) for step in (0, 20, 10)]
    cases = [row("cases", cell_id=cell_id, patient=name) for name in ("p2", "p1")]
    examples = [row("examples", cell_id=cell_id, slice_index=index) for index in (4, 2)]
    commit_cell(root, row("cells", cell_id=cell_id, test_dice=dice), curves, cases, examples)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with three finished cells, one failed and one whose worker died before its row was written."""
    root = open_results(tmp_path / "results")
    for cell_id in CELLS:
        commit(root, cell_id)
    write_rows(root, "curves", "half", [row("curves", cell_id="half")])
    write_rows(root, "pretraining", "stage", [row("pretraining", stage_id="stage")])
    record_failure(root, row("failures", unit_id="half"))
    return root


def contents(root: Path) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table; a curve's and a case's order belongs to it."""
    tables = {table: read_table(root, table) for table in SCHEMAS}
    assert not any(problems for _, problems in tables.values())
    return {table: content.to_pylist() for table, (content, _) in tables.items()}


def names(root: Path, table: str = "cells") -> list[str]:
    return sorted(path.name for path in (root / table).iterdir())


def test_compaction_changes_files_and_no_row_nor_their_order(root: Path) -> None:
    before = contents(root)
    compact(root)
    after = contents(root)
    assert len(names(root)) == len(names(root, "cases")) == 1
    assert len(names(root, "curves")) == 2  # the unfinished cell's curve stays
    assert {key: after[key] for key in after if key != "curves"} == {k: before[k] for k in before if k != "curves"}
    assert sorted(map(str, after["curves"])) == sorted(map(str, before["curves"]))
    assert [r["step"] for r in after["curves"] if r["cell_id"] == "b"] == [0, 20, 10]
    assert names(root, "pretraining") == ["stage.parquet"]
    assert names(root, "failures") == ["half.parquet"]


def test_cells_of_older_programs_are_finished_and_read_null_in_the_columns_they_lack(root: Path) -> None:
    whole = contents(root)
    make_older(root, "a")
    for _ in range(2):
        assert finished_cells(root) == set(CELLS)
        assert is_finished(root, "a")
        for table in ("cells", "cases"):
            blank = dict.fromkeys(LATER_COLUMNS[table])
            expected = [each | (blank if each["cell_id"] == "a" else {}) for each in whole[table]]
            assert contents(root)[table] == expected
        compact(root)  # and the same of old and new in one file
    assert read_table(root, "cases", ["hd95"])[0]["hd95"].to_pylist() == [None, None, 0.5, 0.5, 0.5, 0.5]


def test_an_older_file_that_lost_another_column_is_not_read(root: Path) -> None:
    make_older(root, "a")
    path = root / "cases" / "a.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["false_negatives"]), path)
    assert finished_cells(root) == {"b", "c"}
    assert "no column false_negatives" in read_table(root, "cases")[1][0]


def test_pandas_reads_a_compacted_table_in_one_line(root: Path) -> None:
    compact(root)
    assert sorted(pd.read_parquet(root / "cells").cell_id) == list(CELLS)


def test_a_compacted_folder_is_as_finished_as_before_and_takes_more_cells(root: Path) -> None:
    compact(root)
    commit(root, "d")
    assert finished_cells(root) == {*CELLS, "d"}
    assert is_finished(root, "a")
    assert is_finished(root, "d")
    assert not is_finished(root, "half")
    assert [r["cell_id"] for r in contents(root)["cells"]] == [*CELLS, "d"]


def test_a_second_compaction_takes_up_the_first_and_a_third_finds_nothing(root: Path) -> None:
    compact(root)
    commit(root, "aa")
    assert [table.num_cells for table in compact(root)] == [4, 4, 4, 4]
    assert names(root)[0].startswith("compacted-000002-")
    assert [r["cell_id"] for r in contents(root)["cells"]] == ["a", "aa", "b", "c"]
    before = names(root)
    assert [table.path for table in compact(root)] == [None] * 4
    assert names(root) == before


def test_cells_without_validation_have_no_curve_and_stay_finished(tmp_path: Path) -> None:
    root = open_results(tmp_path / "results")
    commit_cell(root, row("cells", cell_id="a"), [], [row("cases", cell_id="a")])
    compact(root)
    assert finished_cells(root) == {"a"}
    assert is_finished(root, "a")


def stops(monkeypatch: pytest.MonkeyPatch, last: int) -> None:
    """Kill this process's compaction before its step number ``last``; clearing up after an error is no part of it."""
    steps = itertools.count()

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any, **options: Any) -> Any:
            if next(steps) >= last:
                raise Killed
            return real(*arguments, **options)

        return step

    monkeypatch.setattr(compaction, "_write", counted(compaction._write))
    monkeypatch.setattr(compaction, "write_text", counted(compaction.write_text))
    monkeypatch.setattr(Path, "unlink", counted(Path.unlink))


@pytest.mark.parametrize(
    ("last", "is_second"), [*((last, False) for last in range(17)), *((last, True) for last in (0, 3, 4, 5, 10))]
)
def test_a_compaction_killed_before_any_of_its_steps_loses_and_doubles_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch, last: int, is_second: bool
) -> None:
    """Four files are written, the generation is raised, twelve or more files are removed: any may be the last step."""
    if is_second:
        compact(root)
        for cell_id in ("aa", "z"):
            commit(root, cell_id)
    before = contents(root)
    with monkeypatch.context() as patched:
        stops(patched, last)
        with pytest.raises(Killed):
            compact(root)
    assert contents(root)["cells"] == before["cells"]
    assert all(sorted(map(str, contents(root)[table])) == sorted(map(str, before[table])) for table in before)
    assert finished_cells(root) == {r["cell_id"] for r in before["cells"]}
    assert all(is_finished(root, r["cell_id"]) for r in before["cells"])
    compact(root)
    assert len(names(root)) == 1
    assert contents(root)["cells"] == before["cells"]


def test_a_reader_beside_compactions_and_new_cells_never_misses_nor_doubles_a_cell(tmp_path: Path) -> None:
    root, done, wrong = open_results(tmp_path / "results"), threading.Event(), list[str]()
    commit(root, "0000")

    def look() -> None:
        seen: set[str] = set()
        while not done.is_set():
            finished = finished_cells(root)
            ids = read_table(root, "cells", ["cell_id"])[0].column("cell_id").to_pylist()
            if len(ids) != len(set(ids)) or not seen <= finished <= set(ids):
                wrong.append(f"saw {sorted(ids)}, finished {sorted(finished)} after {sorted(seen)}")
            seen = finished

    reader = threading.Thread(target=look)
    reader.start()
    for number in range(1, 25):
        commit(root, f"{number:04d}")
        if number % 3 == 0:
            compact(root)
    done.set()
    reader.join()
    assert not wrong
    assert len(finished_cells(root)) == 25


def test_a_reader_whose_listing_is_outdated_looks_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The compaction happens between the reader's listing of the folder and its first file."""
    real, pending = contract.reading.table_files, ["once"]

    def late(folder: Path, table: str) -> Any:
        listed = real(folder, table)
        if pending:
            pending.clear()
            compact(root)
        return listed

    monkeypatch.setattr(contract.reading, "table_files", late)
    assert [r["cell_id"] for r in contents(root)["cells"]] == list(CELLS)
    assert finished_cells(root) == set(CELLS)


def test_a_reader_whose_listing_misses_both_files_looks_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A listing may leave out a file that appears and one that disappears while it is made."""
    real, pending = contract.reading.table_files, ["once"]

    def torn(folder: Path, table: str) -> Any:
        if pending:
            pending.clear()
            compact(root)
            return contract.compacted.TableFiles((), ())
        return real(folder, table)

    monkeypatch.setattr(contract.reading, "table_files", torn)
    assert [r["cell_id"] for r in contents(root)["cells"]] == list(CELLS)


def test_a_cell_that_is_written_again_while_it_is_compacted_is_not_removed(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = compaction.write_text

    def late(path: Path, text: str) -> None:
        commit(root, "b", dice=0.75)
        real(path, text)

    monkeypatch.setattr(compaction, "write_text", late)
    compact(root)
    assert "b.parquet" in names(root)
    assert [r["test_dice"] for r in contents(root)["cells"]] == [0.5, 0.75, 0.5]
    monkeypatch.undo()
    compact(root)
    assert len(names(root)) == 1
    assert [r["test_dice"] for r in contents(root)["cells"]] == [0.5, 0.75, 0.5]


@pytest.mark.parametrize("table", FINISHED)
def test_a_torn_compacted_file_is_named_and_its_cells_are_run_again(root: Path, table: str) -> None:
    compact(root)
    (torn,) = (path for path in (root / table).iterdir() if path.name.startswith("compacted-"))
    os.truncate(torn, torn.stat().st_size // 2)
    commit(root, "d")
    assert finished_cells(root) == {"d"}
    assert not is_finished(root, "a")
    content, (problem,) = read_table(root, table)
    assert {r["cell_id"] for r in content.to_pylist()} - {"half"} == {"d"}
    assert str(torn) in problem
    for cell_id in CELLS:
        commit(root, cell_id)
    told = {found.table: found.problems for found in compact(root)}
    assert [torn.name in problem for problem in told[table]] == [True]
    assert finished_cells(root) == {*CELLS, "d"}
    assert [r["cell_id"] for r in read_table(root, "cells")[0].to_pylist()] == [*CELLS, "d"]


@pytest.mark.parametrize("is_many", [False, True])
@pytest.mark.parametrize("table", FINISHED)
def test_a_link_to_nowhere_is_told_at_once_and_its_cells_are_run_again(
    root: Path, monkeypatch: pytest.MonkeyPatch, table: str, is_many: bool
) -> None:
    monkeypatch.setattr("trainables.results.compacted.NUM_LOOKS", 1)
    if is_many:
        compact(root)
    (link, *_) = sorted((root / table).glob("compacted-*" if is_many else "b.parquet"))
    link.unlink()
    link.symlink_to("/nowhere/gone.parquet")
    (problem,) = read_table(root, table)[1]
    assert str(link) in problem
    assert finished_cells(root) == (set() if is_many else {"a", "c"})
    told = {each.table: each.problems for each in compact(root)}
    assert is_many == any(link.name in problem for problem in told[table])  # a single of an unfinished cell is left
    assert link.is_symlink()
    commit(root, "b")
    assert is_finished(root, "b")


def test_examples_that_are_torn_or_were_never_there_leave_a_cell_finished(root: Path) -> None:
    commit_cell(root, row("cells", cell_id="old"), [], [])
    (root / "examples" / "a.parquet").write_bytes(b"PAR1 torn")
    for _ in range(2):
        assert finished_cells(root) == {*CELLS, "old"}
        assert all(is_finished(root, cell_id) for cell_id in ("a", "old"))
        assert {r["cell_id"] for r in read_table(root, "examples")[0].to_pylist()} == {"b", "c"}
        compact(root)
    (compacted,) = (root / "examples").glob("compacted-*")
    compacted.write_bytes(b"PAR1 torn")
    assert finished_cells(root) == {*CELLS, "old"}
    assert is_finished(root, "b")


def test_a_torn_single_file_does_not_hide_the_compacted_row(root: Path) -> None:
    compact(root)
    (root / "cells" / "b.parquet").write_bytes(b"PAR1 torn")
    assert [r["cell_id"] for r in read_table(root, "cells")[0].to_pylist()] == list(CELLS)
    assert finished_cells(root) == set(CELLS)
    compact(root)
    assert "b.parquet" in names(root)


@pytest.mark.parametrize("table", TABLES)
def test_a_foreign_file_with_the_name_of_a_compacted_one_is_named(root: Path, table: str) -> None:
    foreign = root / table / "compacted-mine.parquet"
    pd.DataFrame({"cell_id": ["z"]}).to_parquet(foreign)
    assert str(foreign) in read_table(root, table)[1][0]
    compact(root)
    assert foreign.exists()
    assert finished_cells(root) == set(CELLS)


def test_a_file_that_tells_of_another_cell_than_its_name_is_left_alone(root: Path) -> None:
    (root / "cells" / "zz-copy.parquet").write_bytes((root / "cells" / "a.parquet").read_bytes())
    compact(root)
    assert "zz-copy.parquet" in names(root)
    assert finished_cells(root) == set(CELLS)


def test_of_two_compactions_at_once_one_refuses(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with contract.folder.held(root / compaction.LOCK, "busy"):
        with pytest.raises(ResultsError, match="another compaction is at work in"):
            compact(root)
        assert main([str(root)]) == 1
    assert "another compaction is at work" in capsys.readouterr().err
    assert main([str(root)]) == 0


def test_a_damaged_generation_misleads_nobody_and_is_written_anew(root: Path) -> None:
    compact(root)
    commit(root, "d")
    (root / ".compaction").write_bytes(b"\xff?")
    assert finished_cells(root) == {*CELLS, "d"}
    compact(root)
    assert (root / ".compaction").read_text() == "2\n"
    assert finished_cells(root) == {*CELLS, "d"}


def test_a_disk_that_fills_up_leaves_the_single_files_and_no_new_ones(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before, real = {table: names(root, table) for table in TABLES}, compaction.pq.write_table

    def full(table: pa.Table, path: Path, **options: Any) -> None:
        if "cases" in str(path):
            raise OSError(28, "No space left on device")
        real(table, path, **options)

    monkeypatch.setattr(compaction.pq, "write_table", full)
    assert main([str(root)]) == 1
    assert "No space left on device" in capsys.readouterr().err
    assert {table: names(root, table) for table in TABLES} == before


def test_the_command_says_what_became_of_each_table(root: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sweep.compact", str(root)], capture_output=True, text=True, check=True
    )
    assert "cells: 3 files of 3 cells -> compacted-000001-" in done.stdout
    assert done.stdout.count("\n") == 4


def test_whether_one_cell_is_finished_is_told_without_listing_all_of_them(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed: list[str] = []
    real = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: listed.append(str(path)) or real(path))
    assert not is_finished(root, "strange")
    assert is_finished(root, "a")
    assert listed == []
    compact(root)
    listed.clear()
    assert is_finished(root, "a")
    assert not any(is_finished(root, f"strange-{number}") for number in range(50))
    assert len(listed) <= 2 * 3  # a table each, and once more where ten seconds pass meanwhile

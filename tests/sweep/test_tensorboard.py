"""Event files mirror the rows: read back with TensorBoard's own reader."""

import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from sweep.exit_codes import DONE, ERROR
from sweep.run import event_files
from sweep.tensorboard import FOLDER, EventFiles, main
from sweep.views.tracked_runs import cell_runs
from trainables.results import (
    SCHEMAS,
    ResultsError,
    commit_cell,
    compact,
    open_results,
    read_table,
    write_rows,
)

pytest.importorskip("tensorboard", reason="the reader of event files is not installed: pip install tensorboard")

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def scalars(run: Path) -> dict[str, list[tuple[int, float]]]:
    """Every scalar of a run as (step, value), by its name."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(run))
    read.Reload()
    return {key: [(event.step, event.value) for event in read.Scalars(key)] for key in read.Tags()["scalars"]}


def epochs(root: Path, losses: list[float]) -> None:
    blank = dict.fromkeys(SCHEMAS["pretraining"].names)
    named = {"stage_id": "0123456789abcdef", "stage": "byol-natural", "pretraining_seed": 3}
    timed = {"samples": 100, "seconds": 4.0, "learning_rate": 0.5, "feature_std": 1.0, "effective_rank": 8.0}
    rows = [blank | named | timed | {"epoch": number + 1, "loss": loss} for number, loss in enumerate(losses)]
    write_rows(root, "pretraining", "0123456789abcdef", rows)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two epochs of a stage, one finished cell."""
    root = open_results(tmp_path / "results")
    epochs(root, [0.75, 0.5])
    blank = dict.fromkeys(SCHEMAS["cells"].names)
    named = {"cell_id": "fedcba9876543210", "arm": "byol", "pretraining_epochs": 4, "label_count": 3, "train_seed": 1}
    scores = {"test_loss": 0.25, "test_dice": 0.875, "test_iou": 0.75, "train_seconds": 9.0, "steps": 20}
    cell = blank | named | scores | {"label_unit": "slices", "finished_at": NOON}
    steps = [(0, None, 0.0), (10, 0.5, 4.5), (20, 0.25, 9.0)]
    curve: list[dict[str, Any]] = [
        {"cell_id": named["cell_id"], "step": step, "train_loss": loss, "val_loss": 1.0, "val_dice": 0.5, "seconds": at}
        for step, loss, at in steps
    ]
    commit_cell(root, cell, curve, [])
    return root


STAGE = f"{FOLDER}/pretraining/byol-natural-seed-3-01234567"
CELL = f"{FOLDER}/cells/byol@4/3-slices-seed-1-fedcba98"


def test_each_epoch_is_written_once_as_its_row_appears(root: Path) -> None:
    files = EventFiles(root)
    files.update()
    assert scalars(root / STAGE)["loss"] == [(1, 0.75), (2, 0.5)]
    epochs(root, [0.75, 0.5, 0.25])
    files.update()
    files.update()
    found = scalars(root / STAGE)
    assert found["loss"] == [(1, 0.75), (2, 0.5), (3, 0.25)]
    assert found["samples_per_second"] == [(1, 25.0), (2, 25.0), (3, 25.0)]
    assert "probe_r2" not in found  # it was not asked for
    assert not (root / CELL).exists()
    files.close()


def test_a_stage_that_starts_anew_and_second_event_files_leave_no_old_events(root: Path) -> None:
    files = EventFiles(root)
    files.update()
    epochs(root, [0.625])
    files.update()
    assert scalars(root / STAGE)["loss"] == [(1, 0.625)]
    files.close()
    assert main([str(root)]) == DONE
    assert scalars(root / STAGE)["loss"] == [(1, 0.625)]


def test_cells_are_written_on_demand_with_their_curve_and_scores(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(root), "--cells"]) == DONE
    assert f"tensorboard --logdir {root / FOLDER}" in capsys.readouterr().out
    found = scalars(root / CELL)
    assert found["train_loss"] == [(10, 0.5), (20, 0.25)]
    assert found["val_dice"] == [(0, 0.5), (10, 0.5), (20, 0.5)]
    assert found["test_dice"] == [(20, 0.875)]


def test_another_folder_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == ERROR
    assert "no results in" in capsys.readouterr().err


def test_a_run_whose_event_files_cannot_be_written_says_so_once_and_goes_on(root: Path) -> None:
    (root / FOLDER).touch()  # where the folder would be
    stream = io.StringIO()
    with event_files(root, "stages", Console(file=stream, width=200)) as report:
        report(None)  # type: ignore[arg-type]
        report(None)  # type: ignore[arg-type]
    assert stream.getvalue().count("warning: no TensorBoard files are written any more") == 1


def test_looking_at_a_sweep_that_runs_leaves_its_own_event_files_alone(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = EventFiles(root)
    files.update()
    assert main([str(root), "--cells"]) == DONE
    said = capsys.readouterr().out
    assert "stages: another process, such as the run itself, writes these files" in said
    assert "cells: another" not in said
    assert scalars(root / CELL)["test_dice"] == [(20, 0.875)]
    epochs(root, [0.75, 0.5, 0.25])
    files.update()
    assert scalars(root / STAGE)["loss"] == [(1, 0.75), (2, 0.5), (3, 0.25)]
    files.close()


def test_event_files_take_over_what_others_have_closed(root: Path) -> None:
    first, second = EventFiles(root), EventFiles(root, cells=True)
    first.update()
    second.update()
    assert second.left_to_others == ["stages"]
    first.close()
    second.update()
    assert second.left_to_others == []
    assert scalars(root / STAGE)["loss"] == [(1, 0.75), (2, 0.5)]
    second.close()


def cell_of(root: Path, cell_id: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The fixture's cell and curve under another id."""
    cells, curves = (read_table(root, table)[0].to_pylist() for table in ("cells", "curves"))
    return cells[0] | {"cell_id": cell_id}, [each | {"cell_id": cell_id} for each in curves]


def test_a_cell_that_is_committed_while_tables_are_read_is_written_with_its_curve(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell, curve = cell_of(root, "0000000000000000")
    looks: list[str] = []

    def read(folder: Path, table: str) -> Any:
        content = read_table(folder, table)
        if not looks:
            commit_cell(folder, cell, curve, [])  # after the first table was read, whichever that is
        looks.append(table)
        return content

    monkeypatch.setattr("sweep.views.tracked_runs.read_table", read)
    known: set[str] = set()
    runs = []
    for _ in range(2):
        new = list(cell_runs(root, known))
        known |= {run.unit_id for run in new}
        runs += new
    assert {run.unit_id: len(run.points) for run in runs} == {"fedcba9876543210": 4, "0000000000000000": 4}


def test_no_table_is_read_while_nothing_new_has_finished_compacted_or_not(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half, curve = cell_of(root, "1111111111111111")
    compact(root)
    write_rows(root, "cells", half["cell_id"], [half])
    write_rows(root, "curves", half["cell_id"], curve)  # its cases are not there: it is not finished
    monkeypatch.setattr("sweep.views.tracked_runs.read_table", lambda *_: pytest.fail("a table was read"))
    assert list(cell_runs(root, {"fedcba9876543210"})) == []


def test_tables_that_cannot_be_read_for_a_moment_do_not_end_the_mirror(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.StringIO()
    with event_files(root, "stages", Console(file=stream, width=200)) as report:
        with monkeypatch.context() as patched:

            def vanishes(*_: object) -> None:
                raise ResultsError("files kept vanishing")

            patched.setattr("sweep.views.tracked_runs.read_table", vanishes)
            report(None)  # type: ignore[arg-type]
        report(None)  # type: ignore[arg-type]
    assert stream.getvalue().count("warning: TensorBoard files wait: files kept vanishing") == 1
    assert scalars(root / STAGE)["loss"] == [(1, 0.75), (2, 0.5)]


def test_a_run_that_wants_no_event_files_writes_none(root: Path) -> None:
    with event_files(root, "none", Console()) as report:
        report(None)  # type: ignore[arg-type]
    assert not (root / FOLDER).exists()

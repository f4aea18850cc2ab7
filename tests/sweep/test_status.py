"""What another terminal learns of an experiment, from a results folder whose content is known."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sweep.costs.account import read_account
from sweep.costs.latest_run import LatestRun, note_room, note_run, read_latest_run
from sweep.costs.time_left import Room
from sweep.exit_codes import DONE, ERROR
from sweep.state.counts import Expectation
from sweep.status import SOME_LEFT, ArmState, StageState, main, read_status
from trainables.results import (
    SCHEMAS,
    commit_cell,
    exclusive,
    open_results,
    record_failure,
    record_plan,
    write_rows,
)

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
TEXTS = {"arm", "base_arm", "pretraining_chain", "pretraining_schedule", "label_unit", "protocol_id", "cell_id"}
TEXTS |= {"data_id", "encoder_id", "device", "code_version", "stage_id", "stage", "objective", "data"}
TEXTS |= {"initial_weights"}


def row(table: str, **values: Any) -> dict[str, Any]:
    blank = {name: "" if name in TEXTS else 1 for name in SCHEMAS[table].names if name != "plan_number"}
    return blank | values


def axes(number: int, arm: str = "byol", protocol: str = "p", chain: str = "one@3 two@4") -> dict[str, Any]:
    values = {"cell_id": f"{arm}-{number}", "arm": arm, "protocol_id": protocol, "pretraining_chain": chain}
    return row("planned", **values, subset_seed=number)


def finish(root: Path, plan: dict[str, Any], finished_at: datetime) -> None:
    commit_cell(root, row("cells", **plan, finished_at=finished_at), [], [])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three cells of two arms planned, two finished a minute apart, one failed; the first stage trained."""
    root = open_results(tmp_path / "results")
    cells = [axes(0), axes(1), axes(0, arm="random", chain="")]
    record_plan(root, cells)
    finish(root, cells[0], NOON)
    finish(root, cells[2], NOON + timedelta(minutes=1))
    note_run(root, {"two": "byol-natural+byol-domain"}, Expectation())
    failure = {"unit_id": "byol-1", "unit": "cell", "name": "byol, 3 slices", "traceback": "", "failed_at": NOON}
    record_failure(root, failure | {"reason": "RuntimeError: no memory"})
    rows = [row("pretraining", stage_id="one", stage="byol-natural", epoch=epoch) for epoch in (1, 2, 3)]
    write_rows(root, "pretraining", "one", rows)
    return root


def test_stages_and_arms_are_counted(root: Path) -> None:
    status = read_status(root)
    assert status.stages == (StageState("byol-natural", 3, 3), StageState("byol-natural+byol-domain", 0, 4))
    assert status.arms == (ArmState("byol", 2, 1, 1), ArmState("random", 1, 1, 0))
    assert status.failures == (("byol, 3 slices", "RuntimeError: no memory"),)


def test_the_time_left_follows_from_the_pace_of_the_last_hour(root: Path) -> None:
    write_rows(root, "pretraining", "two", [row("pretraining", stage_id="two", epoch=epoch) for epoch in range(4)])
    assert read_status(root).cells_per_hour == pytest.approx(60)
    assert read_status(root).seconds_left == pytest.approx(60)
    finish(root, axes(1), NOON - timedelta(days=3))
    assert read_status(root).cells_per_hour == pytest.approx(60)


def test_while_stages_are_left_the_time_left_is_theirs_too_or_not_told(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Four epochs of stage two are left, and behind them a cell, which takes a second like those that have finished."""
    assert read_status(root).seconds_left is None
    note_run(root, {}, Expectation(epoch_seconds={"two": 10.0}))
    note_room(root, Room(1, 1, 1, stage_start_seconds=5.0))
    assert read_status(root).seconds_left == 5 + 4 * 10 + 1
    write_rows(root, "pretraining", "two", [row("pretraining", stage_id="two", epoch=1, seconds=20.0)])
    assert read_status(root).seconds_left == 3 * 20 + 1  # by its own epochs, and it has started
    with exclusive(root):
        main([str(root)])
    assert "60 an hour, about 1 min 1 s left" in capsys.readouterr().out


def test_stages_of_a_chain_wait_for_each_other_and_cells_for_theirs(tmp_path: Path) -> None:
    """Nothing has run: two epochs of 10 s, then three of 7 s, on a cluster where one cell runs beside a stage."""
    root = open_results(tmp_path / "results")
    record_plan(
        root, [axes(0, "early", chain="one@1"), axes(0, "late", chain="one@2 two@3"), axes(0, "none", chain="")]
    )
    note_run(root, {}, Expectation(4.0, {"one": 10.0, "two": 7.0}))
    note_room(root, Room(2, 1, 1))
    assert read_status(root).seconds_left == 2 * 10 + 3 * 7 + 4
    note_run(root, {}, Expectation(None, {"one": 10.0, "two": 7.0}))  # nothing tells a cell's seconds
    note_room(root, Room(2, 1, 1))
    assert read_status(root).seconds_left is None


def test_stages_of_one_pretraining_seed_come_before_those_of_the_next(tmp_path: Path) -> None:
    """As the launchers start them: the short stage of the first seed, then the long one of the second."""
    root = open_results(tmp_path / "results")
    rows = [axes(number, "short", chain="one@1") | {"pretraining_seed": 5} for number in range(100)]
    record_plan(root, [*rows, axes(0, "long", chain="two@10") | {"pretraining_seed": 3}])
    note_run(root, {}, Expectation(1.0, {"one": 10.0, "two": 10.0}))
    note_room(root, Room(2, 1, 1))
    # From 10 s on, a cell at a time beside stage two; from 110 s on, none but that of stage two is left.
    assert read_status(root).seconds_left == 10 + 100 + 1


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"stage_names": 1, "epoch_seconds": {}}'])
def test_a_damaged_note_of_the_latest_run_is_none(root: Path, content: str) -> None:
    (root / "latest_run.json").write_text(content)
    assert read_latest_run(root) == LatestRun()
    assert read_status(root).stages[1].name == "stage two"


def test_names_of_earlier_plans_stages_stay_and_what_runs_at_once_is_the_latest_runs(root: Path) -> None:
    note_room(root, Room(2, 1, 1, 10.0))
    note_run(root, {"three": "barlow"}, Expectation(2.5, {"three": 1.5}))
    noted = LatestRun({"two": "byol-natural+byol-domain", "three": "barlow"}, {"three": 1.5}, 2.5)
    assert read_latest_run(root) == noted
    note_room(root, Room(8, 2, 3, 10.0))
    assert read_latest_run(root).room == Room(8, 2, 3, 10.0)


def test_a_clock_that_jumps_breaks_neither_the_pace_nor_the_counts(root: Path) -> None:
    """One cell of the three was finished by a clock that was a year ahead, or a year behind."""
    now = NOON + timedelta(minutes=2)
    for jump in (timedelta(days=365), -timedelta(days=365)):
        finish(root, axes(1), NOON + jump)
        status = read_status(root, now)
        assert status.cells_per_hour == pytest.approx(60)
        assert status.is_finished
    for number, arm in ((0, "byol"), (0, "random"), (1, "byol")):
        finish(root, axes(number, arm=arm, chain=""), NOON + timedelta(days=365))
    status = read_status(root, now)
    assert (status.cells_per_hour, status.seconds_left, status.is_finished) == (None, None, True)


def test_a_failure_of_a_cell_that_has_finished_since_is_not_told(root: Path) -> None:
    """Its worker was killed between committing the cell and clearing the failure."""
    commit = row("cells", **axes(1), finished_at=NOON)
    for table, rows in (("curves", []), ("cases", []), ("cells", [commit])):
        write_rows(root, table, "byol-1", rows)
    status = read_status(root)
    assert status.failures == ()
    assert status.arms[0] == ArmState("byol", 2, 2, 0)


def test_a_run_that_holds_the_folder_is_running(root: Path) -> None:
    assert not read_status(root).is_running
    with exclusive(root):
        assert read_status(root).is_running
    assert not read_status(root).is_running


def test_a_later_plan_of_another_protocol_stands_and_plans_of_one_add_up(root: Path) -> None:
    record_plan(root, [axes(2)])
    assert sum(arm.planned for arm in read_status(root).arms) == 4
    record_plan(root, [axes(0, arm="new", protocol="q")])
    assert [arm.name for arm in read_status(root).arms] == ["new"]


def test_the_command_prints_tables_or_json_and_says_by_its_exit_code_whether_cells_are_left(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(root)]) == SOME_LEFT
    said = capsys.readouterr().out
    assert "not running; 2 of 3 cells finished" in said
    assert "failed byol, 3 slices: RuntimeError: no memory" in said
    assert main([str(root), "--json"]) == SOME_LEFT
    content = json.loads(capsys.readouterr().out)
    assert content["arms"][0] == {"name": "byol", "planned": 2, "finished": 1, "failed": 1}
    finish(root, axes(1), NOON)
    assert main([str(root)]) == DONE


@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_brackets_of_reasons_and_names_are_shown_as_they_are(
    root: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    reason = "RuntimeError: [enforce fail at alloc_cpu.cpp:117] err == 0 [/b] :warning:"
    failure = {"unit_id": "byol-1", "unit": "cell", "name": "byol [x], 3 slices", "traceback": "", "failed_at": NOON}
    record_failure(root, failure | {"reason": reason})
    main([str(root), *arguments])
    said = " ".join(capsys.readouterr().out.split())
    assert reason in said
    assert "byol [x]" in said


def test_torn_files_are_named_and_other_folders_refused(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "cells" / "torn.parquet").write_bytes(b"PAR1")
    main([str(root)])
    assert "torn.parquet: not a readable cells file" in capsys.readouterr().out
    assert main([str(root.parent)]) == ERROR
    assert "no results in" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "price"),
    [
        ("", None),
        ("compute:", None),
        ("compute: {an_option_of_another_version: 1}", None),
        ("compute: {price_per_device_hour: 2.5, another: x}", 2.5),
    ],
)
def test_settings_of_another_version_are_no_hindrance(root: Path, settings: str, price: float | None) -> None:
    (root / "experiment.yaml").write_text(settings)
    assert read_status(root).account.price_per_device_hour == price


@pytest.mark.parametrize("settings", ["[1, 2]", "compute: [1]", "compute: {price_per_device_hour: much}", "a: [1"])
def test_settings_that_are_none_are_named(root: Path, settings: str, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "experiment.yaml").write_text(settings)
    assert main([str(root)]) == ERROR
    said = capsys.readouterr().err
    assert f"error: {root / 'experiment.yaml'}: expected the settings of a run, found what is none" in said
    assert said.count("\n") == 1


def test_a_folder_without_a_plan_is_not_finished(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert read_status(open_results(tmp_path / "r")).arms == ()
    assert main([str(tmp_path / "r")]) == SOME_LEFT
    assert "not running; no plan has been recorded yet" in capsys.readouterr().out


def test_the_account_is_that_of_finished_cells_and_the_one_that_a_run_tells_at_its_end(root: Path) -> None:
    assert read_status(root).account.finetuning_seconds == 0.5  # a second each on a quarter of a GPU
    (root / "cases" / "random-0.parquet").unlink()
    record_plan(root, [axes(1)])  # a later run asks for one cell only
    assert read_status(root).account == read_account(root)
    assert read_account(root).finetuning_seconds == 0.25


def test_nobody_waits_for_cells_that_a_later_plan_asks_for_with_another_encoder(root: Path) -> None:
    """The first plan was stopped, its stage given another learning rate, and the second plan run to its end."""
    failure = {"unit_id": "two", "unit": "stage", "name": "byol-domain", "reason": "collapsed", "traceback": ""}
    record_failure(root, failure | {"failed_at": NOON})
    new = [axes(number, chain="other@4") | {"cell_id": f"new-{number}"} for number in (0, 1)]
    record_plan(root, new)
    for cell in new:
        finish(root, cell, NOON + timedelta(minutes=2))
    write_rows(root, "pretraining", "other", [row("pretraining", stage_id="other", epoch=each) for each in range(4)])
    status = read_status(root)
    assert status.is_finished
    assert status.arms == (ArmState("random", 1, 1, 0), ArmState("byol", 2, 2, 0))
    assert [stage.epochs_needed for stage in status.stages] == [4]
    assert status.failures == ()
    assert [(arm.name, arm.num_cells) for arm in status.account.arms] == [("byol", 3), ("random", 1)]  # all were paid

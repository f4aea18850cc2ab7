"""What can start, what is blocked, what a person is told."""

from pathlib import Path

import pytest

from sweep.experiment import load_preset
from sweep.inputs import Inputs
from sweep.plan import Plan, build_plan
from sweep.progress import duration, status_line
from sweep.scoreboard import Scoreboard
from trainables.encoder_store import encoder_path
from trainables.results import open_results


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    inputs = Inputs("d", "p", "n", {"random": "random"}, {}, {}, "uniform", {0: "first", 1: "second"}, [])
    return build_plan(load_preset("smoke"), inputs, open_results(tmp_path))


def take_all(board: Scoreboard) -> list[str]:
    arms = []
    while cell := board.take_cell():
        arms.append(cell.point.arm)
        board.cell_ended(cell, succeeded=True)
    return arms


def test_cells_start_as_soon_as_their_own_encoder_exists(plan: Plan) -> None:
    board = Scoreboard(plan)
    assert set(take_all(board)) == {"random"}
    stage = board.take_stage()
    assert stage is not None
    board.stage_ended(stage, succeeded=True)
    assert set(take_all(board)) == {"supervised-natural"}
    assert board.cells_pending()


def test_several_cells_are_taken_in_the_order_of_the_plan_and_none_twice(plan: Plan) -> None:
    board = Scoreboard(plan)
    ready = board.cells_ready()
    first, rest = board.take_cells(ready - 1), board.take_cells(99)
    taken = [cell.job.cell_id for cell in [*first, *rest]]
    assert taken == [cell.job.cell_id for cell in plan.missing if cell.source.stage is None]
    assert len(first) == ready - 1 == len(taken) - 1
    assert board.cells_running() == ready
    assert board.take_cells(1) == []


def test_a_stage_starts_only_after_its_parent(plan: Plan) -> None:
    board = Scoreboard(plan)
    started = [stage.name for stage in iter(board.take_stage, None)]
    assert started == ["supervised-natural", "byol-natural", "byol-domain"]


def test_a_failed_stage_blocks_its_cells_and_its_children_but_nothing_else(plan: Plan) -> None:
    board = Scoreboard(plan)
    failed = board.take_stage()
    assert failed is not None
    board.stage_ended(failed, succeeded=False)
    while stage := board.take_stage():
        board.stage_ended(stage, succeeded=True)
    arms = set(take_all(board))
    assert arms == {"random", "byol-natural", "byol-domain", "byol-natural+byol-domain"}
    assert {cell.point.arm for cell in board.blocked_cells()} == {
        "supervised-natural",
        "supervised-natural+byol-domain",
    }
    assert not board.cells_pending()
    assert board.stages_pending() == 0


def test_the_status_line_says_stages_cells_failures_and_time_left(plan: Plan) -> None:
    board = Scoreboard(plan)
    board.take_stage()
    for succeeded in (True, False):
        cell = board.take_cell()
        assert cell is not None
        board.cell_ended(cell, succeeded=succeeded)
    line = status_line(board.counts(), 125.0)
    assert "pretraining stages 0/5, training supervised-natural 0/1" in line
    assert "cells 1/36, 0 running, 1 failed" in line
    assert "about 2 min 5 s left" in line


def test_durations_are_written_for_people() -> None:
    assert [duration(value) for value in (8.4, 125, 3 * 3600 + 60)] == ["8 s", "2 min 5 s", "3 h 1 min"]


def test_nothing_starts_when_the_time_is_used_up_and_what_runs_is_waited_for(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("sweep.scoreboard.time.monotonic", lambda: now)
    board = Scoreboard(plan, max_hours=2)
    stage, cell = board.take_stage(), board.take_cell()
    assert stage is not None
    assert cell is not None
    now += 2 * 3600 - 1
    assert not board.is_over()
    assert board.cells_pending()
    now += 1
    assert board.is_over()
    assert (board.take_stage(), board.take_cell(), board.cells_pending()) == (None, None, False)
    assert (board.stages_pending(), board.cells_running()) == (1, 1)
    board.stage_stopped(stage)
    assert board.stages_pending() == 0
    assert not board.blocked_cells()


@pytest.mark.parametrize(
    ("reasons", "found"),
    [
        (["RuntimeError: no memory at 3"] * 2 + ["RuntimeError: no memory at 4"] * 3, "RuntimeError"),
        (["RuntimeError: x"] * 4, ""),
        (["RuntimeError: x"] * 4 + ["DataError: y"], ""),
        (["RuntimeError: x"] * 3 + [None] + ["RuntimeError: x"] * 3, ""),
        ([None] + ["RuntimeError: x"] * 9, ""),
    ],
)
def test_a_run_is_given_up_when_its_first_five_cells_fail_alike(
    plan: Plan, reasons: list[str | None], found: str
) -> None:
    board = Scoreboard(plan)
    cell = board.take_cell()
    assert cell is not None
    for reason in reasons:
        board.cell_ended(cell, succeeded=reason is None, reason=reason or "")
    assert board.systematic_failure == found
    assert board.is_over() == bool(found)
    assert board.cells_pending() == (not found)


def test_cells_of_a_milestone_start_while_its_stage_goes_on_and_run_though_it_fails_later(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweep.scoreboard.LOOK_SECONDS", -1.0)
    board = Scoreboard(plan)
    while board.take_cell():  # those of the random arm
        pass
    stage = next(stage for stage in iter(board.take_stage, None) if stage.name == "byol-domain")
    assert board.take_cell() is None
    path = encoder_path(stage.job.encoders, stage.stage_id, 1)
    path.parent.mkdir(parents=True)
    path.touch()
    cell = board.take_cell()
    assert cell is not None
    assert (cell.point.arm, cell.point.pretraining_epochs) == ("byol-domain", 1)
    board.stage_ended(stage, succeeded=False)
    assert {cell.point.pretraining_epochs for cell in iter(board.take_cell, None)} == {1}
    blocked = {(cell.point.arm, cell.point.pretraining_epochs) for cell in board.blocked_cells()}
    assert blocked == {("byol-domain", 2)}

"""What can start, what is blocked, what a person is told."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sweep.experiment import load_preset
from sweep.inputs import Inputs
from sweep.plan import Plan, build_plan
from sweep.state.attempts import MOST_LOST_NODES
from sweep.state.counts import Expectation, Limits
from sweep.state.scoreboard import Scoreboard
from sweep.views.progress import status_line
from sweep.wording import duration
from trainables.encoder_store import encoder_path
from trainables.results import open_results


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


def test_of_stages_that_can_start_the_one_with_the_longest_chain_behind_it_comes_first(plan: Plan) -> None:
    """By the forecast; by epochs where one stage has none: supervised-natural and its child are 1 + 2 epochs."""
    seconds = {"supervised-natural": 1.0, "byol-natural": 9.0, "byol-domain": 8.0}  # of an epoch; chains' last: 5 s
    epochs = {stage.stage_id: seconds.get(stage.name, 5.0) for stage in plan.stages}
    board = Scoreboard(plan, expected=Expectation(1.0, epochs))
    # byol-natural 9 + 2 * 5, byol-domain 2 * 8, supervised-natural 1 + 2 * 5
    assert names_taken(board) == ["byol-natural", "byol-domain", "supervised-natural"]
    longest = next(stage for stage in plan.stages if stage.name == "byol-domain")
    board = Scoreboard(plan, expected=Expectation(1.0, {longest.stage_id: 100.0}))
    assert names_taken(board) == ["supervised-natural", "byol-natural", "byol-domain"]


def test_the_stages_of_a_replicate_come_before_longer_ones_of_the_next(tmp_path: Path) -> None:
    inputs = Inputs("d", "p", "n", {"random": "random"}, {}, {}, "uniform", {0: "first", 1: "second"}, [])
    preset = load_preset("smoke")
    grid = preset.grid.model_copy(update={"pretraining_seeds": (5, 3)})
    plan = build_plan(preset.model_copy(update={"grid": grid}), inputs, open_results(tmp_path))
    epochs = {stage.stage_id: 100.0 if stage.job.seed == 3 else 1.0 for stage in plan.stages}
    board = Scoreboard(plan, expected=Expectation(1.0, epochs))
    assert [stage.job.seed for stage in iter(board.take_stage, None)] == [5, 5, 5, 3, 3, 3]


def names_taken(board: Scoreboard) -> list[str]:
    return [stage.name for stage in iter(board.take_stage, None)]


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
    line = status_line(replace(board.counts(), seconds_left=125.0, device_seconds=1800.0), price=3.0)
    assert "pretraining stages 0/5, training supervised-natural 0/1" in line
    assert "cells 1/36, 0 running, 1 failed" in line
    assert "about 2 min 5 s left" in line
    assert "cost 1.50" in line


def test_durations_are_written_for_people() -> None:
    assert [duration(value) for value in (8.4, 125, 3 * 3600 + 60)] == ["8 s", "2 min 5 s", "3 h 1 min"]


def test_nothing_starts_when_the_time_is_used_up_and_what_runs_is_waited_for(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("sweep.state.scoreboard.time.monotonic", lambda: now)
    board = Scoreboard(plan, Limits(seconds=2 * 3600))
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


@pytest.mark.parametrize("jump", [365 * 86_400.0, -365 * 86_400.0])
def test_a_clock_that_is_set_anew_spends_no_time_and_no_money(
    plan: Plan, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    board = Scoreboard(plan, Limits(seconds=3600, device_seconds=3600))
    cell = board.take_cell()
    assert cell is not None
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + jump)
    counts = board.counts()
    assert not board.is_over()
    assert 0 <= counts.seconds < 600
    assert 0 <= counts.device_seconds < 600
    board.cell_ended(cell, succeeded=True)
    pace = board.counts().cells_per_hour
    assert pace is not None
    assert pace > 0


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


def test_a_failed_cell_is_tried_again_after_all_others_and_alone(plan: Plan) -> None:
    board = Scoreboard(plan)
    first, second, *others = board.take_cells(4)  # all that need no stage
    board.cell_failed(first, "RuntimeError: x")
    board.cell_returned(second)
    assert board.cells_running() == len(others) == 2
    assert board.take_cells(99) == [second]
    assert board.take_cells(99) == [first]
    board.cell_failed(first, "WorkerDiedError: y")
    assert board.counts().cells_failed == 1
    assert board.num_retries == plan.max_retries == 1


def test_cells_that_failed_in_an_earlier_run_come_last_one_by_one(plan: Plan) -> None:
    ready = [cell for cell in plan.missing if cell.source.stage is None]
    board = Scoreboard(replace(plan, failed_before=frozenset(cell.job.cell_id for cell in ready[:2])))
    assert [board.take_cells(99) for _ in range(3)] == [ready[2:], ready[:1], ready[1:2]]


def test_a_cell_whose_node_was_lost_is_handed_out_first_until_that_is_too_often(plan: Plan) -> None:
    board = Scoreboard(plan)
    for _ in range(MOST_LOST_NODES):
        cell = board.take_cell()
        assert cell == plan.missing[0]
        assert board.cell_lost(cell)
    assert board.num_retries == 0
    assert not board.cell_lost(plan.missing[0])


def test_cells_of_a_milestone_start_while_its_stage_goes_on_and_run_though_it_fails_later(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweep.state.stage_states.LOOK_SECONDS", -1.0)
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


def test_cells_are_counted_by_what_they_wait_for(plan: Plan) -> None:
    board = Scoreboard(plan)
    stages = list(iter(board.take_stage, None))
    board.take_cell()
    counts = board.counts()
    assert (counts.cells_running, counts.cells_ready, counts.cells_waiting, counts.cells_blocked) == (1, 3, 32, 0)
    board.stage_ended(next(stage for stage in stages if stage.name == "byol-natural"), False, "DataError: torn")
    counts = board.counts()
    assert (counts.cells_waiting, counts.cells_blocked) == (20, 12)  # 4 of its own, 8 of the chain behind it
    assert counts.failures == (("stage byol-natural", "DataError: torn"),)


def test_devices_are_paid_for_while_they_are_held_and_a_worker_once_for_the_cells_it_took_together(
    plan: Plan, clock: list[float]
) -> None:
    board = Scoreboard(plan, Limits(device_seconds=100))
    board.occupancy.devices_per_cell = 0.5
    stage = board.take_stage()
    assert stage is not None
    clock[0] += 1000  # another experiment trains it
    assert board.counts().device_seconds == 0
    board.stage_holds_devices(stage, 2)
    together = [board.take_cell("first"), board.take_cell("first")]
    clock[0] += 20
    assert board.counts().device_seconds == 20 * 2 + 20 * 0.5
    for cell in together:
        assert cell is not None
        board.cell_ended(cell, succeeded=True)
    clock[0] += 24
    assert not board.is_over()
    clock[0] += 2  # 46 s of the stage's two devices, and 10 device-seconds of cells
    assert board.used_up == "cost"
    assert (board.take_cell(), board.take_stage()) == (None, None)
    board.stage_stopped(stage)
    clock[0] += 1000
    assert board.counts().device_seconds == 46 * 2 + 10


def test_cells_that_are_given_back_are_paid_for_and_say_nothing_of_what_a_cell_takes(
    plan: Plan, clock: list[float]
) -> None:
    board = Scoreboard(plan)
    ran, *never_ran = board.take_cells(3, "worker")
    clock[0] += 30
    board.cell_ended(ran, succeeded=True)
    for cell in never_ran:
        board.cell_returned(cell)
    assert board.occupancy.seconds_per_cell() == 30
    lost = board.take_cell("lost")
    assert lost is not None
    clock[0] += 4
    board.cell_returned(lost)
    assert board.occupancy.seconds_per_cell() == 30
    assert board.counts().device_seconds == 34


def test_a_stage_is_charged_for_the_workers_it_has_and_never_for_waiting(plan: Plan, clock: list[float]) -> None:
    board = Scoreboard(plan)
    stage, cell = board.take_stage(), board.take_cell()
    assert stage is not None
    assert cell is not None
    clock[0] += 10
    board.cell_ended(cell, succeeded=True)
    clock[0] += 1000
    counts = board.counts()
    assert counts.device_seconds == 10  # of the cell
    assert counts.seconds_left is None  # the cells' pace says nothing of when workers come
    assert [each.is_waiting for each in counts.stages_running] == [True]
    board.stage_holds_devices(stage, 4)
    clock[0] += 5
    board.stage_holds_devices(stage, 4)  # seen again
    board.stage_holds_devices(stage, 0)  # lost
    clock[0] += 1000
    board.stage_holds_devices(stage, 3)
    clock[0] += 2
    assert not board.counts().stages_running[0].is_waiting
    board.stage_ended(stage, succeeded=True)
    assert board.counts().device_seconds == 10 + 4 * 5 + 3 * 2


def test_every_change_is_told_as_an_event(plan: Plan) -> None:
    events: list[tuple[str, dict[str, Any]]] = []
    board = Scoreboard(plan, on_event=lambda name, fields: events.append((name, dict(fields))))
    stage, cell = board.take_stage(), board.take_cell()
    assert stage is not None
    assert cell is not None
    board.cell_ended(cell, succeeded=False, reason="RuntimeError: x")
    board.stage_stopped(stage)
    assert [name for name, _ in events] == ["stage_started", "cell_started", "cell_ended", "stage_stopped"]
    expected = {"cell_id": cell.job.cell_id, "arm": "random", "succeeded": False, "reason": "RuntimeError: x"}
    assert expected.items() <= events[2][1].items()

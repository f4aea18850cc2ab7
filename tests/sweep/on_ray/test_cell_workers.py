"""Which handed-out cells run, and when a run stops waiting for room for them."""

from pathlib import Path

import pytest

from sweep.on_ray.cell_workers import CellWorkers, no_room
from sweep.on_ray.shares import Shares
from sweep.plan import Plan
from sweep.state.scoreboard import Scoreboard
from trainables.config import ComputeConfig
from trainables.trial_notes import NoteTaker

MINUTES = 30.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time in seconds as its only element, for a test to move."""
    now = [1000.0]
    monkeypatch.setattr("sweep.on_ray.cell_workers.time.monotonic", lambda: now[0])
    return now


def test_of_the_cells_that_are_handed_out_those_run_that_a_worker_has_begun(plan: Plan, tmp_path: Path) -> None:
    board = Scoreboard(plan)
    first = board.take_cells(3, "trial")[0]
    board.take_cells(1, "waiting")
    assert (board.counts().cells_running, board.counts().cells_ready) == (4, 0)  # all that nothing else is known of
    NoteTaker(tmp_path / "trial").begun(first.job.cell_id)
    notes = CellWorkers(board, tmp_path, MINUTES).look(["trial", "waiting"])
    assert (board.counts().cells_running, board.counts().cells_ready) == (1, 3)
    assert {trial_id: note.running for trial_id, note in notes.items()} == {"trial": first.job.cell_id, "waiting": ""}
    assert board.cells_running() == 4


def test_cells_end_the_run_once_none_of_its_units_has_had_room_for_as_long_as_they_may_wait(
    plan: Plan, tmp_path: Path, clock: list[float]
) -> None:
    board = Scoreboard(plan)
    workers = CellWorkers(board, tmp_path, MINUTES)
    waits = []
    for minutes in (0, 29.9, 0.2):
        clock[0] += 60 * minutes
        workers.look(["trial"])
        waits.append(workers.have_waited())
    assert waits == [False, False, True]
    NoteTaker(tmp_path / "trial")
    clock[0] += 60
    workers.look(["trial"])
    assert not workers.have_waited()


def test_cells_that_wait_beside_a_stage_have_patience_with_it(plan: Plan, tmp_path: Path, clock: list[float]) -> None:
    """One in training has what they wait for; one that waits itself ends by a limit of its own, and is told first."""
    board = Scoreboard(plan)
    workers = CellWorkers(board, tmp_path, MINUTES)
    stage = board.take_stage()
    assert stage is not None
    board.stage_holds_devices(stage)
    workers.look(["trial"])
    clock[0] += 60 * 60
    workers.look(["trial"])
    board.stage_holds_devices(stage, 0)
    clock[0] += 60
    workers.look(["trial"])
    clock[0] += 60 * MINUTES
    assert not workers.have_waited()
    board.stage_ended(stage, succeeded=False, reason="NoWorkersError")
    assert workers.have_waited()


def test_nothing_is_waited_for_while_no_cell_is_handed_out(plan: Plan, tmp_path: Path, clock: list[float]) -> None:
    workers = CellWorkers(Scoreboard(plan), tmp_path, MINUTES)
    for _ in range(2):
        workers.look([])
        clock[0] += 60 * 60
    assert not workers.have_waited()


@pytest.mark.parametrize(("share", "wanted"), [(0.0, "3 CPU on one node"), (0.25, "3 CPU and 0.25 GPU on one node")])
def test_the_error_says_what_a_cell_wanted_and_what_there_is(share: float, wanted: str) -> None:
    error = no_room(ComputeConfig(threads=3), [{"CPU": 2.0}, {"CPU": 2.0}], Shares(4, 1, 1, share, 0))
    assert f"no room for a cell of {wanted} within 30 minutes (compute.worker_wait_minutes)" in str(error)
    assert "the cluster has 2 nodes of 2 CPU" in str(error)

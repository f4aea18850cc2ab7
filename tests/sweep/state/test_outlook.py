"""What is left of a run, as the scoreboard tells it: from its own units, else as expected."""

from sweep.costs.time_left import Room
from sweep.plan import Plan, PlannedStage
from sweep.state.counts import Expectation
from sweep.state.scoreboard import Scoreboard
from trainables.encoder_store import encoder_path, record_epochs, resume_path
from trainables.results import SCHEMAS


def test_the_time_left_counts_stages_and_cells_before_any_has_ended(plan: Plan, clock: list[float]) -> None:
    epochs = {stage.stage_id: 10.0 for stage in plan.stages}
    board = Scoreboard(plan, expected=Expectation(3.0, epochs))
    board.room = Room(1, 1, 1)
    counts = board.counts()
    assert counts.seconds_left == 8 * 10 + 36 * 3  # one device: eight epochs of stages, then the cells
    assert counts.device_seconds_left == counts.seconds_left
    stage, cell = board.take_stage(), board.take_cell()
    assert stage is not None
    assert cell is not None
    board.stage_ended(stage, succeeded=False)
    clock[0] += 5.0
    board.cell_ended(cell, succeeded=True)
    # The failed stage takes its child of two epochs along and their 4 + 8 cells; a cell is seen to take 5 s.
    assert board.counts().seconds_left == 5 * 10 + (36 - 1 - 12) * 5


def test_without_any_expectation_the_pace_of_cells_tells_the_time_left(plan: Plan, clock: list[float]) -> None:
    board = Scoreboard(plan)
    assert board.counts().seconds_left is None
    cell = board.take_cell()
    assert cell is not None
    clock[0] += 2.0
    board.cell_ended(cell, succeeded=True)
    assert board.counts().seconds_left == 2.0 * 35
    assert board.counts().cells_per_hour == 1800


def epochs_of(stage: PlannedStage, number: int) -> None:
    blank = dict.fromkeys(SCHEMAS["pretraining"].names) | {"stage_id": stage.stage_id}
    rows = [blank | {"epoch": epoch + 1} for epoch in range(number)]
    record_epochs(stage.job.results, stage.job.encoders, stage.stage_id, rows)


def test_a_stage_that_is_trained_again_for_a_new_milestone_has_all_of_its_epochs_to_go(
    plan: Plan, clock: list[float]
) -> None:
    planned = next(stage for stage in plan.stages if stage.name == "byol-domain")
    epochs_of(planned, 2)  # it has finished, but its first epoch, which is wanted now, was passed
    path = encoder_path(planned.job.encoders, planned.stage_id, 2)
    path.touch()
    board = Scoreboard(plan, expected=Expectation(3.0, {stage.stage_id: 10.0 for stage in plan.stages}))
    stage = next(stage for stage in iter(board.take_stage, None) if stage.name == "byol-domain")

    def moment() -> tuple[int, float | None]:
        progress = next(each for each in board.counts().stages_running if each.name == "byol-domain")
        return progress.epochs_done, progress.seconds_left

    board.stage_holds_devices(stage)
    assert moment() == (0, 20.0)
    clock[0] += 7.0
    epochs_of(stage, 1)
    encoder_path(stage.job.encoders, stage.stage_id, 1).touch()
    resume_path(stage.job.encoders, stage.stage_id).touch()
    assert moment() == (1, 7.0)
    epochs_of(stage, 2)
    resume_path(stage.job.encoders, stage.stage_id).unlink()  # it has ended, which the launcher has yet to tell
    assert moment() == (2, 0.0)

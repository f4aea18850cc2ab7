"""Run a plan in this process, without Ray: for debugging, and the reference that the Ray launcher must equal.

In: a Plan and a Scoreboard. Out: rows in the results folder. Stages come first, cells after; a unit that raises is
recorded as failed and the rest goes on.
"""

from typing import Any

from sweep.costs.device_shares import note_share
from sweep.costs.latest_run import note_room
from sweep.plan import Plan
from sweep.scoreboard import Scoreboard
from trainables.encoder_store import trained_by_one
from trainables.finetune import run_and_commit
from trainables.pretrain import run_stage
from trainables.results import record_failure


class _OutOfTimeError(Exception):
    """The run's time is used up while a stage is training; its last epoch is saved."""


def launch(plan: Plan, board: Scoreboard) -> None:
    """Run everything that is missing. KeyboardInterrupt passes through: what is finished stays finished."""

    def stop_when_over(_: dict[str, Any]) -> None:
        if board.is_over():
            raise _OutOfTimeError

    note_share(plan.cells[0].job.results, board.occupancy.devices_per_cell)
    note_room(plan.cells[0].job.results, board.room)
    while stage := board.take_stage():
        try:
            with trained_by_one(stage.job.encoders, stage.job.stage_id):
                board.stage_holds_devices(stage)
                run_stage(stage.job, report=stop_when_over)
        except _OutOfTimeError:
            board.stage_stopped(stage)
        except Exception as error:  # the boundary of a unit: recorded with its reason, never passed over
            failure = stage.job.failure(error)
            record_failure(stage.job.results, failure)
            board.stage_ended(stage, succeeded=False, reason=failure["reason"])
        else:
            board.stage_ended(stage, succeeded=True)
    while cell := board.take_cell():
        try:
            run_and_commit(cell.job)
        except Exception as error:
            failure = cell.job.failure(error)
            record_failure(cell.job.results, failure)
            board.cell_ended(cell, succeeded=False, reason=failure["reason"])
        else:
            board.cell_ended(cell, succeeded=True)

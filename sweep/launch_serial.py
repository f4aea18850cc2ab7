"""Run a plan in this process, without Ray: for debugging, and the reference that the Ray launcher must equal.

In: a Plan and a Scoreboard. Out: rows in the results folder. Stages come first, cells after; a unit that raises is
recorded as failed, tried again as on Ray, and the rest goes on. A full disk ends the run.
"""

from typing import Any

from sweep.costs.latest_run import note_room
from sweep.on_ray.shares import LaunchError
from sweep.plan import Plan, PlannedCell, PlannedStage
from sweep.state.attempts import NEVER_RETRIED
from sweep.state.scoreboard import Scoreboard
from trainables.encoder_store import trained_by_one
from trainables.failures import first_line, is_full_disk, is_spent
from trainables.finetune import run_and_commit
from trainables.jobs import CellJob, StageJob
from trainables.pretrain import run_stage
from trainables.results import note_device_share, record_failure


class _OutOfTimeError(Exception):
    """The run's time is used up while a stage is training; its last epoch is saved."""


def launch(plan: Plan, board: Scoreboard) -> None:
    """Run everything that is missing. KeyboardInterrupt passes through: what is finished stays finished.

    Raises OSError where the disk is full, LaunchError where this process's GPU no longer works.
    """
    note_device_share(plan.cells[0].job.results, board.occupancy.devices_per_cell)
    note_room(plan.cells[0].job.results, board.room)
    while stage := board.take_stage():
        _train(stage, board, plan.max_retries)
    while cell := board.take_cell():
        _run(cell, board)


def _train(stage: PlannedStage, board: Scoreboard, max_retries: int) -> None:
    """Train a stage; after an error go on from its last saved epoch, as often as ``max_retries`` says."""

    def stop_when_over(_: dict[str, Any] | None = None) -> None:
        if board.is_over():
            raise _OutOfTimeError

    for retries_left in reversed(range(max_retries + 1)):
        try:
            with trained_by_one(stage.job.encoders, stage.job.stage_id, stop_when_over):
                if retries_left == max_retries:
                    board.stage_holds_devices(stage)
                run_stage(stage.job, report=stop_when_over)
        except _OutOfTimeError:
            board.stage_stopped(stage)
            return
        except Exception as error:  # the boundary of a unit: recorded with its reason, never passed over
            reason = _recorded(stage.job, error)
            if is_spent(error):
                board.stage_stopped(stage)
                raise _spent(error) from error
            if not retries_left or type(error).__name__ in NEVER_RETRIED:
                board.stage_ended(stage, succeeded=False, reason=reason)
                return
        else:
            board.stage_ended(stage, succeeded=True)
            return


def _run(cell: PlannedCell, board: Scoreboard) -> None:
    try:
        run_and_commit(cell.job)
    except Exception as error:
        board.cell_failed(cell, _recorded(cell.job, error))
        if is_spent(error):
            raise _spent(error) from error
    else:
        board.cell_ended(cell, succeeded=True)


def _recorded(job: StageJob | CellJob, error: Exception) -> str:
    """Record a failure and return its reason. Raises the error itself where the disk is full: no fault of the unit."""
    if is_full_disk(error):
        raise error
    failure = job.failure(error)
    record_failure(job.results, failure)
    return str(failure["reason"])


def _spent(error: Exception) -> LaunchError:
    """Return what ends the run where this process's GPU would fail every other unit, too."""
    remedy = "the same command goes on; with --launcher ray such a process is replaced"
    return LaunchError(f"the GPU of this process no longer works ({first_line(error)}); {remedy}")

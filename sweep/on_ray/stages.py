"""Train the stages of a plan on Ray: each in a task that starts a TorchTrainer, watched by a thread of the driver.

In: a Scoreboard, which says what comes next. Out: encoders and rows, written by the workers; the failure of a stage is
recorded here.
"""

import functools
import threading
import time
from pathlib import Path

from sweep.on_ray.cluster import present_nodes
from sweep.on_ray.shares import Shares
from sweep.on_ray.stage_workers import StageWorkers, no_workers
from sweep.plan import PlannedStage
from sweep.state.attempts import StageAttempts
from sweep.state.scoreboard import Scoreboard
from trainables.config import ComputeConfig
from trainables.encoder_store import epochs_done
from trainables.failures import full_disk_behind
from trainables.results import record_failure

POLL_SECONDS = 0.5
GRACE_SECONDS = 60.0  # in which Ray, which starts to wait a little later, ends a stage itself


def train_stages(
    board: Scoreboard,
    shares: Shares,
    compute: ComputeConfig,
    scratch: Path,
    stop: threading.Event,
    errors: list[Exception],
) -> None:
    """Train stages one after another until none is left or ``stop`` is set; what breaks here ends the run.

    It is the body of a thread, so an error is put into ``errors`` for the main thread to raise: cells that wait for a
    stage would else wait for ever.
    """
    try:
        _train_all(board, shares, compute, scratch, stop)
    except Exception as broken:  # such as a full disk, or a file system that answers no more
        errors.append(broken)
        stop.set()


def _train_all(board: Scoreboard, shares: Shares, compute: ComputeConfig, scratch: Path, stop: threading.Event) -> None:
    while board.stages_pending() and not stop.is_set():
        stage = board.take_stage()
        if stage is None:
            time.sleep(POLL_SECONDS)
            continue
        try:
            if _train(stage, board, shares, compute, scratch, stop):
                board.stage_ended(stage, succeeded=True)
            else:
                board.stage_stopped(stage)
        except Exception as error:  # the boundary of a unit: recorded with its reason, never passed over
            try:
                _record(stage, board, error)
            except Exception:
                board.stage_stopped(stage)
                raise
            finally:
                _release(stage, scratch)


def _record(stage: PlannedStage, board: Scoreboard, error: Exception) -> None:
    """Record the failure of a stage. Raises OSError where the disk is full, which is no fault of the stage."""
    from sweep.on_ray.stage_errors import stage_error

    found = stage_error(error)
    if full_disk := full_disk_behind(found.error):
        raise full_disk
    failure = stage.job.failure(found.error, found.story)
    record_failure(stage.job.results, failure)
    board.stage_ended(stage, succeeded=False, reason=failure["reason"])


def _release(stage: PlannedStage, scratch: Path) -> None:
    """Give back the devices of a stage whose task was killed for good."""
    from trainables.ray_adapters import release

    release(scratch, stage.stage_id)


def _train(
    stage: PlannedStage, board: Scoreboard, shares: Shares, compute: ComputeConfig, scratch: Path, stop: threading.Event
) -> bool:
    """Train one stage in a Ray task, which starts the TorchTrainer; return False if the run was stopped first.

    A task can be cancelled when the run is stopped; a trainer started in a thread of the driver could not.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    from sweep.on_ray.stage_errors import is_started_again
    from trainables.ray_adapters import train_stage

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)  # not on a spot machine
    fewest = compute.min_pretraining_workers
    done = epochs_done(stage.job.encoders, stage.stage_id, stage.config.kept_epochs)
    attempts = StageAttempts(compute.max_retries, done, is_elastic=fewest is not None)
    task = ray.remote(num_cpus=0, max_retries=compute.max_retries, scheduling_strategy=here)(train_stage)
    reference = task.remote(
        stage.job.model_dump(mode="json"),
        str(scratch),
        num_workers=compute.pretraining_workers if fewest is None else (fewest, compute.pretraining_workers),
        gpus_per_worker=shares.gpus_per_worker,
        is_started_again=functools.partial(is_started_again, attempts),
    )
    workers = StageWorkers(stage, board, scratch)
    try:
        while not ray.wait([reference], timeout=POLL_SECONDS)[0]:
            workers.look()
            if stop.is_set() or board.is_over():
                ray.cancel(reference, force=True)
                return False
            if workers.have_waited(GRACE_SECONDS):
                raise no_workers(compute, present_nodes(), shares.gpus_per_worker)
    except BaseException:  # nobody waits for the task any more: it would train on
        ray.cancel(reference, force=True)
        raise
    try:
        ray.get(reference)
    except ray.exceptions.RayError as error:
        if workers.have_waited():
            raise no_workers(compute, present_nodes(), shares.gpus_per_worker) from error
        raise
    return True

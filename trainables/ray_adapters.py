"""What Ray calls: the training functions, reporting to it. The only file here that imports ray.

In: jobs as plain dictionaries. Out: reports to Ray Train or Ray Tune; the rows themselves go to the results folder.
What trains is imported where it is called: two of a stage's three processes watch the third, and start seconds sooner.
"""

import math
import os
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray import PlacementGroupID, train, tune
from ray.exceptions import RayError
from ray.train.torch import TorchConfig, TorchTrainer
from ray.util.placement_group import (
    PlacementGroup,
    get_current_placement_group,
    placement_group_table,
    remove_placement_group,
)

from trainables.encoder_store import epochs_done, trained_by_one
from trainables.failures import SpentWorkerError, is_full_disk, is_spent
from trainables.jobs import CellJob, StageJob
from trainables.results import is_finished, is_there, record_failure, write_text
from trainables.trial_notes import NoteTaker

START_TIMEOUT = "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S"  # after which Ray takes its request for workers back
IsStartedAgain = Callable[[Exception, int], bool]
REQUEST_SECONDS = 25.0  # of one for as many workers as nodes seem to hold: Ray looks at these every 20 s


def own_mark(scratch: Path, stage_id: str) -> Path:
    """Return the file that is there once a stage is this run's, and it waits for no other experiment that trains it."""
    return scratch / f"stage-{stage_id}.own"


def workers_with_room(scratch: Path, stage_id: str) -> int:
    """Return how many workers of a stage have their cores or GPUs now; 0 while they wait for room."""
    tables = [placement_group_table(_group(mark)) for mark in _group_marks(scratch, stage_id)]
    return sum(len(table["bundles"]) for table in tables if table.get("state") == "CREATED")


def _group_marks(scratch: Path, stage_id: str) -> list[Path]:
    return list(scratch.glob(f"stage-{stage_id}.group-*"))


def _group(mark: Path) -> PlacementGroup:
    return PlacementGroup(PlacementGroupID(bytes.fromhex(mark.suffix.removeprefix(".group-"))))


def train_stage(
    job: dict[str, Any],
    scratch: str,
    *,
    num_workers: int | tuple[int, int],
    gpus_per_worker: int,
    is_started_again: IsStartedAgain,
) -> None:
    """Run a pretraining stage on ``num_workers`` processes, or from the first to the second number of them.

    When a worker or its node dies, all start anew from the last epoch that was saved: with as many as before, or with
    as many as there is room for. ``is_started_again`` is handed what ended the stage and the epochs behind it then.
    Raises PretrainingError where the stage cannot go on: no repetition would change that.
    """
    stage = StageJob.model_validate(job)
    release(Path(scratch), stage.stage_id)  # what an attempt that was killed held
    refusal = Path(scratch) / f"stage-{stage.stage_id}.refusal"
    with trained_by_one(stage.encoders, stage.stage_id):
        write_text(own_mark(Path(scratch), stage.stage_id), "")
        while not _is_trained(stage, Path(scratch), refusal, num_workers, gpus_per_worker, is_started_again):
            pass
    if is_there(refusal):
        from trainables.pretrain import PretrainingError

        raise PretrainingError(refusal.read_text())


def _is_trained(
    stage: StageJob,
    scratch: Path,
    refusal: Path,
    num_workers: int | tuple[int, int],
    gpus_per_worker: int,
    is_started_again: IsStartedAgain,
) -> bool:
    """Start a stage once; False where it is to be started again."""
    trainer = _trainer(stage, scratch, refusal, num_workers, gpus_per_worker)
    try:
        trainer.fit()
    except (train.TrainingFailedError, RayError) as error:
        done = epochs_done(stage.encoders, stage.stage_id, stage.stage.kept_epochs)
        if not is_started_again(error, done):
            raise
        return False
    finally:
        release(scratch, stage.stage_id)
    return True


def _trainer(
    stage: StageJob, scratch: Path, refusal: Path, num_workers: int | tuple[int, int], gpus_per_worker: int
) -> TorchTrainer:
    """Return what trains a stage until something breaks: Ray would count failures over a stage's whole life."""
    seconds, num_requests = requests(num_workers, 60 * stage.compute.worker_wait_minutes)
    os.environ[START_TIMEOUT] = str(seconds)  # Ray passes it on
    return TorchTrainer(
        pretrain_worker,
        train_loop_config={"job": stage.model_dump(mode="json"), "refusal": str(refusal), "scratch": str(scratch)},
        torch_config=TorchConfig(backend="nccl" if gpus_per_worker else "gloo"),
        scaling_config=train.ScalingConfig(
            num_workers=num_workers,
            use_gpu=bool(gpus_per_worker),
            resources_per_worker={"CPU": stage.compute.threads, "GPU": gpus_per_worker},
        ),
        run_config=train.RunConfig(
            name=f"stage-{stage.stage_id}",
            storage_path=str(scratch),
            failure_config=train.FailureConfig(max_failures=0, controller_failure_limit=num_requests - 1),
        ),
    )


def requests(num_workers: int | tuple[int, int], wait_seconds: float) -> tuple[float, int]:
    """Return how long Ray waits for room at each request for workers, and how many requests it makes.

    Of an elastic number it asks for as many as there were nodes for when it last looked, which may be lost since.
    """
    if isinstance(num_workers, int):
        return wait_seconds, 1
    seconds = min(REQUEST_SECONDS, wait_seconds)
    return seconds, math.ceil(wait_seconds / seconds)


def release(scratch: Path, stage_id: str) -> None:
    """Give back the cores and GPUs of a stage whose controller was killed; after an orderly end there are none.

    Ray Train has a process that would do so, but it asks the dashboard whether the controller lives, and a run on one
    machine has none: a killed controller then held its devices until the run ended, and the run waited for them.
    """
    for mark in _group_marks(scratch, stage_id):
        remove_placement_group(_group(mark))
        mark.unlink(missing_ok=True)


def pretrain_worker(config: dict[str, Any]) -> None:
    """Run one worker of a pretraining stage inside a TorchTrainer; reports each epoch.

    A stage that cannot go on ends in every worker alike. It is no failure to Ray, so that no other is made of it. Ray
    hands on an error without its traceback, of which it tells 1,000 characters: a note of the error holds the whole.
    """
    from trainables.pretrain import PretrainingError, run_stage

    job = StageJob.model_validate(config["job"])
    if group := get_current_placement_group():
        write_text(Path(config["scratch"]) / f"stage-{job.stage_id}.group-{group.id.hex()}", "")
    try:
        run_stage(job, lambda row: train.report({"epoch": row["epoch"], "loss": row["loss"]}))
    except PretrainingError as error:
        write_text(Path(config["refusal"]), str(error))
    except Exception as error:
        error.add_note(traceback.format_exc())
        raise


def finetune_trial(config: dict[str, Any]) -> None:
    """Run some cells inside a Tune trial, each committed on its own; ``notes`` tell the driver how far it came.

    A cell that raises is recorded as failed and the next one goes on; whether it is tried again is for the driver to
    say. Raises SpentWorkerError where the process is of no more use, and OSError where the disk is full.
    """
    started = time.perf_counter()
    notes = NoteTaker(Path(config["notes"]))
    with notes.of_crashes():
        for content in config["cells"]:
            job = CellJob.model_validate(content)
            if not is_finished(job.results, job.cell_id):
                _run_noted(job, notes)
    tune.report({"cell_seconds": (time.perf_counter() - started) / len(config["cells"])})


def _run_noted(job: CellJob, notes: NoteTaker) -> None:
    from trainables.finetune import run_and_commit

    notes.begun(job.cell_id)
    try:
        run_and_commit(job)
    except Exception as error:  # the boundary of a cell: recorded with its reason, never passed over
        if is_full_disk(error):
            raise
        record_failure(job.results, job.failure(error))
        notes.ended(job.cell_id)
        if is_spent(error):
            raise SpentWorkerError(f"after cell {job.name}: {error}") from error
    else:
        notes.ended(job.cell_id)

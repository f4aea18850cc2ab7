"""Samples a second of a BYOL stage in one worker or in several on this machine, and of stages that share nothing.

    python -m benchmarks.pretraining workers

Each call starts its workers as processes that meet over gloo, as Ray Train would start them on a CPU. Stages that run
at once, each with its share of the batch, exchange nothing: what they reach together bounds what workers can.
"""

import multiprocessing
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch.distributed as dist

from benchmarks.byol import Setting, stage_job
from trainables.jobs import StageJob
from trainables.pretrain import run_stage
from trainables.results import read_table

WARM_UP_EPOCHS, MEASURED_EPOCHS = 1, 2


def rate(setting: Setting, folder: Path, num_workers: int, threads: int) -> float:
    """Return the samples a second of all workers of a stage together, start and first epoch left out."""
    job = _job(setting, folder, threads)
    _run([(job, rank, num_workers) for rank in range(num_workers)])
    return _rate_of(job)


def rate_apart(setting: Setting, folder: Path, num_stages: int, threads: int) -> float:
    """Return the samples a second of stages that run at once and exchange nothing, each with its share of the batch."""
    share = replace(setting, batch_size=setting.batch_size // num_stages)
    jobs = [_job(share, folder, threads) for _ in range(num_stages)]
    _run([(job, 0, 1) for job in jobs])
    return sum(_rate_of(job) for job in jobs)


def _job(setting: Setting, folder: Path, threads: int) -> StageJob:
    epochs = WARM_UP_EPOCHS + MEASURED_EPOCHS
    return stage_job(setting, folder, threads, device="cpu", epochs=epochs, milestones=(epochs,))


def _run(places: Sequence[tuple[StageJob, int, int]]) -> None:
    """Run a process for each stage, rank and number of workers, all at once."""
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_work, args=place) for place in places]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if any(worker.exitcode for worker in workers):
        raise SystemExit(f"a worker ended with {[worker.exitcode for worker in workers]}")


def _rate_of(job: StageJob) -> float:
    rows = [row for row in read_table(job.results, "pretraining")[0].to_pylist() if row["stage_id"] == job.stage_id]
    measured = [row for row in rows if row["epoch"] > WARM_UP_EPOCHS]
    return float(sum(row["samples"] for row in measured) / sum(row["seconds"] for row in measured))


def _work(job: StageJob, rank: int, num_workers: int) -> None:
    meeting = job.results / f"meeting-{job.stage_id}"
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=num_workers)
    run_stage(job)
    dist.destroy_process_group()

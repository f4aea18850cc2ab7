"""Samples a second of a BYOL stage in one worker or in several on this machine.

    python -m benchmarks.pretraining workers

Each call starts its workers as processes that meet over gloo, as Ray Train would start them on a CPU.
"""

import multiprocessing
from pathlib import Path

import torch.distributed as dist

from benchmarks.byol import Setting, stage_job
from trainables.jobs import StageJob
from trainables.pretrain import run_stage
from trainables.results import read_table

WARM_UP_EPOCHS, MEASURED_EPOCHS = 1, 2


def rate(setting: Setting, folder: Path, num_workers: int, threads: int) -> float:
    """Return the samples a second of all workers together, start and first epoch left out."""
    epochs = WARM_UP_EPOCHS + MEASURED_EPOCHS
    job = stage_job(setting, folder, threads, device="cpu", epochs=epochs, milestones=(epochs,))
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_work, args=(job, rank, num_workers)) for rank in range(num_workers)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if any(worker.exitcode for worker in workers):
        raise SystemExit(f"a worker ended with {[worker.exitcode for worker in workers]}")
    rows = [row for row in read_table(job.results, "pretraining")[0].to_pylist() if row["stage_id"] == job.stage_id]
    measured = [row for row in rows if row["epoch"] > WARM_UP_EPOCHS]
    return float(sum(row["samples"] for row in measured) / sum(row["seconds"] for row in measured))


def _work(job: StageJob, rank: int, num_workers: int) -> None:
    meeting = job.results / f"meeting-{job.stage_id}"
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=num_workers)
    run_stage(job)
    dist.destroy_process_group()

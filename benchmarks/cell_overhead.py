"""Claim: a whole cell trains at least 0.97 times as many samples a second as the bare training loop.

    python -m benchmarks.cell_overhead [key=value ...] [--networks demo resnet18-96 resnet18-224 resnet50-224]

The cell opens its data, builds its network, trains with augmentation, validates, tests, scores and writes its
Parquet rows. The bare loop takes the same number of optimiser steps on one ready batch and runs the network forward
on as many validation and test slices. Both run by turns in one process that has its libraries loaded, as a worker
has after its first cell. Each cell is compared with the loop that follows it, since a machine's speed drifts; the ratio
is the median of these, with their quartiles. The bare loop asks for every kernel anew, so on a GPU a captured step may
leave it behind.
"""

import statistics
import time

import torch

from benchmarks.input_pipeline import ModelStep
from benchmarks.networks import rounds_and_jobs
from trainables.data.slices import open_store
from trainables.finetune import load_parts, run_and_commit, validation_slices
from trainables.jobs import CellJob
from trainables.processes import this_worker


def main() -> None:
    """Print both times and their ratio for each network."""
    rounds, jobs = rounds_and_jobs(__doc__ or "", 5)
    for name, job in jobs.items():
        cells, loops = [], []
        for _ in range(rounds + 1):  # the first round warms up
            cells.append(timed(lambda job=job: run_and_commit(job)))
            loops.append(timed(lambda job=job: bare_loop(job)))
        cell, loop = statistics.median(cells[1:]), statistics.median(loops[1:])
        ratios = [each_loop / each_cell for each_cell, each_loop in zip(cells[1:], loops[1:], strict=True)]
        low, ratio, high = statistics.quantiles(ratios, method="inclusive") if rounds > 1 else ratios * 3
        print(
            f"{name}: cell {cell:.2f} s, bare loop {loop:.2f} s, {ratio:.3f} of its speed "
            f"(quartiles {low:.3f} to {high:.3f} of {rounds} rounds)"
        )


def timed(run: object) -> float:
    """Return the seconds of one call."""
    assert callable(run)
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def bare_loop(job: CellJob) -> None:
    """Train and evaluate without data, metrics or files."""
    config = job.finetune
    parts = load_parts(open_store(job.data, job.compute.cache), this_worker(job.compute).device)
    step = ModelStep(job, parts["train"])
    chosen = validation_slices(len(parts["validation"]), job.data.validation_slices)
    validation = parts["validation"].take(torch.tensor(chosen))
    test = parts["test"].take(torch.arange(len(parts["test"])))
    forward(step, validation, config.evaluation_batch_size)
    for number in range(1, config.steps + 1):
        step()
        if number % config.evaluate_every == 0 or number == config.steps:
            forward(step, validation, config.evaluation_batch_size)
    forward(step, test, config.evaluation_batch_size)
    if step.device.type == "cuda":
        torch.cuda.synchronize(step.device)


@torch.no_grad()
def forward(step: ModelStep, images: torch.Tensor, batch_size: int) -> None:
    """Run the network on ready slices."""
    step.network.eval()
    for batch in images.split(batch_size):
        with step.autocast():
            step.network(batch.contiguous(memory_format=torch.channels_last))
    step.network.train()


if __name__ == "__main__":
    main()

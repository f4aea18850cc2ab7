"""What a captured training step is worth on a GPU, and what fetching its batches adds.

    python -m benchmarks.captured_step [key=value ...] [--networks demo resnet18-96 resnet18-224 resnet50-224]

A step is taken on one ready batch, asked for kernel by kernel and as a CUDA graph; then a block of steps on batches
that are drawn and augmented, as cells do, from slices on the device and from those that stay memory-mapped on the host.
"""

import statistics
import time
from collections.abc import Callable
from functools import partial

import torch

from benchmarks.networks import rounds_and_jobs
from trainables.course import Course
from trainables.data import batches
from trainables.data.batches import Samples, finetune_batches, from_slices
from trainables.data.slice_store import SliceStore
from trainables.data.slices import open_store
from trainables.finetune import build_network
from trainables.fit import train_block
from trainables.jobs import CellJob
from trainables.processes import this_worker
from trainables.training_step import WARMUP_STEPS, TrainingStep

STEPS = 20


def main() -> None:
    """Print milliseconds of a step for each network."""
    if not torch.cuda.is_available():
        raise SystemExit("expected a GPU, found none; a step is captured there alone")
    rounds, jobs = rounds_and_jobs(__doc__ or "", 3)
    for name, job in jobs.items():
        device = this_worker(job.compute).device
        store = open_store(job.data, job.compute.cache)
        near = from_slices(store.images, store.masks, store.rows("train"), device)
        plain, captured = (Steps(job, store, near, graphs) for graphs in (False, True))
        ready = [median(each.ready, rounds) for each in (plain, captured)]
        block = [median(partial(each.block, near), rounds) for each in (plain, captured)]
        far = median(partial(captured.block, on_host(store, device)), rounds)
        print(
            f"{name}, batch {job.finetune.batch_size}, {job.finetune.precision}: ready batch {ready[0]:.2f} ms, "
            f"captured {ready[1]:.2f}, ratio {ready[0] / ready[1]:.2f}; drawn batches {block[0]:.2f}, "
            f"captured {block[1]:.2f}, ratio {block[0] / block[1]:.2f}; from the host {far:.2f}"
        )


def on_host(store: SliceStore, device: torch.device) -> Samples:
    """Return the training slices as they are where they do not fit on the GPU."""
    share, batches.DEVICE_SHARE = batches.DEVICE_SHARE, 0.0
    try:
        return from_slices(store.images, store.masks, store.rows("train"), device)
    finally:
        batches.DEVICE_SHARE = share


class Steps:
    """A network in training, past its first steps."""

    def __init__(self, job: CellJob, store: SliceStore, samples: Samples, graphs: bool) -> None:
        self._config = job.finetune
        self._network = build_network(job, samples.device, store.num_channels, store.num_classes).train()
        self._step = TrainingStep(self._network, self._config, samples.device, graphs)
        self._generator = torch.Generator().manual_seed(0)
        self._batch = next(finetune_batches(samples, 1, self._config.batch_size, self._config.views, self._generator))
        for _ in range(WARMUP_STEPS + 1):
            self._step(*self._batch)

    def ready(self) -> None:
        """Take steps on one batch."""
        for _ in range(STEPS):
            self._step(*self._batch)

    def block(self, samples: Samples) -> None:
        """Take steps on batches that are drawn."""
        train_block(Course(self._config), self._network, self._step, samples, self._generator, 0, STEPS)


def median(run: Callable[[], object], rounds: int) -> float:
    """Return the milliseconds of a step; the first round warms up."""
    found = []
    for _ in range(rounds + 1):
        torch.cuda.synchronize()
        started = time.perf_counter()
        run()
        torch.cuda.synchronize()
        found.append(1e3 * (time.perf_counter() - started) / STEPS)
    return statistics.median(found[1:])


if __name__ == "__main__":
    main()

"""What torch.compile would be worth to a training step of fine-tuning, and what each worker would pay for it first.

    python -m benchmarks.compiled_step [key=value ...] [--networks demo resnet18-96 resnet18-224 resnet50-224]

A step on one ready batch, of the network as it is and compiled, in blocks by turns, in the process's own time on a CPU.
Compiling is timed on the clock at the first step, with nothing of it cached.
"""

import os
import statistics
import tempfile
import time

import torch

from benchmarks.networks import rounds_and_jobs
from trainables.data.batches import finetune_batches, from_slices
from trainables.data.slices import open_store
from trainables.finetune import build_network
from trainables.jobs import CellJob
from trainables.processes import this_worker
from trainables.training_step import TrainingStep

STEPS = 10  # of a block


def main() -> None:
    """Print milliseconds of a step and seconds of compiling for each network."""
    rounds, jobs = rounds_and_jobs(__doc__ or "", 3)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder
        for name, job in jobs.items():
            plain, compiled = Steps(job, is_compiled=False), Steps(job, is_compiled=True)
            found = [(plain.milliseconds(), compiled.milliseconds()) for _ in range(rounds)]
            before, after = (statistics.median(each) for each in zip(*found, strict=True))
            print(
                f"{name}, batch {job.finetune.batch_size}, {job.finetune.precision}: {before:.1f} ms, compiled "
                f"{after:.1f}, ratio {before / after:.2f}; compiling {compiled.first_seconds:.0f} s",
                flush=True,
            )


class Steps:
    """A network in training past its first step."""

    def __init__(self, job: CellJob, is_compiled: bool) -> None:
        self._device = this_worker(job.compute).device
        store = open_store(job.data, job.compute.cache)
        samples = from_slices(store.images, store.masks, store.rows("train"), self._device)
        network: torch.nn.Module = build_network(job, self._device, store.num_channels, store.num_classes).train()
        if is_compiled:
            network = torch.compile(network)  # type: ignore[assignment]
        self._step = TrainingStep(network, job.finetune, self._device, job.compute.cuda_graphs)
        generator = torch.Generator().manual_seed(0)
        self._batch = next(finetune_batches(samples, 1, job.finetune.batch_size, job.finetune.views, generator))
        started = time.perf_counter()
        float(self._step(*self._batch))
        self.first_seconds = time.perf_counter() - started

    def milliseconds(self) -> float:
        """Return the time of a step."""
        clock = time.process_time if self._device.type == "cpu" else time.perf_counter
        started = clock()
        for _ in range(STEPS):
            loss = self._step(*self._batch)
        float(loss)
        return 1e3 * (clock() - started) / STEPS


if __name__ == "__main__":
    main()

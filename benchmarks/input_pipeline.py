"""Claim: drawing, decoding and augmenting a batch takes at most 5 % of the model's step.

    python -m benchmarks.input_pipeline [key=value ...] [--networks demo resnet18-96 resnet18-224 resnet50-224]

Both are timed by turns in one process: batches from the memory-mapped store (random resized crop, flip, colour),
and forward, loss, backward, clipping and Adam on a ready batch.
"""

import statistics
import time
from collections.abc import Callable

import torch

from benchmarks.networks import rounds_and_jobs
from trainables.data.batches import Samples, finetune_batches
from trainables.data.slices import open_store
from trainables.finetune import build_network, load_parts
from trainables.jobs import CellJob
from trainables.models.segmenter import jaccard_loss
from trainables.processes import this_worker

STEPS = 10


def main() -> None:
    """Print both times and their ratio for each network."""
    rounds, jobs = rounds_and_jobs(__doc__ or "", 9)
    for name, job in jobs.items():
        batch, step = measure(job, rounds)
        print(f"{name}: batch {1e3 * batch:.2f} ms, model step {1e3 * step:.1f} ms, ratio {batch / step:.1%}")


def measure(job: CellJob, rounds: int) -> tuple[float, float]:
    """Return the median seconds of a batch and of a model step, from runs of STEPS."""
    device = this_worker(job.compute).device
    train = load_parts(open_store(job.data, job.compute.cache), device)["train"]
    step = ModelStep(job, train)
    generator = torch.Generator().manual_seed(0)

    def batches() -> None:
        for _ in finetune_batches(train, STEPS, job.finetune.batch_size, job.finetune.views, generator):
            pass

    def steps() -> None:
        for _ in range(STEPS):
            step()

    measured = [(seconds(batches, device), seconds(steps, device)) for _ in range(rounds + 1)]
    batch, whole = (statistics.median(each) for each in zip(*measured[1:], strict=True))  # the first round warms up
    return batch / STEPS, whole / STEPS


class ModelStep:
    """One optimiser step on a ready batch."""

    def __init__(self, job: CellJob, train: Samples) -> None:
        self.device = device = train.device
        self.job, self.network = job, build_network(job, device, num_channels=1, num_classes=4).train()
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=1e-6, fused=True)
        self.criterion = jaccard_loss()
        generator = torch.Generator().manual_seed(0)
        images, self.masks = next(finetune_batches(train, 1, job.finetune.batch_size, job.finetune.views, generator))
        self.images = images.contiguous(memory_format=torch.channels_last)

    def autocast(self) -> torch.autocast:
        """Return the context of a forward pass in the recipe's precision."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.job.finetune.precision == "bf16")

    def __call__(self) -> None:
        with self.autocast():
            logits = self.network(self.images)
        loss = self.criterion(logits.float(), self.masks)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.job.finetune.gradient_clip)
        self.optimizer.step()


def seconds(run: Callable[[], None], device: torch.device) -> float:
    """Seconds of a call."""
    started = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()

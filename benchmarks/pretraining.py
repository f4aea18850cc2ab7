"""Claims on the speed of pretraining, each measured by turns in one run.

    python -m benchmarks.pretraining [loop precision workers lightly peak] [--rounds 3] [--threads 1] [--batch-factor 1]

loop       a whole BYOL stage (views, schedule, measures, rows, checkpoints) reaches 0.95 of the bare step's speed
precision  bf16 is 1.5 times as fast as fp32, on a processor that has instructions for it
workers    two workers on two cores train 1.8 times as many samples a second as one; the bound is two stages that share
           nothing
lightly    a stage is faster than lightly's own example on the same images, one core each
peak       a step reaches 65 % of what a large matrix product reaches, in floating-point operations a second, of torch's
           two ways to one (the BLAS, and the library of its convolutions) by the faster

An epoch of ``loop`` has 16 steps and ends with its measures and row, which weigh less in a study's longer ones; the
state is saved as often as in training, and an encoder is kept at the end alone. On a GPU batches fill it, in bf16.
Times are the process's own, so that other work on the machine weighs little; of two workers, and on a GPU, they are
the clock's.
"""

import argparse
import contextlib
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from unittest import mock

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import pretraining_workers
from benchmarks.byol import BareStep, Seconds, Setting, stage_job, timed
from benchmarks.lightly_byol import HIDDEN_SIZE, LightlyStep
from trainables import pretrain
from trainables.data.batches import random_view
from trainables.data.natural import open_natural
from trainables.jobs import StageJob
from trainables.pretrain import run_stage
from trainables.processes import this_worker
from trainables.stage_samples import load_samples

SMALL = Setting("resnet18", 96, batch_size=32, steps=4)
SETTINGS = (SMALL, Setting("resnet18", 224, batch_size=8, steps=4), Setting("resnet50", 224, batch_size=4, steps=4))
SHARED = (  # batches as in studies; what workers exchange is the same for any batch and image size
    replace(SMALL, batch_size=128, steps=2),
    Setting("resnet18", 224, batch_size=64, steps=2),
)
GPU_SETTINGS = (  # batches that fill it, in bf16
    Setting("resnet18", 96, batch_size=1024, steps=16),
    Setting("resnet18", 224, batch_size=256, steps=16),
    Setting("resnet50", 224, batch_size=256, steps=16),
)
EPOCH_STEPS = 16  # of `loop` on a CPU
HALF_INSTRUCTIONS = ("avx512_bf16", "amx_bf16")


def main() -> None:
    """Print a line for each claim and network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("claims", nargs="*", default=list(CLAIMS), help="which to measure (default: all)")
    parser.add_argument("--rounds", type=int, default=3, help="side-by-side repeats (default 3)")
    parser.add_argument("--threads", type=int, default=1, help="of a worker, on a CPU (default 1)")
    parser.add_argument("--batch-factor", type=int, default=1, help="larger batches by this (default 1)")
    options = parser.parse_args()
    if unknown := set(options.claims) - set(CLAIMS):
        parser.error(f"expected some of {', '.join(CLAIMS)}, found {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory(prefix="labelcurve-benchmark-") as folder:
        for name in options.claims:
            CLAIMS[name](Path(folder), options.rounds, options.threads, options.batch_factor)


def settings(factor: int) -> tuple[tuple[Setting, ...], str]:
    """Return what is measured on this machine, and in which precision."""
    known, precision = (GPU_SETTINGS, "bf16") if torch.cuda.is_available() else (SETTINGS, "fp32")
    return larger(known, factor), precision


def larger(known: Sequence[Setting], factor: int) -> tuple[Setting, ...]:
    """Return settings with batches that many times as large."""
    return tuple(replace(each, batch_size=factor * each.batch_size) for each in known)


def measure_loop(folder: Path, rounds: int, threads: int, factor: int) -> None:
    """Train an epoch of a stage and as many bare steps by turns, twice a round."""
    known, precision = settings(factor)
    for setting in known:
        if precision == "fp32":
            setting = replace(setting, steps=EPOCH_STEPS)
        job = stage_job(setting, folder, threads, epochs=2 * rounds + 1, precision=precision)
        whole, bare = epochs_by_turns(job, BareStep(job), setting.steps)
        print(f"loop: {setting}: bare step {1e3 * bare:.0f} ms, stage {1e3 * whole:.0f} ms, ratio {bare / whole:.3f}")


class StageClock:
    """The stage's clock, which stands still while others work: by its time it saves its state."""

    def __init__(self) -> None:
        self._away = 0.0

    def perf_counter(self) -> float:
        """Seconds of the stage."""
        return time.perf_counter() - self._away

    @contextlib.contextmanager
    def standing_still(self) -> Iterator[None]:
        """Count none of the body's time."""
        started = time.perf_counter()
        yield
        self._away += time.perf_counter() - started


def epochs_by_turns(job: StageJob, other: Callable[[], None], steps: int) -> tuple[float, float]:
    """Return the mean seconds of a step: of a whole stage of ``steps`` an epoch, and of ``other`` between epochs.

    The first epoch, which counts operations, is left out.
    """
    whole, others, mark, clock = [], [], Seconds.now(), StageClock()

    def between_epochs(_: object) -> None:
        nonlocal mark
        whole.append(Seconds.now() - mark)
        with clock.standing_still():
            others.append(timed(other, steps))
        mark = Seconds.now()

    with mock.patch.object(pretrain, "time", clock):
        run_stage(job, between_epochs)
    first, second = (statistics.mean(each.counted for each in part[1:]) / steps for part in (whole, others))
    return first, second


def measure_precision(folder: Path, rounds: int, threads: int, factor: int) -> None:
    """Take bare steps in fp32 and bf16 by turns, where the processor or a GPU has instructions for bf16."""
    if not torch.cuda.is_available() and not _has_half_instructions():
        print(f"precision: left out, since this processor has none of {', '.join(HALF_INSTRUCTIONS)}")
        return
    for setting in settings(factor)[0]:
        steps = [BareStep(stage_job(setting, folder, threads, precision=name)) for name in ("fp32", "bf16")]
        full, half = by_turns(steps, rounds)
        print(f"precision: {setting}: fp32 {1e3 * full:.0f} ms, bf16 {1e3 * half:.0f} ms, ratio {full / half:.2f}")


def _has_half_instructions() -> bool:
    path = Path("/proc/cpuinfo")
    return path.is_file() and any(name in path.read_text() for name in HALF_INSTRUCTIONS)


def by_turns(runs: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """Return the median seconds of each."""
    seconds = [[timed(run).counted for run in runs] for _ in range(rounds + 1)][1:]  # the first round warms up
    return [statistics.median(each) for each in zip(*seconds, strict=True)]


def measure_workers(folder: Path, rounds: int, threads: int, factor: int) -> None:
    """Train by turns: a stage in one worker, the same in two, and two stages of half its batch that share nothing."""
    measures = (
        partial(pretraining_workers.rate, num_workers=1),
        partial(pretraining_workers.rate, num_workers=2),
        partial(pretraining_workers.rate_apart, num_stages=2),
    )
    for setting in larger(SHARED, factor):
        rates = [[measure(setting, folder, threads=threads) for measure in measures] for _ in range(rounds)]
        one, two, apart = (statistics.median(each) for each in zip(*rates, strict=True))
        of_one, of_bound = (", ".join(f"{each[1] / each[other]:.2f}" for each in rates) for other in (0, 2))
        print(
            f"workers: {setting}: one {one:.1f} samples/s, two {two:.1f}, two that share nothing {apart:.1f}; "
            f"two over one {of_one}, over those that share nothing {of_bound}"
        )


def measure_lightly(folder: Path, rounds: int, threads: int, factor: int) -> None:
    """Train on the same images with the same heads, crops and colours by turns; then draw the views alone by turns."""
    views = {"views": {"set": "byol"}, "other_views": {"set": "byol-second"}, "optimizer": "sgd", "momentum": 0.0}
    heads = {"projection_hidden": HIDDEN_SIZE, "prediction_hidden": HIDDEN_SIZE}
    (setting,) = larger((SMALL,), factor)
    job = stage_job(setting, folder, threads, **views, options=heads, epochs=rounds + 1, milestones=(rounds + 1,))
    images = open_natural(job.natural, job.compute.cache).images()
    example = LightlyStep(images, setting.image_size, setting.batch_size, this_worker(job.compute).device)
    ours, theirs = epochs_by_turns(job, example, setting.steps)
    print(
        f"lightly: {setting}: example {1e3 * theirs:.0f} ms a step, ours {1e3 * ours:.0f} ms, ratio {theirs / ours:.2f}"
    )
    drawn, generator = torch.arange(setting.batch_size), torch.Generator().manual_seed(0)
    samples, _ = load_samples(job, this_worker(job.compute).device)
    recipes = [job.stage.views, job.stage.other_views or job.stage.views]
    our_views = [partial(random_view, samples, drawn, recipe, generator) for recipe in recipes]
    theirs, *ours_each = by_turns([example.views, *our_views], rounds)
    print(
        f"lightly: of these the two views of a batch: example {1e3 * theirs:.0f} ms, ours {1e3 * sum(ours_each):.0f} ms"
    )


def measure_peak(folder: Path, rounds: int, threads: int, factor: int) -> None:
    """Take bare steps and multiply matrices by turns."""
    known, precision = settings(factor)
    size, dtype = (8192, torch.bfloat16) if precision == "bf16" else (2048, torch.float32)
    for setting in known:
        step = BareStep(stage_job(setting, folder, threads, precision=precision))
        left, right = torch.rand(2, size, size, device=step.device).to(dtype)
        with FlopCounterMode(display=False) as counter:
            step()
        one_step, *products = by_turns([step, partial(torch.mm, left, right), _as_convolution(left, right)], rounds)
        reached = counter.get_total_flops() / one_step
        blas, convolution = (2 * size**3 / seconds for seconds in products)
        print(
            f"peak: {setting}: step {reached / 1e9:.1f} GFLOP/s, matrices {blas / 1e9:.1f} GFLOP/s by the BLAS and "
            f"{convolution / 1e9:.1f} as a convolution, share of the faster {reached / max(blas, convolution):.0%}"
        )


def _as_convolution(left: Tensor, right: Tensor) -> Callable[[], Tensor]:
    """Return a matrix product, (size, size) by (size, size), as a convolution of 16 images by kernels of one pixel."""
    size = len(left)
    images = left.reshape(16, 8, size // 128, size).permute(
        0, 3, 1, 2
    )  # (image, channel, height, width), channels last
    kernels = right.T.reshape(size, size, 1, 1).contiguous(memory_format=torch.channels_last)
    product = torch.nn.functional.conv2d(images, kernels).permute(0, 2, 3, 1).reshape(size, size)
    torch.testing.assert_close(product, left @ right, rtol=0.02, atol=0.1)
    return partial(torch.nn.functional.conv2d, images, kernels)


CLAIMS = {
    "loop": measure_loop,
    "precision": measure_precision,
    "workers": measure_workers,
    "lightly": measure_lightly,
    "peak": measure_peak,
}

if __name__ == "__main__":
    main()

"""Claim: pretraining on a CPU is faster where the process keeps the memory that a step frees.

    python -m benchmarks.kept_memory [--rounds 3] [--in-thread]

A bare BYOL step, each time in a process of its own, by turns as the C library comes and with ``kept_memory`` of
``trainables``. Times are the process's own, the kernel's work for it included. Page faults are counted, and the highest
resident memory is told. Ray Train trains in a thread beside the main one, where glibc has other heaps: ``--in-thread``
does so, too.
"""

import argparse
import multiprocessing
import resource
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import torch

from benchmarks.byol import BareStep, Setting, stage_job
from benchmarks.pretraining import SETTINGS
from trainables import processes

WARM_UP_STEPS, STEPS = 2, 8


@dataclass(frozen=True)
class Measured:
    """Of one process: the median step, the page faults of a step, and the highest resident memory."""

    step_seconds: float
    faults: float
    peak_bytes: int


def main() -> None:
    """Print both for each setting."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="side-by-side repeats (default 3)")
    parser.add_argument("--in-thread", action="store_true", help="train in a thread, as Ray Train does")
    options = parser.parse_args()
    for setting in SETTINGS:
        runs = [[apart(setting, kept, options.in_thread) for kept in (False, True)] for _ in range(options.rounds)]
        given_back, kept = map(list, zip(*runs, strict=True))
        ratios = sorted(first.step_seconds / second.step_seconds for first, second in runs)
        print(
            f"{setting}: given back {_words(given_back)}; kept {_words(kept)}; "
            f"ratio {statistics.median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f})"
        )


def _words(runs: list[Measured]) -> str:
    step, faults = (statistics.median(getattr(run, name) for run in runs) for name in ("step_seconds", "faults"))
    peak = max(run.peak_bytes for run in runs)
    return f"{1e3 * step:.0f} ms, {faults:.0f} faults a step, {peak / 2**20:.0f} MiB"


def apart(setting: Setting, is_kept: bool, in_thread: bool) -> Measured:
    """Measure in a fresh process: what the C library was told holds for the rest of one."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measure, (setting, is_kept, in_thread))


def measure(setting: Setting, is_kept: bool, in_thread: bool) -> Measured:
    """Measure in this process."""
    if not is_kept:
        mock.patch.object(processes, "keep_freed_memory", bool).start()
    results: list[Measured] = []
    thread = threading.Thread(target=lambda: results.append(steps(setting)))
    run: Callable[[], None] = thread.run
    if in_thread:
        thread.start()
        run = thread.join
    run()
    return results[0]


def steps(setting: Setting) -> Measured:
    """Take steps."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="labelcurve-benchmark-") as folder:
        step = BareStep(stage_job(setting, Path(folder), threads=1, device="cpu"))
    for _ in range(WARM_UP_STEPS):
        step()
    faults, seconds = _page_faults(), []
    for _ in range(STEPS):
        started = time.process_time()
        step()
        seconds.append(time.process_time() - started)
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return Measured(statistics.median(seconds), (_page_faults() - faults) / STEPS, peak)


def _page_faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


if __name__ == "__main__":
    main()

"""What several cells at once on one GPU are worth: cells a minute over those of one at a time.

    python -m benchmarks.packing [key=value ...] [--packings 1 2 4 8] [--seconds 10] [--networks demo resnet18-96]

As many processes as the packing says have one cell behind them each when the clock starts, and then run cell after
cell, as Ray's workers do, until the time is over. ``compute.gpus_per_cell`` is one over the best packing.
"""

import multiprocessing
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing.synchronize import Barrier

from benchmarks.networks import jobs, parser
from trainables.finetune import run_and_commit
from trainables.jobs import CellJob

WARM_SECONDS = 300
_all_are_warm: Barrier


def main() -> None:
    """Print the pace of each packing for each network."""
    command = parser(__doc__ or "", 1)
    command.add_argument("--packings", type=int, nargs="+", default=[1, 2, 4, 8], help="cells at once")
    command.add_argument("--seconds", type=float, default=10, help="of each measurement (default 10)")
    options = command.parse_args()
    known = jobs(options.networks, options.settings)
    paces: dict[str, dict[int, float]] = {name: {} for name in known}
    for packing in options.packings:
        for name, pace in paces_of(packing, known, options.seconds):
            paces[name][packing] = pace
            first = paces[name][options.packings[0]]
            print(f"{name}: {packing} at once, {pace:.1f} cells a minute, ratio {pace / first:.2f}", flush=True)


def paces_of(packing: int, known: dict[str, CellJob], seconds: float) -> Iterable[tuple[str, float]]:
    """Yield the cells a minute of so many processes together, for each network."""
    context = multiprocessing.get_context("spawn")
    start = (context.Barrier(packing),)
    with ProcessPoolExecutor(packing, context, initializer=_remember, initargs=start) as pool:
        for name, job in known.items():
            yield name, 60 * sum(pool.map(partial(_pace, job, seconds), range(packing)))


def _remember(barrier: Barrier) -> None:
    global _all_are_warm
    _all_are_warm = barrier


def _pace(job: CellJob, seconds: float, number: int) -> float:
    """Return the cells a second of this process, each with a seed of its own."""

    def run(count: int) -> None:
        axes = job.axes | {"cell_id": f"{number}-{count}", "train_seed": count}
        run_and_commit(job.model_copy(update={"axes": axes}))

    run(0)
    _all_are_warm.wait(WARM_SECONDS)  # a process that failed must not hold the others for ever
    started, count = time.perf_counter(), 0
    while time.perf_counter() < started + seconds:
        count += 1
        run(count)
    return count / (time.perf_counter() - started)


if __name__ == "__main__":
    main()

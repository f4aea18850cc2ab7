"""What two cores of this machine do over one: the bound of every claim about two of them.

    python -m benchmarks.machine

Two cores may be two threads of one core, and then do far less than twice its work. Two threads do what one does, twice
in all, on data of their own: matrix products, and decompression with the library that the store uses. Both are timed by
turns. Neither holds Python's lock.
"""

import argparse
import gzip
import statistics
import threading
import time
from collections.abc import Callable

import numpy as np
import torch
from isal import isal_zlib

MATRIX_SIZE = 1024
REPEATS = 12


def main() -> None:
    """Print how much faster two threads are than one, for each kind of work."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="side-by-side repeats (default 5)")
    rounds: int = parser.parse_args().rounds
    for name, work in {"matrix products": multiply(), "decompression": inflate()}.items():
        print(f"{name}: two cores do {two_over_one(work, rounds):.2f} times the work of one")


def two_over_one(work: Callable[[], object], rounds: int) -> float:
    """Return the work per second of two threads over that of one; the first round warms up."""
    ratios = []
    for _ in range(rounds + 1):
        alone, together = (seconds(work, num_threads) for num_threads in (1, 2))
        ratios.append(2 * alone / together)
    return statistics.median(ratios[1:])


def seconds(work: Callable[[], object], num_threads: int) -> float:
    """Return how long it takes until each of some threads has done the work."""
    threads = [threading.Thread(target=_alone, args=(work,)) for _ in range(num_threads)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - started


def _alone(work: Callable[[], object]) -> None:
    """Do the work on one core: a new thread's matrix products take all of them, whatever was set in the first."""
    torch.set_num_threads(1)
    work()


def multiply() -> Callable[[], object]:
    """Return work on matrices of float32."""
    first, second = (torch.randn(MATRIX_SIZE, MATRIX_SIZE) for _ in range(2))

    def work() -> None:
        for _ in range(REPEATS):
            torch.mm(first, second)

    return work


def inflate() -> Callable[[], object]:
    """Return work on a compressed volume of noisy whole numbers."""
    values = np.random.default_rng(0).gamma(2, 80, (10, 256, 216)).astype(np.int16)
    compressed = gzip.compress(values.tobytes(), 6)

    def work() -> None:
        for _ in range(REPEATS):
            isal_zlib.decompress(compressed, wbits=31)

    return work


if __name__ == "__main__":
    main()

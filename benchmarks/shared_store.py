"""Claim: however many workers of a node read the decoded data, it is in memory once.

    python -m benchmarks.shared_store [--workers 1 2 4] [--patients 20]

Each worker reads every row of the store, as a process that runs many cells has done in the end, and stays. Counted is
the store's proportional share of every worker's memory (``Pss`` of its mapping): pages that several processes share are
divided between them, so that the sum is what the node holds.
"""

import argparse
import multiprocessing
import re
import tempfile
from multiprocessing.synchronize import Barrier, Event
from pathlib import Path

import torch

from trainables.config import DataConfig, PhantomConfig
from trainables.data.batches import from_slices
from trainables.data.slices import open_store

PHANTOM = PhantomConfig(num_patients=20, num_slices=10, num_frames=30, height=256, width=216, spacing_mm=1.5)
IMAGE_SIZE = 224


def main() -> None:
    """Print the store's size and its share of memory for each number of workers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4], help="numbers of workers (default 1 2 4)")
    parser.add_argument("--patients", type=int, default=PHANTOM.num_patients, help="of the phantom (default 20)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="labelcurve-benchmark-") as folder:
        phantom = PHANTOM.model_copy(update={"num_patients": options.patients})
        config = DataConfig(phantom=phantom, image_size=IMAGE_SIZE)
        store = open_store(config, Path(folder))
        size = (store.decoded.folder / "images.npy").stat().st_size
        for number in options.workers:
            held = held_by(config, Path(folder), number)
            print(
                f"{number} workers: store {size / 2**20:.0f} MiB, held {held / 2**20:.0f} MiB, {held / size:.2f} of it"
            )


def held_by(config: DataConfig, cache: Path, num_workers: int) -> int:
    """Return the bytes of the store that this many workers hold together."""
    context = multiprocessing.get_context("spawn")
    all_read, is_counted = context.Barrier(num_workers + 1), context.Event()
    processes = [
        context.Process(target=read_all, args=(config, cache, all_read, is_counted)) for _ in range(num_workers)
    ]
    for process in processes:
        process.start()
    try:
        all_read.wait(timeout=300)
        return sum(proportional_share(process.pid or 0, "images.npy") for process in processes)
    finally:
        is_counted.set()
        for process in processes:
            process.join()


def read_all(config: DataConfig, cache: Path, all_read: Barrier, is_counted: Event) -> None:
    """Take every slice once in batches, and wait to be counted."""
    store = open_store(config, cache)
    samples = from_slices(store.images, None, torch.arange(len(store.images)).numpy(), torch.device("cpu"))
    for indices in torch.arange(len(samples)).split(64):
        samples.take(indices)
    all_read.wait(timeout=300)
    is_counted.wait()


def proportional_share(pid: int, name: str) -> int:
    """Return the Pss of a process's mappings of a file, in bytes."""
    share, is_file = 0, False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            is_file = line.endswith(name)
        elif is_file and line.startswith("Pss:"):
            share += int(line.split()[1]) * 1024
    return share


if __name__ == "__main__":
    main()

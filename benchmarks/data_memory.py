"""Claim: building the store of 100 patients with 30 full-size frames, and training from it, takes less than 1 GiB above
the libraries' own memory, whatever the store's size.

    python -m benchmarks.data_memory

Each of the two runs in a process of its own. It first trains one step on a tiny set, so that libraries and kernels are
loaded; what the process holds then is the libraries' own. From there the private memory is sampled every 10 ms. Mapped
pages of the store belong to the node's page cache, which the kernel takes back when it needs them: to show that, the
process runs in a memory cgroup (v1 or v2) that is limited to the libraries' own plus 1 GiB, page cache and all, where
the machine lets it make one. Its last line says which; without one the sampled private memory (RssAnon) is all that is
measured.
"""

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import torch

from trainables.config import ComputeConfig, DataConfig, FinetuneConfig, ModelConfig, PhantomConfig, ViewConfig
from trainables.course import Course
from trainables.data.batches import epoch_batches, finetune_batches, from_slices, random_view
from trainables.data.phantom import write_phantom
from trainables.data.slice_store import SliceStore
from trainables.data.slices import open_store
from trainables.fit import train_block
from trainables.models.encoder import Encoder
from trainables.models.segmenter import Segmenter
from trainables.processes import this_worker
from trainables.training_step import TrainingStep

FULL = PhantomConfig(num_patients=100, num_slices=10, num_frames=30, height=256, width=216, spacing_mm=1.5)
TINY = PhantomConfig(num_patients=12, num_slices=3, num_frames=2, height=256, width=216, spacing_mm=1.5)
CPU = torch.device("cpu")
SIZE = 224
CGROUPS = Path("/sys/fs/cgroup")
LIMITS = {1: "memory.limit_in_bytes", 2: "memory.max"}  # by version


def main() -> None:
    """Write the phantom, then measure building and training in processes of their own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=FULL.num_patients, help="fewer make a quick look")
    parser.add_argument("--phantom", type=Path, help="a folder that keeps the written phantom for the next time")
    parser.add_argument("--measure", choices=("build", "train"), help=argparse.SUPPRESS)
    parser.add_argument("--cache", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.measure, options.phantom, options.cache)
        return
    scratch = Path(tempfile.mkdtemp(prefix="labelcurve-benchmark-"))
    try:
        root = options.phantom or scratch / "phantom"
        if not root.exists():
            write_phantom(root, FULL.model_copy(update={"num_patients": options.patients}))
        for what in ("build", "train"):
            arguments = ["--measure", what, "--phantom", root, "--cache", scratch / "cache"]
            process = subprocess.Popen([sys.executable, "-m", "benchmarks.data_memory", *map(str, arguments)])
            returned = process.wait()
            for _, parent in places_for_groups():
                if _group(parent, process.pid).is_dir():
                    _group(parent, process.pid).rmdir()
            if returned:
                sys.exit(f"{what} ended with {returned}; -9 is the kernel's answer to too little memory")
    finally:
        shutil.rmtree(scratch)


def measure(what: str, root: Path, cache: Path) -> None:
    """Print the private memory that a build, or training on the built store, takes above the libraries' own."""
    compute = ComputeConfig(device="cpu", cache=cache)
    this_worker(compute)
    tiny = open_store(DataConfig(phantom=TINY, image_size=SIZE), cache)
    train(tiny, num_batches=1)
    config = DataConfig(root=root, image_size=SIZE)
    own = _memory("RssAnon")
    version = _limit(own + _memory("RssFile") + 2**30)
    held = f"in a cgroup (v{version}) limited to that plus 1 GiB, page cache and all" if version else "not limited"
    started = time.perf_counter()
    with _Peak() as peak:
        store = open_store(config, cache)
        if what == "train":
            train(store, num_batches=None)
    size = (store.decoded.folder / "images.npy").stat().st_size
    print(
        f"{what}: store {size / 2**30:.2f} GiB, libraries' own {own / 2**20:.0f} MiB, peak above it "
        f"{(peak.highest - own) / 2**20:.0f} MiB of private memory, {time.perf_counter() - started:.0f} s, {held}"
    )


def train(store: SliceStore, num_batches: int | None) -> None:
    """Draw every batch of an epoch of the pool in two views, then fine-tune on all training slices.

    The network, a narrow one since its speed is not the matter here, steps on each fine-tuning batch.
    """
    generator = torch.Generator().manual_seed(0)
    pool = from_slices(store.images, None, store.rows("pool"), CPU)
    for number, indices in enumerate(epoch_batches(len(pool), 128, generator)):
        if num_batches is not None and number >= num_batches:
            break
        for _ in range(2):
            random_view(pool, indices[:32], ViewConfig(), generator)
            pool.take(indices)
    labelled = from_slices(store.images, store.masks, store.rows("train"), CPU)
    labelled.take(torch.arange(min(256, len(labelled))))
    model = ModelConfig(encoder="resnet10", width=8, decoder_channels=(16, 16, 8, 8, 8))
    network = Segmenter(Encoder(model, store.num_channels), model, store.num_classes)
    recipe = FinetuneConfig(steps=20, batch_size=16)
    take_step = TrainingStep(network, recipe, CPU, graphs=False)
    next(finetune_batches(labelled, 1, recipe.batch_size, recipe.views, generator))
    train_block(Course(recipe), network, take_step, labelled, generator, 0, num_batches or recipe.steps)


class _Peak:
    """The highest private memory of this process while the body runs."""

    def __init__(self) -> None:
        self.highest = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "_Peak":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.01):
            self.highest = max(self.highest, _memory("RssAnon"))


def _memory(kind: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{kind}:"))


def places_for_groups(root: Path = CGROUPS, own: Path = Path("/proc/self/cgroup")) -> list[tuple[int, Path]]:
    """Return the version and the folder of each cgroup in which one with a limit of memory may be made, best first.

    In v1 memory has a hierarchy of its own; in v2 there is one, in which a group with processes of its own can limit
    no group below it: the nearest ancestor that can is found by trying them.
    """
    if (root / "memory").is_dir():
        return [(1, root / "memory")]
    path = next((line[3:] for line in own.read_text().splitlines() if line.startswith("0::")), "/")
    nearest = root / path.strip("/")
    return [(2, place) for place in (nearest, *nearest.parents) if place == root or root in place.parents]


def _group(parent: Path, pid: int) -> Path:
    return parent / f"labelcurve-{pid}"


def _limit(num_bytes: int) -> int | None:
    """Move this process into a memory cgroup of that size; return its version, or None where the machine does not."""
    for version, parent in places_for_groups():
        group = _group(parent, os.getpid())
        try:
            group.mkdir()
            with (group / LIMITS[version]).open("r+") as file:  # is not there where memory is not controlled
                file.write(str(num_bytes))
            (group / "cgroup.procs").write_text(str(os.getpid()))
        except OSError:
            with contextlib.suppress(OSError):
                group.rmdir()
            continue
        return version
    return None


if __name__ == "__main__":
    main()

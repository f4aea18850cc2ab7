"""Claim: the surface distances of a cell's test set take at most 2 % of the cell.

    python -m benchmarks.surface_distances

What is measured is the truth, shifted by two rows and one column as a good network errs, and the same with a hundredth
of all pixels in a random class, as an untrained one does: the time grows with the surface voxels of the two masks. The
demo's test set stands against one of its cells; volumes of ACDC's size (10 slices of 224 px) stand for themselves.
"""

import tempfile
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.networks import jobs
from trainables.config import DataConfig, PhantomConfig
from trainables.data.slice_store import SliceStore
from trainables.data.slices import open_store
from trainables.finetune import run_and_commit
from trainables.metrics import slice_counts
from trainables.scoring import score_cases

FULL_SIZE = PhantomConfig(num_patients=20, num_slices=10, num_frames=2, height=216, width=256, spacing_mm=1.4)
NOISE = 0.01
ROUNDS = 5
Labels = npt.NDArray[np.uint8]


def main() -> None:
    """Print how long distances take, and what share of a cell that is."""
    job = jobs(["demo"], ())["demo"]
    run_and_commit(job)  # warms up
    started = time.perf_counter()
    run_and_commit(job)
    cell = time.perf_counter() - started
    with tempfile.TemporaryDirectory(prefix="labelcurve-benchmark-") as folder:
        large = open_store(DataConfig(image_size=224, phantom=FULL_SIZE), Path(folder))
        for name, store in {"demo": open_store(job.data, job.compute.cache), "224 px": large}.items():
            num_volumes = len(store.volumes("test"))
            for kind, masks in predictions(store).items():
                seconds = distance_seconds(store, masks)
                share = f", {seconds / cell:.1%} of a cell of {cell:.2f} s" if name == "demo" else ""
                print(f"{name}, {kind}: {1000 * seconds / num_volumes:.1f} ms a volume, {num_volumes} volumes{share}")


def predictions(store: SliceStore) -> dict[str, Labels]:
    """Return what a good and an untrained network might predict of the test slices."""
    truth = np.asarray(store.masks[store.rows("test")])
    generator = np.random.default_rng(0)
    shifted = np.roll(truth, (2, 1), (1, 2))
    random = generator.integers(0, store.num_classes, truth.shape).astype(np.uint8)
    return {"shifted": shifted, "noisy": np.where(generator.random(truth.shape) < NOISE, random, shifted)}


def distance_seconds(store: SliceStore, masks: Labels) -> float:
    """Return the median of what scoring takes with distances beyond what it takes without."""
    truth = torch.from_numpy(np.asarray(store.masks[store.rows("test")]))
    counts = slice_counts(torch.from_numpy(masks), truth, store.num_classes).numpy()
    found = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        score_cases("cell", store, counts, list(masks))
        between = time.perf_counter()
        score_cases("cell", store, counts, None)
        found.append(2 * between - started - time.perf_counter())
    return float(np.median(found))


if __name__ == "__main__":
    main()

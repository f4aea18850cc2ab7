"""Claims: ACDC's 200 frames are decoded into the store at least 1.7 times as fast as nibabel loads them in one plain
loop on two cores; a second run starts at least 20 times as fast as that loop.

    python -m benchmarks.data_store --acdc ACDC/training

The loop loads every image and mask with nibabel, one after another, and does nothing with them. The store decompresses
and checks them, finds percentiles, scales, resamples or crops, counts classes, fingerprints every slice, and writes.
All three run by turns on the same files, which one unmeasured round has brought into the page cache. Without --acdc the
files are a phantom's: 100 patients with two frames of 216 x 256 pixels and 10 slices.
"""

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import torch

from trainables.config import DataConfig, PhantomConfig
from trainables.data.cache import built_once
from trainables.data.cases import is_image
from trainables.data.phantom import write_phantom
from trainables.data.slices import open_store

PHANTOM = PhantomConfig(num_patients=100, num_slices=10, num_frames=2, height=256, width=216, spacing_mm=1.5)
RECIPES = {
    "224 px, as the acdc preset": {"image_size": 224},
    "3 mm, 64 px, as acdc-small": {"image_size": 64, "spacing_mm": 3.0},
}


def main() -> None:
    """Print seconds and ratios for each recipe."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--acdc", type=Path, help="ACDC's training folder")
    parser.add_argument("--rounds", type=int, default=7, help="side-by-side repeats (default 7)")
    options = parser.parse_args()
    torch.set_num_threads(1)  # as in a worker: the store's own threads are the parallel ones
    scratch = Path(tempfile.mkdtemp(prefix="labelcurve-benchmark-"))
    try:
        root = options.acdc or built_once(scratch, "phantom", lambda folder: write_phantom(folder, PHANTOM))
        for name, recipe in RECIPES.items():
            compare(name, root, recipe, options.rounds, scratch)
    finally:
        shutil.rmtree(scratch)


def compare(name: str, root: Path, recipe: dict[str, object], rounds: int, scratch: Path) -> None:
    """Measure loop, build and second start by turns; the first round warms up."""
    cines = tuple(path.name.partition(".")[0] for path in root.rglob("*_4d.nii*"))
    config = DataConfig.model_validate({"root": root, "exclude": cines, **recipe})
    files = sorted(path for path in root.rglob("*_frame*") if is_image(path))
    loops, builds, starts = [], [], []
    for number in range(rounds + 1):
        cache = scratch / f"cache-{number}"
        loops.append(timed(lambda: load_all(files)))
        builds.append(timed(lambda cache=cache: open_store(config, cache)))
        starts.append(timed(lambda cache=cache: open_store(config, cache)))
        shutil.rmtree(cache)
    loop, build, start = (statistics.median(times[1:]) for times in (loops, builds, starts))
    best = min(loops[1:]) / min(builds[1:])
    print(
        f"{name}: {len(files)} files; loop {loop:.2f} s, store {build:.2f} s, second start {start * 1000:.0f} ms; "
        f"ratio {loop / build:.2f} (of the fastest rounds {best:.2f}), start {loop / start:.0f}"
    )


def load_all(files: list[Path]) -> None:
    """Load every file as nibabel does."""
    for path in files:
        np.asarray(nibabel.load(path).dataobj)


def timed(run: Callable[[], object]) -> float:
    """Return the seconds of one call."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()

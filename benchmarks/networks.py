"""The two networks that every training benchmark measures, as fine-tuning jobs on the phantom.

In: nothing. Out: named CellJobs: the demo's own, and a ResNet-18 U-Net at 96 px with a batch of 16.
"""

import argparse
import tempfile
from pathlib import Path

from sweep.experiment import load_preset
from sweep.inputs import read_inputs
from sweep.plan import build_plan
from trainables.jobs import CellJob
from trainables.results import open_results

LARGE = (
    "model={encoder: resnet18, width: 64}",
    "data.image_size=96",
    "data.phantom={num_patients: 12, num_slices: 6, num_frames: 2, height: 96, width: 104, spacing_mm: 1.4}",
    "data.validation_slices=16",
    "finetune.batch_size=16",
    "finetune.steps=30",
    "finetune.evaluate_every=15",
)


def jobs(root: Path) -> dict[str, CellJob]:
    """Return the two jobs, decoding their data first."""
    common = ("grid.arms=[random]", "report.reference_arm=random", "grid.label_counts=[36]", "grid.subset_seeds=[0]")
    common += ("grid.intermediate_label_counts=null",)
    result = {}
    for name, overrides in {"demo's model": (), "ResNet-18 at 96 px": LARGE}.items():
        experiment = load_preset("demo", [*common, *overrides, f"compute.cache={root / 'cache'}"])
        plan = build_plan(experiment, read_inputs(experiment), open_results(root / "results"))
        result[name] = plan.cells[0].job
    return result


def rounds_and_jobs(description: str, rounds: int) -> tuple[int, dict[str, CellJob]]:
    """Parse the benchmark's command line and return how often to measure, and what."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=rounds, help=f"side-by-side repeats (default {rounds})")
    chosen: int = parser.parse_args().rounds
    return chosen, jobs(Path(tempfile.mkdtemp(prefix="labelcurve-benchmark-")))

"""The networks that every training benchmark measures, as fine-tuning jobs on the phantom.

In: a benchmark's command line. Out: named CellJobs: the demo's own, and U-Nets on ResNets at 96 and 224 px with batches
that a CPU gets through; ``finetune.batch_size=64`` on the command line suits a GPU better.
"""

import argparse
import atexit
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from sweep.experiment import load_preset
from sweep.inputs import read_inputs
from sweep.plan import build_plan
from trainables.jobs import CellJob
from trainables.results import open_results

COMMON = (
    "grid.arms=[random]",
    "report.reference_arm=random",
    "grid.label_counts=[36]",
    "grid.subset_seeds=[0]",
    "grid.intermediate_label_counts=null",
)
LARGER = (
    "data.validation_slices=16",
    "finetune.steps=30",
    "finetune.evaluate_every=15",
)
PHANTOM = "data.phantom={{num_patients: 12, num_slices: 6, num_frames: 2, height: {0}, width: {0}, spacing_mm: {1}}}"
AT_96 = (*LARGER, "data.image_size=96", PHANTOM.format(104, 1.4), "finetune.batch_size=16")
AT_224 = (*LARGER, "data.image_size=224", PHANTOM.format(232, 0.65))
NETWORKS = {
    "demo": (),
    "resnet18-96": ("model={encoder: resnet18, width: 64}", *AT_96),
    "resnet18-224": ("model={encoder: resnet18, width: 64}", *AT_224, "finetune.batch_size=8"),
    "resnet50-224": ("model={encoder: resnet50, width: 64}", *AT_224, "finetune.batch_size=4"),
}
QUICK = ("demo", "resnet18-96")


def parser(description: str, rounds: int) -> argparse.ArgumentParser:
    """Return the command line that benchmarks of networks share."""
    result = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument("settings", nargs="*", metavar="key=value", help="of the experiment, such as finetune.steps=99")
    result.add_argument("--rounds", type=int, default=rounds, help=f"side-by-side repeats (default {rounds})")
    help_text = f"default: {', '.join(QUICK)}, which a CPU gets through"
    result.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=list(QUICK), help=help_text)
    return result


def jobs(names: Sequence[str], settings: Sequence[str]) -> dict[str, CellJob]:
    """Return a job for each network, decoding its data first; both last until this process ends."""
    root = Path(tempfile.mkdtemp(prefix="labelcurve-benchmark-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    result = {}
    for name in names:
        overrides = [*COMMON, *NETWORKS[name], f"compute.cache={root / 'cache'}", *settings]
        experiment = load_preset("demo", overrides)
        plan = build_plan(experiment, read_inputs(experiment), open_results(root / "results"))
        result[name] = plan.cells[0].job
    return result


def rounds_and_jobs(description: str, rounds: int) -> tuple[int, dict[str, CellJob]]:
    """Parse a benchmark's command line and return how often to measure, and what."""
    options = parser(description, rounds).parse_args()
    return options.rounds, jobs(options.networks, options.settings)

"""Claim: a network whose pointwise convolutions take oneDNN trains faster on a CPU, in fp32 with fewer than 16 images.

    python -m benchmarks.pointwise [--rounds 3]

A bare BYOL step with ResNet-50, by turns with the network as torch runs it and as ``trainables.placement`` places it.
Batches of 16 go to oneDNN in any case, and are measured to show that. Times are the process's own.
"""

import argparse
import tempfile
from pathlib import Path

from torch import nn

from benchmarks.byol import BareStep, Setting, stage_job
from benchmarks.pretraining import by_turns

SETTINGS = (
    Setting("resnet50", 224, batch_size=4, steps=4),
    Setting("resnet50", 64, batch_size=8, steps=4),
    Setting("resnet50", 64, batch_size=16, steps=4),
)


def main() -> None:
    """Print both times and their ratio for each setting."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="side-by-side repeats (default 3)")
    rounds: int = parser.parse_args().rounds
    for setting in SETTINGS:
        with tempfile.TemporaryDirectory(prefix="labelcurve-benchmark-") as folder:
            plain, placed = (BareStep(stage_job(setting, Path(folder), threads=1, device="cpu")) for _ in range(2))
            leave_to_torch(plain.objective)
            before, after = by_turns([plain, placed], rounds)
        print(
            f"{setting}: as torch runs it {1e3 * before:.0f} ms, by oneDNN {1e3 * after:.0f} ms, {before / after:.2f}"
        )


def leave_to_torch(network: nn.Module) -> None:
    """Undo what ``network_to_device`` has set."""
    for module in network.modules():
        if type(module) is nn.Conv2d and module.kernel_size == (1, 1):
            module.dilation = (1, 1)


if __name__ == "__main__":
    main()

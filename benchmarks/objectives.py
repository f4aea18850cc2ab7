"""What a training step of each objective costs, over BYOL's.

    python -m benchmarks.objectives

ResNet-18 of width 64, a batch of 64 images of 96 px with one channel, one thread of the CPU, fp32, AdamW; each method
with its default options and number of views. Views are ready: drawing them is not timed. Methods are timed by turns,
in the process's own time, so that other work on the machine weighs little.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from trainables.config import ComputeConfig, ModelConfig, StageConfig
from trainables.models.encoder import Encoder
from trainables.objectives import OBJECTIVES, build_objective
from trainables.objectives.optimizer import build_optimizer
from trainables.processes import this_worker

BATCH_SIZE, IMAGE_SIZE, NUM_CLASSES = 64, 96, 12


def main() -> None:
    """Print the seconds per image of each objective and their ratio to BYOL's."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="side-by-side repeats (default 3)")
    rounds: int = parser.parse_args().rounds
    this_worker(ComputeConfig(device="cpu"))
    steps = {name: training_step(name) for name in OBJECTIVES}
    seconds: dict[str, list[float]] = {name: [] for name in OBJECTIVES}
    for _ in range(rounds + 1):  # the first round warms up
        for name, step in steps.items():
            started = time.process_time()
            step()
            seconds[name].append(time.process_time() - started)
    medians = {name: statistics.median(each[1:]) for name, each in seconds.items()}
    for name, median in medians.items():
        print(f"{name}: {1e3 * median / BATCH_SIZE:.1f} ms an image, {median / medians['byol']:.2f} times BYOL")


def training_step(name: str) -> Callable[[], None]:
    """Return a call that trains one objective for one step on the same batch."""
    stage = StageConfig.model_validate({"objective": name, "data": "natural", "epochs": 1})
    objective = build_objective(Encoder(ModelConfig(), 1), stage, NUM_CLASSES)
    objective.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = build_optimizer(objective.trained, stage)
    shapes = [(BATCH_SIZE, 1, view.size, view.size) for view in objective.views(stage, IMAGE_SIZE)]
    views = [torch.randn(shape).contiguous(memory_format=torch.channels_last) for shape in shapes]
    targets = torch.arange(BATCH_SIZE) % NUM_CLASSES

    def step() -> None:
        loss = objective(views, targets).loss
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        objective.after_step(0, 1000)

    return step


if __name__ == "__main__":
    main()

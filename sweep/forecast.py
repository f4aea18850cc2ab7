"""What a plan will cost, from a few steps of its own networks on this machine.

In: an Experiment, its Plan and Inputs. Out: text. Steps are timed at a small batch and scaled to the recipe's;
cells that have finished already are believed instead. Misleads where the machine that forecasts is not the one that
runs.
"""

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from sweep.experiment import Experiment
from sweep.inputs import Inputs
from sweep.plan import Plan, PlannedStage
from sweep.progress import duration
from sweep.stage_checks import samples_of
from trainables.config import FinetuneConfig
from trainables.data.batches import Samples
from trainables.data.decoded import available_cores
from trainables.finetune import evaluate, train_block
from trainables.models.encoder import Encoder
from trainables.models.segmenter import Segmenter
from trainables.objectives import build_objective
from trainables.objectives.optimizer import build_optimizer
from trainables.processes import this_worker
from trainables.results import read_table


@dataclass(frozen=True)
class CellCost:
    """Seconds of one cell and where they are known from."""

    seconds: float
    basis: str


def forecast(experiment: Experiment, plan: Plan, inputs: Inputs) -> str:
    """Describe the cost of what is missing, in device time and in time on this machine."""
    if not plan.missing:
        return "forecast: nothing to run"
    worker = this_worker(experiment.compute)
    cell = _cell_cost(experiment, plan, inputs)
    stages = [(stage, stage_seconds(experiment, stage, inputs)) for stage in plan.stages]
    total_cells = cell.seconds * len(plan.missing)
    total_stages = sum(seconds for _, seconds in stages)
    cores = available_cores() // experiment.compute.threads
    slots = experiment.compute.slots or (
        cores if worker.device.type == "cpu" else round(1 / experiment.compute.gpus_per_cell)
    )
    kind = "GPU" if worker.device.type == "cuda" else f"CPU process of {experiment.compute.threads} threads"
    lines = [f"forecast, on one {kind} of this machine ({cell.basis}):"]
    lines += [f"  stage {stage.name}: {duration(seconds)}" for stage, seconds in stages]
    lines.append(f"  {len(plan.missing)} cells of {duration(cell.seconds)}: {duration(total_cells)}")
    wall = max((total_cells + total_stages) / max(slots, 1), total_stages / max(slots - 1, 1))
    lines.append(f"  about {duration(wall)} in all with {max(slots, 1)} at once, start-up left out")
    return "\n".join(lines)


def _cell_cost(experiment: Experiment, plan: Plan, inputs: Inputs) -> CellCost:
    protocol = plan.cells[0].job.axes["protocol_id"]
    columns = ["protocol_id", "wall_seconds"]
    rows = read_table(plan.cells[0].job.results, "cells", columns)[0].to_pylist()
    seen = [row["wall_seconds"] for row in rows if row["protocol_id"] == protocol]
    if seen:
        return CellCost(statistics.median(seen), f"median of {len(seen)} finished cells")
    config, device = experiment.finetune, this_worker(experiment.compute).device
    wanted, available = experiment.data.validation_slices, inputs.summary["num_slices"]["validation"]
    num_validation = available if wanted is None else min(wanted, available)
    evaluated = num_validation * (math.ceil(config.steps / config.evaluate_every) + 1)
    evaluated += inputs.summary["num_slices"]["test"]
    num_channels, num_classes = len(inputs.summary["channel_names"]), len(inputs.summary["class_names"]) + 1
    network = Segmenter(Encoder(experiment.model, num_channels), experiment.model, num_classes)
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    samples = _random_samples(experiment.data.image_size, num_channels, num_classes, device)
    batch = _timed_batch(config.batch_size, experiment.data.image_size)
    timed = config.model_copy(update={"batch_size": batch})
    step = _time(lambda: _train_steps(timed, network, samples)) / 2
    slice_seconds = _time(lambda: evaluate(network, samples, timed)) / len(samples)
    seconds = config.steps * step * config.batch_size / batch + evaluated * slice_seconds
    return CellCost(seconds, "from timing a few steps")


def _timed_batch(batch_size: int, image_size: int) -> int:
    return min(batch_size, 16 if image_size <= 96 else 4)


def _random_samples(size: int, num_channels: int, num_classes: int, device: torch.device) -> Samples:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(8, num_channels, size, size, generator=generator)
    masks = torch.randint(num_classes, (8, size, size), generator=generator)
    return Samples(images.to(device), masks.to(device), device, torch.arange(8))


def _train_steps(config: FinetuneConfig, network: Segmenter, samples: Samples) -> None:
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-6)
    train_block(config, network, optimizer, samples, torch.Generator().manual_seed(0), 0, 2)


def _time(run: Callable[[], object]) -> float:
    """Seconds of the second call: the first compiles kernels."""
    run()
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def stage_seconds(experiment: Experiment, stage: PlannedStage, inputs: Inputs) -> float:
    """Forecast one stage on one worker."""
    config, device = stage.config, this_worker(experiment.compute).device
    is_natural = config.data == "natural"
    num_samples, size = samples_of(config, experiment, inputs.summary)
    encoder = Encoder(experiment.model, 3 if is_natural else len(inputs.summary["channel_names"]))
    objective = build_objective(encoder, config, inputs.summary["natural"]["num_classes"] if is_natural else 0)
    objective.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = build_optimizer(objective.trained, config)
    batch = _timed_batch(config.batch_size, size)
    shapes = [(batch, encoder.out_channels[0], view.size, view.size) for view in objective.views(config, size)]
    views = [torch.rand(shape, device=device).contiguous(memory_format=torch.channels_last) for shape in shapes]
    targets = torch.zeros(batch, dtype=torch.long, device=device)

    def step() -> None:
        loss = objective(views, targets).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        float(loss.detach())  # waits for the device

    num_steps: float = config.epochs * num_samples / batch
    return _time(step) * num_steps

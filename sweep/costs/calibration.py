"""What a cell, and an epoch of each stage, take on this machine: believed from what has finished, else timed.

In: an Experiment, its Plan and Inputs. Out: seconds on one worker. Steps are timed on random images at a batch that a
CPU gets through quickly, and scaled to the recipe's. Misleads where another machine runs the plan or has trained a
stage's epochs, where cells that share a GPU slow one another, for compiled stages, which are timed uncompiled, and for
cells that stop early, which are timed for their whole budget until some have finished.
"""

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch

from sweep.costs.finished_units import FinishedUnits
from sweep.experiment import Experiment
from sweep.inputs import Inputs
from sweep.plan import Plan, PlannedStage
from sweep.stage_checks import samples_of
from trainables.config import content_hash
from trainables.course import Course
from trainables.data.batches import Samples, random_view
from trainables.encoder_store import epochs_done
from trainables.evaluation import evaluate
from trainables.failures import first_line
from trainables.fit import train_block
from trainables.models.encoder import Encoder
from trainables.models.segmenter import Segmenter, build_decoder
from trainables.objectives import build_objective, keeps_decoder
from trainables.optimisation import Optimisation
from trainables.placement import network_to_device
from trainables.processes import DeviceError, seeded, this_worker
from trainables.training_step import TrainingStep

NUM_SAMPLES = 8  # random images that are timed on
NUM_STEPS = 2  # of a cell in one timing
NUM_TIMINGS = 3  # after a first that is thrown away: it compiles kernels
TIMED_PIXELS = 150_000  # of a batch: 65 images of 48 pixels, 16 of 96, 4 of 224
EVALUATION_SHARE = 1 / 3  # of a training step's work that a forward pass alone is


class CalibrationError(Exception):
    """Nothing can be timed on this machine; the message says why."""


@dataclass(frozen=True)
class Costs:
    """Seconds on one worker of a cell, and how they are known; of an epoch of each stage; its epochs still to train.

    ``begun`` are the protocol and stages that had rows already: what is said of them is no forecast.
    """

    cell_seconds: float
    basis: str
    epoch_seconds: dict[str, float]
    epochs_left: dict[str, int]
    begun: frozenset[str] = frozenset()
    is_most: bool = False  # a cell's whole budget, before which it may stop

    def stage_seconds(self, stage_id: str) -> float:
        """Return what is left of a stage on one worker."""
        return self.epoch_seconds[stage_id] * self.epochs_left[stage_id]


def calibrate(experiment: Experiment, plan: Plan, inputs: Inputs, seen: FinishedUnits) -> Costs:
    """Time what ``seen`` does not tell. Raises CalibrationError where the device is absent or its memory too small."""
    left = {stage.stage_id: _epochs_left(stage) for stage in plan.stages}
    try:
        with seeded(0):
            cells = seen.cell_seconds
            cell = statistics.median(cells) if cells else _timed_cell(experiment, inputs)
            epochs = _epoch_seconds(experiment, plan, inputs, seen)
    except DeviceError as error:
        raise CalibrationError(str(error)) from error
    except RuntimeError as error:  # such as torch's out of memory
        raise CalibrationError(f"timing a few steps failed by {first_line(error)}") from error
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()
    basis = f"median of {len(cells)} finished cells" if cells else "from timing a few steps"
    is_most = experiment.finetune.stop is not None and not cells
    if is_most:
        basis += ", for the whole budget, which finetune.stop may cut short"
    return Costs(cell, basis, epochs, left, seen.begun, is_most)


def work_share(experiment: Experiment, plan: Plan, inputs: Inputs, seen: FinishedUnits) -> float:
    """Return the work of calibrating over that of the plan, both counted in samples that pass a network."""
    size, config = experiment.data.image_size, experiment.finetune
    device = "cuda" if torch.cuda.is_available() and experiment.compute.device != "cpu" else "cpu"
    evaluated = _evaluated_slices(experiment, inputs) * EVALUATION_SHARE
    run = len(plan.missing) * (config.steps * config.batch_size + evaluated)
    timed = 0.0
    if not seen.cell_seconds:
        timed = NUM_STEPS * _timed_batch(config.batch_size, size, device) + NUM_SAMPLES * EVALUATION_SHARE
    for stage in {_recipe(stage): stage for stage in plan.stages}.values():
        timed += _timed_batch(
            _batch_of_worker(experiment, stage), samples_of(stage.config, experiment, inputs.summary)[1], device
        )
    for stage in plan.stages:
        run += _epochs_left(stage) * samples_of(stage.config, experiment, inputs.summary)[0]
    return (NUM_TIMINGS + 1) * timed / run if run else math.inf


def _epochs_left(stage: PlannedStage) -> int:
    """Epochs still to train: a stage goes on from its state, and starts anew where that is gone."""
    done = epochs_done(stage.job.encoders, stage.stage_id, stage.config.kept_epochs)
    return max(0, stage.config.epochs - done)


def _evaluated_slices(experiment: Experiment, inputs: Inputs) -> int:
    """Slices that one cell evaluates on, validations and test together."""
    config, available = experiment.finetune, inputs.summary["num_slices"]
    wanted = experiment.data.validation_slices
    num_validation = available["validation"] if wanted is None else min(wanted, available["validation"])
    return int(num_validation * (math.ceil(config.steps / config.evaluate_every) + 1) + available["test"])


def _timed_cell(experiment: Experiment, inputs: Inputs) -> float:
    config, device = experiment.finetune, this_worker(experiment.compute).device
    num_channels, num_classes = len(inputs.summary["channel_names"]), len(inputs.summary["class_names"]) + 1
    network = Segmenter(Encoder(experiment.model, num_channels), experiment.model, num_classes)
    network_to_device(network, device)
    samples = _random_samples(experiment.data.image_size, num_channels, num_classes, device)
    batch = _timed_batch(config.batch_size, experiment.data.image_size, device.type)
    timed = config.model_copy(update={"batch_size": batch})
    take_step = TrainingStep(network, timed, device, experiment.compute.cuda_graphs)
    generator = torch.Generator().manual_seed(0)
    train = partial(train_block, Course(timed), network, take_step, samples, generator, 0, NUM_STEPS)
    step = _time(train) / NUM_STEPS
    slice_seconds = _time(lambda: evaluate(network, samples, timed)) / len(samples)
    return config.steps * step * config.batch_size / batch + _evaluated_slices(experiment, inputs) * slice_seconds


def _timed_batch(batch_size: int, image_size: int, device: str) -> int:
    """A GPU needs the whole batch to be busy; on a CPU a part will do whose pixels outweigh a step's fixed costs."""
    return batch_size if device == "cuda" else min(batch_size, max(4, TIMED_PIXELS // image_size**2))


def _random_samples(size: int, num_channels: int, num_classes: int | None, device: torch.device) -> Samples:
    generator = torch.Generator().manual_seed(0)
    shape = (NUM_SAMPLES, size, size)
    images = torch.rand(NUM_SAMPLES, num_channels, size, size, generator=generator).half()  # the types of a store
    masks = None if num_classes is None else torch.randint(num_classes, shape, generator=generator, dtype=torch.uint8)
    return Samples(images.to(device), None if masks is None else masks.to(device), device, torch.arange(NUM_SAMPLES))


def _time(run: Callable[[], object]) -> float:
    """Seconds of a call, the median of some."""
    run()
    seconds = []
    for _ in range(NUM_TIMINGS):
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def _recipe(stage: PlannedStage) -> str:
    """Hash of what tells a stage's seconds for one sample: stages that differ by start and length share it."""
    return content_hash(stage.config.model_dump(mode="json", exclude={"epochs", "milestones", "schedule"}))


def _epoch_seconds(experiment: Experiment, plan: Plan, inputs: Inputs, seen: FinishedUnits) -> dict[str, float]:
    """Seconds of an epoch of each stage: the median of those that it has behind it, else timed once for each recipe."""
    timed: dict[str, float] = {}
    found = {}
    for stage in plan.stages:
        if stage.stage_id in seen.epoch_seconds:
            found[stage.stage_id] = seen.epoch_seconds[stage.stage_id]
            continue
        recipe = _recipe(stage)
        if recipe not in timed:
            timed[recipe] = _timed_sample(experiment, stage, inputs)
        found[stage.stage_id] = timed[recipe] * samples_of(stage.config, experiment, inputs.summary)[0]
    return found


def _batch_of_worker(experiment: Experiment, stage: PlannedStage) -> int:
    parts = stage.config.micro_batches * experiment.compute.pretraining_workers
    return max(2, stage.config.batch_size // parts)


def _timed_sample(experiment: Experiment, stage: PlannedStage, inputs: Inputs) -> float:
    """Seconds of one sample of a stage: its views, a step's share, the measures of an epoch left out."""
    config, device = stage.config, this_worker(experiment.compute).device
    is_natural = config.data == "natural"
    size, num_channels = samples_of(config, experiment, inputs.summary)[1], len(inputs.summary["channel_names"])
    encoder = Encoder(experiment.model, 3 if is_natural else num_channels)
    decoder = build_decoder(encoder, experiment.model) if keeps_decoder(config) else None
    num_classes = inputs.summary["natural"]["num_classes"] if is_natural else 0
    objective = build_objective(encoder, config, num_classes, decoder)
    network_to_device(objective, device)
    batch = _timed_batch(_batch_of_worker(experiment, stage), size, device.type)
    optimisation = Optimisation(objective.trained, config, batch, 1, device)
    samples = _random_samples(size, 3 if is_natural else num_channels, None, device)
    indices, generator = torch.arange(batch) % NUM_SAMPLES, torch.Generator().manual_seed(0)
    targets = torch.zeros(batch, dtype=torch.long, device=device) if is_natural else None
    views = objective.views(config, size)

    def step() -> None:
        optimisation.begin(0)
        drawn = [random_view(samples, indices, view.recipe, generator, size=view.size) for view in views]
        with optimisation.autocast():
            loss = objective(drawn, targets).loss
        optimisation.backward(loss)
        optimisation.step()
        float(loss.detach())  # waits for the device

    return _time(step) / batch

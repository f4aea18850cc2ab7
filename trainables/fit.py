"""Train a segmentation network along its course, validating on the way.

In: a network, labelled slices and validation slices on their device, a CellJob. Out: the rows of the curve; the network
is trained in place. No validation score selects anything: with ``finetune.stop`` it decides where the course ends
(``course``). Every random draw comes from the cell's seeds.
"""

import dataclasses
import math
import time
from typing import Any

import torch

from trainables.config import FinetuneConfig, seed_of
from trainables.course import Course
from trainables.data.batches import Samples, finetune_batches
from trainables.evaluation import evaluate, pooled_dice
from trainables.jobs import CellJob
from trainables.models.segmenter import Segmenter
from trainables.training_step import TrainingStep

Row = dict[str, Any]


class FinetuningError(Exception):
    """A cell that cannot go on; the message says at which step and what to try."""


@dataclasses.dataclass
class Fit:
    """What a cell has behind it: the rows of its curve, and seconds."""

    curves: list[Row]
    train_seconds: float = 0.0
    validation_seconds: float = 0.0


def fit(job: CellJob, network: Segmenter, train: Samples, validation: Samples) -> Fit:
    """Train to the end of the course; validate at step 0, every ``evaluate_every`` steps and at the end.

    Without validation slices the curve holds the training loss alone.
    """
    config, course, fitted = job.finetune, Course(job.finetune), Fit([])
    take_step = TrainingStep(network, config, train.device, job.compute.cuda_graphs)
    generator = torch.Generator().manual_seed(seed_of("batches", job.axes["train_seed"]))
    step = 0
    course.see(step, _validate(job, fitted, network, validation, step, None))
    while step < course.end:
        block = min(config.evaluate_every, course.end - step)
        started = time.perf_counter()
        loss = train_block(course, network, take_step, train, generator, step, block)
        fitted.train_seconds += time.perf_counter() - started
        step += block
        must_be_finite("training", loss, config, step)
        course.see(step, _validate(job, fitted, network, validation, step, loss))
    take_step.release()
    return fitted


def must_be_finite(part: str, loss: float, config: FinetuneConfig, step: int) -> None:
    """Refuse a network that has diverged: what it predicts is no score of 0, and no score at all."""
    if not math.isfinite(loss):
        raise FinetuningError(
            f"the {part} loss is {loss} by step {step}; lower finetune.learning_rate ({config.learning_rate:g})"
        )


def train_block(
    course: Course,
    network: torch.nn.Module,
    take_step: TrainingStep,
    train: Samples,
    generator: torch.Generator,
    first_step: int,
    num_steps: int,
) -> float:
    """Take ``num_steps`` optimiser steps and return their mean loss; waits for the device once, at the end."""
    network.train()
    config = course.config
    total = torch.zeros((), device=train.device)
    batches = finetune_batches(train, num_steps, config.batch_size, config.views, generator)
    for step, batch in enumerate(batches, first_step):
        take_step.set_learning_rate(config.learning_rate * course.factor(step))
        total += take_step(*batch)
    return float(total) / num_steps


def _validate(
    job: CellJob, fitted: Fit, network: Segmenter, validation: Samples, step: int, train_loss: float | None
) -> float | None:
    """Add a point to the curve, and return its Dice."""
    started = time.perf_counter()
    result = evaluate(network, validation, job.finetune) if len(validation) else None
    fitted.validation_seconds += time.perf_counter() - started
    if result:
        must_be_finite("validation", result.loss, job.finetune, step)
    fitted.curves.append(
        {
            "cell_id": job.cell_id,
            "step": step,
            "train_loss": train_loss,
            "val_loss": result.loss if result else None,
            "val_dice": (val_dice := pooled_dice(result.counts) if result else None),
            "seconds": fitted.train_seconds,
        }
    )
    return val_dice

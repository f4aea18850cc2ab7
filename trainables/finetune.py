"""One cell of the grid: fine-tune a segmentation network on a labelled subset, validate on the way, test once.

In: a CellJob. Out: its row, its curve, its test counts and example segmentations (``results.commit_cell``). The budget
is a number of steps whatever the label count, and a cell ends before it only where ``finetune.stop`` asks for that
(``course``); validation is deterministic; the last network is the one that is tested, so no validation score selects
it among others. Equal jobs give equal numbers on one machine and thread count: every random
draw comes from the cell's seeds.
"""

import dataclasses
import functools
import importlib.metadata
import math
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trainables.config import DataConfig, FinetuneConfig, seed_of
from trainables.course import Course
from trainables.data.batches import Samples, finetune_batches, from_slices, network_input
from trainables.data.slice_store import SliceStore
from trainables.data.slices import open_store
from trainables.data.splits import PARTS, LabelSubset, label_order, take_labels
from trainables.examples import ExampleSlice, Mask, choose_slices, prediction_rows, slice_rows
from trainables.jobs import CellJob
from trainables.metrics import Counts, SoftJaccard, dice, slice_counts
from trainables.models.segmenter import Segmenter
from trainables.placement import network_to_device
from trainables.processes import seeded, this_worker
from trainables.results import commit_cell, record_example_slices
from trainables.scoring import score_cases
from trainables.training_step import TrainingStep
from trainables.weights import build_encoder, check_unchanged, load_decoder

Row = dict[str, Any]


class FinetuningError(Exception):
    """A cell that cannot go on; the message says at which step and what to try."""


@dataclasses.dataclass(frozen=True)
class CellResult:
    """The rows of a finished cell."""

    cell: Row
    curves: list[Row]
    cases: list[Row]
    examples: list[Row]
    example_slices: Sequence[Row]


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Loss and counts of one deterministic pass, and the masks predicted on the slices asked for.

    ``counts`` are (slice, class, 3), the background first.
    """

    loss: float
    counts: Counts
    masks: list[Mask] = dataclasses.field(default_factory=list)


def run_and_commit(job: CellJob) -> CellResult:
    """Run a cell and write its rows."""
    result = run_cell(job)
    record_example_slices(job.results, result.example_slices)
    commit_cell(job.results, result.cell, result.curves, result.cases, result.examples)
    return result


def run_cell(job: CellJob) -> CellResult:
    """Fine-tune, validate and test one cell. Raises FinetuningError when a loss is no longer finite."""
    started = time.perf_counter()
    device = this_worker(job.compute).device
    check_unchanged(job.encoder, job.weights_id)
    store = shared_store(job.data.model_dump_json(), job.compute.cache, job.data_id)
    subset = _labelled_subset(job, store)
    data = load_parts(store, device)
    network = build_network(job, device, store.num_channels, store.num_classes)
    chosen = validation_slices(len(data["validation"]), job.data.validation_slices)
    fit = _fit(job, network, data["train"].subset(subset.slices), data["validation"].subset(chosen))
    test = _test(job, store, network, data["test"], fit)
    cell = {
        **job.axes,
        "data_id": store.data_id,
        "encoder_id": job.encoder_id,
        **_annotated(store, subset, chosen),
        **_fit_columns(job, network, fit),
        "test_loss": test.loss,
        **test.scores,
        "test_seconds": test.seconds,
        "wall_seconds": time.perf_counter() - started,
        **_machine(device),
        "finished_at": datetime.now(UTC),
    }
    examples = prediction_rows(job.cell_id, test.shown, test.shown_masks)
    return CellResult(cell, fit.curves, test.cases, examples, slice_rows(store, test.shown))


def _annotated(store: SliceStore, subset: LabelSubset, validation: Sequence[int]) -> Row:
    """Return the columns that say how much annotation the cell took."""
    origins = store.origins("validation")
    return {
        "labelled_slices": len(subset.slices),
        "labelled_patients": subset.num_patients,
        "validation_slices": len(validation),
        "validation_patients": len({origins[index].patient for index in validation}),
    }


def _fit_columns(job: CellJob, network: Segmenter, fit: "_Fit") -> Row:
    """Return the columns of what was trained, for how long, and where it ended."""
    last = fit.curves[-1]
    return {
        "steps": last["step"],
        "budget_steps": job.finetune.steps,
        "batch_size": job.finetune.batch_size,
        "num_parameters": sum(parameter.numel() for parameter in network.parameters()),
        "val_loss": last["val_loss"],
        "val_dice": last["val_dice"],
        "train_seconds": fit.train_seconds,
        "validation_seconds": fit.validation_seconds,
    }


def _machine(device: torch.device) -> Row:
    """Return the columns that say where the cell ran, and by which program."""
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "code_version": f"labelcurve {importlib.metadata.version('labelcurve')}, torch {torch.__version__}",
    }


def _labelled_subset(job: CellJob, store: SliceStore) -> LabelSubset:
    origins = store.origins("train")
    order = _label_order(store, job.data.model_dump_json(), job.axes["subset_seed"])
    return take_labels(origins, order, job.axes["label_count"], job.data.label_unit)


@functools.lru_cache(maxsize=16)
def _label_order(store: SliceStore, config: str, subset_seed: int) -> list[list[int]]:
    """Draw an order of labelling once for all the cells of a worker that share it."""
    return label_order(store.origins("train"), DataConfig.model_validate_json(config), subset_seed)


@functools.lru_cache(maxsize=2)
def shared_store(config: str, cache: Path | None, data_id: str) -> SliceStore:
    """Open the store of a DataConfig in JSON; a worker that runs many cells looks at the files once."""
    return open_store(DataConfig.model_validate_json(config), cache, data_id)


@functools.lru_cache(maxsize=2)
def load_parts(store: SliceStore, device: torch.device) -> dict[str, Samples]:
    """Put the labelled parts on the device; a worker that runs many cells does this once."""
    return {part: from_slices(store.images, store.masks, store.rows(part), device) for part in PARTS}


def validation_slices(available: int, wanted: int | None) -> list[int]:
    """Return the positions of the validation slices: all, or ``wanted`` of them evenly spaced."""
    if wanted is None or wanted >= available:
        return list(range(available))
    return [int(index) for index in np.linspace(0, available - 1, wanted).round()]


def build_network(job: CellJob, device: torch.device, num_channels: int, num_classes: int) -> Segmenter:
    """Build the U-Net on the cell's encoder; head and decoder come from the training seed.

    So does a random encoder. A decoder that was pretrained with the encoder is taken, where its file holds one.
    """
    seed = seed_of("network", job.axes["train_seed"])
    encoder = build_encoder(job.model, job.encoder, num_channels, seed)
    with seeded(seed + 1):
        network = Segmenter(encoder, job.model, num_classes)
    load_decoder(network.decoder, job.encoder)
    return network_to_device(network, device)


@dataclasses.dataclass
class _Fit:
    curves: list[Row]
    train_seconds: float = 0.0
    validation_seconds: float = 0.0


def _fit(job: CellJob, network: Segmenter, train: Samples, validation: Samples) -> _Fit:
    """Train to the end of the course; validate at step 0, every ``evaluate_every`` steps and at the end.

    Without validation slices the curve holds the training loss alone.
    """
    config, course, fit = job.finetune, Course(job.finetune), _Fit([])
    take_step = TrainingStep(network, config, train.device, job.compute.cuda_graphs)
    generator = torch.Generator().manual_seed(seed_of("batches", job.axes["train_seed"]))
    step = 0
    course.see(step, _validate(job, fit, network, validation, step, None))
    while step < course.end:
        block = min(config.evaluate_every, course.end - step)
        started = time.perf_counter()
        loss = train_block(course, network, take_step, train, generator, step, block)
        fit.train_seconds += time.perf_counter() - started
        step += block
        _must_be_finite("training", loss, config, step)
        course.see(step, _validate(job, fit, network, validation, step, loss))
    take_step.release()
    return fit


def _must_be_finite(part: str, loss: float, config: FinetuneConfig, step: int) -> None:
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
    job: CellJob, fit: _Fit, network: Segmenter, validation: Samples, step: int, train_loss: float | None
) -> float | None:
    """Add a point to the curve, and return its Dice."""
    started = time.perf_counter()
    result = evaluate(network, validation, job.finetune) if len(validation) else None
    fit.validation_seconds += time.perf_counter() - started
    if result:
        _must_be_finite("validation", result.loss, job.finetune, step)
    fit.curves.append(
        {
            "cell_id": job.cell_id,
            "step": step,
            "train_loss": train_loss,
            "val_loss": result.loss if result else None,
            "val_dice": (val_dice := _pooled_dice(result.counts) if result else None),
            "seconds": fit.train_seconds,
        }
    )
    return val_dice


def _pooled_dice(counts: Counts) -> float | None:
    """Mean foreground Dice over all slices; None where no structure is there and none is found."""
    scores = dice(counts.sum(0)[1:])
    return None if np.isnan(scores).all() else float(np.nanmean(scores))


@dataclasses.dataclass(frozen=True)
class _Test:
    """``scores`` are columns of the cell's row; ``shown`` are the example slices, with the masks predicted there."""

    loss: float
    scores: Row
    cases: list[Row]
    shown: Sequence[ExampleSlice]
    shown_masks: list[Mask]
    seconds: float


def _test(job: CellJob, store: SliceStore, network: Segmenter, samples: Samples, fit: _Fit) -> _Test:
    """Score the network on the test slices, and keep what it predicts where distances or examples need it."""
    started = time.perf_counter()
    shown = choose_slices(store, job.compute.example_slices)
    is_measured = job.compute.surface_distances
    kept = range(len(samples)) if is_measured else [each.position for each in shown]
    result = evaluate(network, samples, job.finetune, kept)
    _must_be_finite("test", result.loss, job.finetune, fit.curves[-1]["step"])
    cases, scores = score_cases(job.cell_id, store, result.counts, result.masks if is_measured else None)
    masks = dict(zip(kept, result.masks, strict=True))
    shown_masks = [masks[each.position] for each in shown]
    return _Test(result.loss, scores, cases, shown, shown_masks, time.perf_counter() - started)


@torch.no_grad()
def evaluate(network: Segmenter, samples: Samples, config: FinetuneConfig, kept: Sequence[int] = ()) -> Evaluation:
    """Score every slice whole, without augmentation; the result does not depend on the batch size.

    The masks predicted at the positions ``kept`` are returned in that order.
    """
    network.eval()
    device = samples.device
    loss, counts = SoftJaccard(network.num_classes, device), []
    masks: dict[int, Mask] = {}
    for indices in torch.split(torch.arange(len(samples)), config.evaluation_batch_size):
        images, truth = network_input(samples.take(indices)), samples.take_targets(indices).long()
        with torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bf16"):
            logits = network(images)
        logits = logits.contiguous()  # each class's plane whole: what follows looks at classes, not at pixels
        loss.add(logits, truth)
        predicted = logits.max(1).indices
        counts.append(slice_counts(predicted, truth, network.num_classes))
        if places := [place for place, position in enumerate(indices.tolist()) if position in kept]:
            chosen = predicted[places].to(torch.uint8).cpu().numpy()
            masks |= zip(indices[places].tolist(), chosen, strict=True)
    return Evaluation(loss.loss(), torch.cat(counts).cpu().numpy(), [masks[position] for position in kept])

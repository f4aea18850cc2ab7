"""One cell of the grid: fine-tune a segmentation network on a labelled subset, validate on the way, test once.

In: a CellJob. Out: its row, its curve, its test counts and example segmentations (``results.commit_cell``). The budget
is a number of steps whatever the label count (``fit``); the last network is the one that is tested, so no validation
score selects it among others. Equal jobs give equal numbers on one machine and thread count.
"""

import dataclasses
import functools
import importlib.metadata
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trainables.config import DataConfig, seed_of
from trainables.data.batches import Samples, from_slices
from trainables.data.slice_store import SliceStore
from trainables.data.slices import open_store
from trainables.data.splits import PARTS, LabelSubset, label_order, take_labels
from trainables.evaluation import evaluate
from trainables.examples import ExampleSlice, Mask, choose_slices, prediction_rows, slice_rows
from trainables.fit import Fit, fit, must_be_finite
from trainables.jobs import CellJob
from trainables.models.segmenter import Segmenter
from trainables.placement import network_to_device
from trainables.processes import seeded, this_worker
from trainables.results import commit_cell, record_example_slices
from trainables.scoring import score_cases
from trainables.weights import build_encoder, check_unchanged, load_decoder

Row = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class CellResult:
    """The rows of a finished cell."""

    cell: Row
    curves: list[Row]
    cases: list[Row]
    examples: list[Row]
    example_slices: Sequence[Row]


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
    fitted = fit(job, network, data["train"].subset(subset.slices), data["validation"].subset(chosen))
    test = _test(job, store, network, data["test"], fitted)
    cell = {
        **job.axes,
        "data_id": store.data_id,
        "encoder_id": job.encoder_id,
        **_annotated(store, subset, chosen),
        **_fit_columns(job, network, fitted),
        "test_loss": test.loss,
        **test.scores,
        "test_seconds": test.seconds,
        "wall_seconds": time.perf_counter() - started,
        **_machine(device),
        "finished_at": datetime.now(UTC),
    }
    examples = prediction_rows(job.cell_id, test.shown, test.shown_masks)
    return CellResult(cell, fitted.curves, test.cases, examples, slice_rows(store, test.shown))


def _annotated(store: SliceStore, subset: LabelSubset, validation: Sequence[int]) -> Row:
    """Return the columns that say how much annotation the cell took."""
    origins = store.origins("validation")
    return {
        "labelled_slices": len(subset.slices),
        "labelled_patients": subset.num_patients,
        "validation_slices": len(validation),
        "validation_patients": len({origins[index].patient for index in validation}),
    }


def _fit_columns(job: CellJob, network: Segmenter, fitted: Fit) -> Row:
    """Return the columns of what was trained, for how long, and where it ended."""
    last = fitted.curves[-1]
    return {
        "steps": last["step"],
        "budget_steps": job.finetune.steps,
        "batch_size": job.finetune.batch_size,
        "num_parameters": sum(parameter.numel() for parameter in network.parameters()),
        "val_loss": last["val_loss"],
        "val_dice": last["val_dice"],
        "train_seconds": fitted.train_seconds,
        "validation_seconds": fitted.validation_seconds,
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


@dataclasses.dataclass(frozen=True)
class _Test:
    """``scores`` are columns of the cell's row; ``shown`` are the example slices, with the masks predicted there."""

    loss: float
    scores: Row
    cases: list[Row]
    shown: Sequence[ExampleSlice]
    shown_masks: list[Mask]
    seconds: float


def _test(job: CellJob, store: SliceStore, network: Segmenter, samples: Samples, fitted: Fit) -> _Test:
    """Score the network on the test slices, and keep what it predicts where distances or examples need it."""
    started = time.perf_counter()
    shown = choose_slices(store, job.compute.example_slices)
    is_measured = job.compute.surface_distances
    kept = range(len(samples)) if is_measured else [each.position for each in shown]
    result = evaluate(network, samples, job.finetune, kept)
    must_be_finite("test", result.loss, job.finetune, fitted.curves[-1]["step"])
    cases, scores = score_cases(job.cell_id, store, result.counts, result.masks if is_measured else None)
    masks = dict(zip(kept, result.masks, strict=True))
    shown_masks = [masks[each.position] for each in shown]
    return _Test(result.loss, scores, cases, shown, shown_masks, time.perf_counter() - started)

"""The inputs of an experiment, read and checked before anything is trained.

In: an Experiment. Out: what identifies its data and weights. Every volume is decoded here once (or found decoded),
every weights file is loaded once, so that bad input is an error now and not an hour later.
"""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sweep.experiment import Experiment
from sweep.stage_checks import check_stage
from trainables.config import content_hash
from trainables.course import Course
from trainables.data.dataset import DataError, Problem
from trainables.data.natural import open_natural
from trainables.data.parallel import Progress
from trainables.data.slice_store import SliceStore
from trainables.data.slices import open_store
from trainables.data.splits import describe_order, label_order
from trainables.objectives import keeps_decoder
from trainables.weights import WeightsError, check_decoder, check_weights
from trainables.weights.loading import CheckedWeights

SMALLEST_POOL = 2  # slices: batch norm needs two


@dataclass(frozen=True)
class Inputs:
    """Content hashes of data and weights, and what the report says of the data."""

    data_id: str  # of the labelled slices
    pool_id: str  # of the unlabelled ones
    natural_id: str | None  # none where no stage uses natural images
    weights_ids: dict[str, str]  # of each initial weights string
    summary: dict[str, Any]
    label_orders: dict[int, list[dict[str, Any]]]  # of each subset seed, for people who label or repeat
    label_draw: str  # how they were drawn
    order_ids: dict[int, str]  # hash of each of these orders
    split: list[dict[str, list[str]]]  # as nnU-Net's splits_final.json
    weights_reports: dict[str, str] = field(default_factory=dict)  # what was matched of each that is not random


def read_inputs(experiment: Experiment, progress: Progress | None = None, is_here: bool = False) -> Inputs:
    """Read and check everything. Raises DataError or WeightsError.

    ``progress``: volumes decoded, and of how many. ``is_here``: all runs on this machine, whose devices are known.
    """
    arms = [experiment.arms[name] for name in experiment.arm_names]
    weights = _check_weights(experiment)
    store = open_store(experiment.data, experiment.compute.cache, progress=progress)
    orders = _label_orders(experiment, store)
    used = {stage for arm in arms for stage in arm.stages}
    if any(experiment.stages[name].data == "domain" for name in used):
        _check_pool(experiment, store)
    of_stop = _check_stop(experiment, store)
    natural_id = None
    summary = {"name": experiment.name, **store.summary}
    if any(experiment.stages[name].data == "natural" for name in used):
        natural = open_natural(experiment.natural, experiment.compute.cache, progress=progress)
        natural_id = natural.data_id
        summary["natural"] = natural.summary
    of_stages = [warning for name in sorted(used) for warning in check_stage(experiment, name, summary, is_here)]
    summary["warnings"] = [*store.warnings, *of_stages, *of_stop]
    origins = store.origins("train")
    return Inputs(
        data_id=store.data_id,
        pool_id=store.pool_id,
        natural_id=natural_id,
        weights_ids={source: checked.weights_id for source, checked in weights.items()},
        summary=summary,
        label_orders={seed: describe_order(origins, order) for seed, order in orders.items()},
        label_draw=_label_draw(experiment),
        order_ids={seed: content_hash(order) for seed, order in orders.items()},
        split=store.split,
        weights_reports={
            source: _with_decoder(checked.line, source, experiment)
            for source, checked in weights.items()
            if source != "random"
        },
    )


def _check_weights(experiment: Experiment) -> dict[str, CheckedWeights]:
    found = {}
    for source in dict.fromkeys(experiment.arms[name].weights for name in experiment.arm_names):
        with _asked_by(source, experiment):
            found[source] = check_weights(source, experiment.model)
    return found


@contextlib.contextmanager
def _asked_by(source: str, experiment: Experiment) -> Iterator[None]:
    """Name the settings that ask for weights in what is wrong with them."""
    try:
        yield
    except WeightsError as error:
        names = [f"arms.{name}.weights" for name in experiment.arm_names if experiment.arms[name].weights == source]
        raise WeightsError(f"{', '.join(names)}: {error}") from error


def _with_decoder(line: str, source: str, experiment: Experiment) -> str:
    """Add what is taken of a decoder, checked to fit; a first stage that keeps none drops it, whatever it is."""
    arms = [(name, experiment.arms[name]) for name in experiment.arm_names if experiment.arms[name].weights == source]
    takers = [name for name, arm in arms if not arm.stages or keeps_decoder(experiment.stages[arm.stages[0]])]
    with _asked_by(source, experiment):
        num_tensors = check_decoder(source, experiment.model) if takers else 0
    if not num_tensors:
        return line
    by = "" if len(takers) == len(arms) else f" by {', '.join(takers)}"
    return f"{line}; its decoder is taken, too{by}: {num_tensors} tensors"


def _check_pool(experiment: Experiment, store: SliceStore) -> None:
    """Refuse a pool that cannot fill one small batch."""
    if (available := store.summary["num_slices"]["pool"]) < SMALLEST_POOL:
        found, remedy = f"{available} slices to pretrain on", "give data.unlabelled_root, or choose arms without domain"
        where = str(experiment.data.root or "the phantom")
        raise DataError(Problem(where, found, f"at least {SMALLEST_POOL}", remedy))


def _check_stop(experiment: Experiment, store: SliceStore) -> list[str]:
    """Refuse early stopping of cells that nothing is validated in; warn where it could stop none."""
    stop = experiment.finetune.stop
    if stop is None:
        return []
    available, wanted = store.summary["num_slices"]["validation"], experiment.data.validation_slices
    if not available or wanted == 0:
        found = f"data.validation_slices={wanted}" if available else "no validation patients in the split"
        raise DataError(
            f"finetune.stop: expected validation slices whose Dice can stop rising, found {found}; set "
            "finetune.stop=null, or validate on some"
        )
    if stop.patience < (num_counted := Course(experiment.finetune).num_counted):
        return []
    return [
        f"finetune.stop.patience={stop.patience} never runs out: expected fewer than the validations between warm-up "
        f"and cooldown, found {num_counted}, so that every cell runs its whole budget; lower it or "
        "finetune.evaluate_every, or set finetune.stop=null"
    ]


def _label_orders(experiment: Experiment, store: SliceStore) -> dict[int, list[list[int]]]:
    """The order of labelling of each subset seed, checked to be long enough for the grid and drawn on these data."""
    data, origins = experiment.data, store.origins("train")
    orders = {seed: label_order(origins, data, seed) for seed in experiment.grid.subset_seeds}
    largest, available = max(experiment.grid.label_counts), min(map(len, orders.values()))
    if largest > available:
        raise DataError(
            f"grid.label_counts asks for {largest} labelled {data.label_unit}, but the training split has {available} "
            f"{data.label_unit} ({store.summary['num_patients']['train']} patients, "
            f"{store.summary['num_slices']['train']} slices); lower it to at most {available}"
        )
    if data.label_orders is not None:
        for seed in orders:
            _check_drawn_here(data.label_orders / f"seed-{seed}.json", store)
    return orders


def _label_draw(experiment: Experiment) -> str:
    """How the labelled slices are drawn; orders from files say how they were."""
    data = experiment.data
    if data.label_orders is None:
        return data.label_draw
    files = (data.label_orders / f"seed-{seed}.json" for seed in experiment.grid.subset_seeds)
    return ", ".join(sorted({str(json.loads(path.read_text()).get("draw", "file")) for path in files}))


def _check_drawn_here(path: Path, store: SliceStore) -> None:
    found = json.loads(path.read_text()).get("content_id")
    if found != store.content_id:
        remedy = "use the data that it was drawn on, or draw anew without data.label_orders"
        raise DataError(Problem(str(path), f"an order drawn on data {found}", f"data {store.content_id}", remedy))

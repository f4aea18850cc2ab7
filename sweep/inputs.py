"""The inputs of an experiment, read and checked before anything is trained.

In: an Experiment. Out: what identifies its data and weights. Every volume is decoded here once (or found decoded),
every weights file is loaded once, so that bad input is an error now and not an hour later.
"""

from dataclasses import dataclass
from typing import Any

from sweep.experiment import Experiment
from trainables.data.acdc import DataError
from trainables.data.natural import open_natural
from trainables.data.slices import SliceStore, open_store
from trainables.data.splits import label_order
from trainables.weights import check_weights


@dataclass(frozen=True)
class Inputs:
    """Content hashes of data and weights, and what the report says of the data."""

    data_id: str  # of the labelled slices
    pool_id: str  # of the unlabelled ones
    natural_id: str | None  # none where no stage uses natural images
    weights_ids: dict[str, str]  # of each initial weights string
    summary: dict[str, Any]
    label_orders: dict[int, list[dict[str, Any]]]  # of each subset seed, for people who label or repeat


def read_inputs(experiment: Experiment) -> Inputs:
    """Read and check everything. Raises DataError or WeightsError."""
    arms = [experiment.arms[name] for name in experiment.arm_names]
    weights = {arm.weights: check_weights(arm.weights, experiment.model) for arm in arms}
    store = open_store(experiment.data, experiment.compute.cache)
    _check_label_counts(experiment, store)
    used = {stage for arm in arms for stage in arm.stages}
    natural_id = None
    summary = {"name": experiment.name, **store.summary}
    if any(experiment.stages[name].data == "natural" for name in used):
        natural = open_natural(experiment.natural, experiment.compute.cache)
        natural_id = natural.data_id
        summary["natural"] = natural.summary
    orders = {seed: _order(store, experiment, seed) for seed in experiment.grid.subset_seeds}
    return Inputs(store.data_id, store.pool_id, natural_id, weights, summary, orders)


def _check_label_counts(experiment: Experiment, store: SliceStore) -> None:
    unit = experiment.data.label_unit
    available = store.summary[f"num_{unit}"]["train"]
    largest = max(experiment.grid.label_counts)
    if largest > available:
        raise DataError(
            f"grid.label_counts asks for {largest} labelled {unit}, but the training split has {available} {unit} "
            f"({store.summary['num_patients']['train']} patients); lower it to at most {available}"
        )


def _order(store: SliceStore, experiment: Experiment, seed: int) -> list[dict[str, Any]]:
    """The training slices in the order in which they are labelled, by patient, phase and slice number."""
    places = [
        {"patient": volume.patient, "phase": volume.phase, "slice": index}
        for volume in store.volumes("train")
        for index in range(volume.stop - volume.start)
    ]
    groups = label_order(store.patient_of_slice("train"), experiment.data.label_unit, seed)
    return [{"unit": unit, **places[index]} for unit, group in enumerate(groups, 1) for index in group]

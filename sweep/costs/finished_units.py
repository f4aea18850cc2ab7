"""What finished cells and epochs took, where that tells what the missing ones will take.

In: an Experiment, a Plan and its results folder. Out: seconds. A cell tells as much as the device and threads that it
ran with are those of this run; of an epoch no row says on what it ran.
"""

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from sweep.experiment import Experiment
from sweep.on_ray.shares import LOCAL, cluster_address
from sweep.plan import Plan
from trainables.config import ComputeConfig
from trainables.results import finished_cells, read_table


@dataclass(frozen=True)
class FinishedUnits:
    """Seconds of cells like those to come, and the median of an epoch of each stage that has any.

    ``begun``: the protocol and stages that have rows, whatever these tell. What is said of them now is no forecast.
    """

    cell_seconds: tuple[float, ...]
    epoch_seconds: Mapping[str, float]
    begun: frozenset[str]


def read_finished_units(experiment: Experiment, plan: Plan) -> FinishedUnits:
    """Read what the plan's protocol and stages have behind them."""
    job = plan.cells[0].job
    protocol, finished = job.axes["protocol_id"], finished_cells(job.results)
    columns = ["cell_id", "protocol_id", "wall_seconds", "device", "threads"]
    cells = [
        row
        for row in read_table(job.results, "cells", columns)[0].to_pylist()
        if row["cell_id"] in finished and row["protocol_id"] == protocol
    ]
    epochs: dict[str, list[float]] = {}
    for row in read_table(job.results, "pretraining", ["stage_id", "device_seconds"])[0].to_pylist():
        epochs.setdefault(row["stage_id"], []).append(row["device_seconds"])
    return FinishedUnits(
        tuple(row["wall_seconds"] for row in cells if _is_like_ours(row, experiment.compute)),
        {key: statistics.median(seconds) for key, seconds in epochs.items()},
        frozenset(epochs) | ({protocol} if cells else set()),
    )


def _is_like_ours(cell: Mapping[str, Any], compute: ComputeConfig) -> bool:
    """Whether a cell ran with the threads and on a device as this run's cells will; a cluster's are not known here."""
    was_on_gpu, choice = bool(cell["device"] != "cpu"), compute.device
    if cell["threads"] != compute.threads or (choice == "cpu" and was_on_gpu):
        return False
    if choice == "cpu":
        return True
    if cluster_address(compute) != LOCAL:
        return was_on_gpu or choice == "auto"
    if torch.cuda.is_available():
        return bool(cell["device"] == torch.cuda.get_device_name())
    return was_on_gpu == (choice == "cuda")

"""What an experiment has cost: device-hours of its finished cells and epochs, by arm and stage, beside the forecast.

In: a results folder, which is only read. Out: an Account of all cells that the latest plan's protocol asks for. Cells
take their wall time, or of it the share of a GPU that the launcher gave them; epochs the seconds of all their workers.
Left out are starting processes, units that failed, and epochs that were lost and trained again. A stage that another
experiment trained into shared encoders is counted as if it were trained here.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sweep.costs.forecast_file import read_forecast
from sweep.costs.remaining import chain
from trainables.config import ComputeConfig
from trainables.failures import first_line
from trainables.results import ResultsError, finished_cells, read_device_shares, read_table

Row = Mapping[str, Any]


@dataclass(frozen=True)
class StageAccount:
    """A stage's epochs; ``forecast_seconds`` is None where no run forecast it."""

    name: str
    num_epochs: int
    device_seconds: float
    forecast_seconds: float | None


@dataclass(frozen=True)
class ArmAccount:
    """An arm as if it were alone: its cells, and all of the pretraining behind them."""

    name: str
    num_cells: int
    pretraining_seconds: float
    finetuning_seconds: float


@dataclass(frozen=True)
class Account:
    """Device-seconds so far; ``forecast_seconds`` and ``compared_seconds`` are those of the units that have both."""

    arms: tuple[ArmAccount, ...]
    stages: tuple[StageAccount, ...]
    pretraining_seconds: float  # each stage once
    finetuning_seconds: float
    forecast_seconds: float | None
    compared_seconds: float
    price_per_device_hour: float | None

    @property
    def device_seconds(self) -> float:
        """Both kinds together."""
        return self.pretraining_seconds + self.finetuning_seconds

    @property
    def forecast_ratio(self) -> float | None:
        """What was used over what was forecast for the same units; None without a forecast."""
        return self.compared_seconds / self.forecast_seconds if self.forecast_seconds else None


PLANNED_COLUMNS = ["cell_id", "protocol_id", "arm", "pretraining_chain", "plan_number"]
CELL_COLUMNS = ["cell_id", "protocol_id", "wall_seconds", "device", "finished_at"]
EPOCH_COLUMNS = ["stage_id", "stage", "epoch", "device_seconds"]


def read_account(root: Path) -> Account:
    """Add up what the cells that were asked for, and the stages behind them, have used."""
    columns = {"planned": PLANNED_COLUMNS, "cells": CELL_COLUMNS, "pretraining": EPOCH_COLUMNS}
    finished = finished_cells(root)
    planned, cells, epochs = (read_table(root, name, wanted)[0].to_pylist() for name, wanted in columns.items())
    return account(root, asked_for(planned), [row for row in cells if row["cell_id"] in finished], epochs)


def asked_for(planned: Sequence[Row]) -> list[Row]:
    """Return the cells that the latest plan's protocol asks for, each once: its plans add up."""
    if not planned:
        return []
    in_order = sorted(planned, key=lambda row: int(row["plan_number"]))
    protocol = in_order[-1]["protocol_id"]
    return list({row["cell_id"]: row for row in in_order if row["protocol_id"] == protocol}.values())


def account(root: Path, planned: Sequence[Row], cells: Iterable[Row], epochs: Sequence[Row]) -> Account:
    """Add up rows that have been read already: cells asked for, finished ones, epochs, with at least our columns."""
    ids = {row["cell_id"] for row in planned}
    cells = [row for row in cells if row["cell_id"] in ids]
    (price, gpus_per_cell), said, shares = _price_and_share(root), read_forecast(root), read_device_shares(root)
    seconds = {row["cell_id"]: shares.device_seconds(row, gpus_per_cell) for row in cells}
    stages = _stages(planned, epochs, said.epoch_seconds)
    expected = [(seconds[row["cell_id"]], said.cell_seconds.get(row["protocol_id"])) for row in cells]
    expected += [(stage.device_seconds, stage.forecast_seconds) for stage in stages]
    both = [(used, forecast) for used, forecast in expected if forecast is not None]
    return Account(
        arms=tuple(_arms(planned, seconds, epochs)),
        stages=tuple(stages),
        pretraining_seconds=sum(stage.device_seconds for stage in stages),
        finetuning_seconds=sum(seconds.values()),
        forecast_seconds=sum(forecast for _, forecast in both) if both else None,
        compared_seconds=sum(used for used, _ in both),
        price_per_device_hour=price,
    )


def _price_and_share(root: Path) -> tuple[float | None, float]:
    """Return what the latest run was started with: the price, and the share of a GPU of cells that no launcher noted.

    Nothing else is read of its settings, which another version of the program may have written.
    """
    path, default = root / "experiment.yaml", ComputeConfig()
    try:
        tree = yaml.safe_load(path.read_text()) if path.is_file() else None
        compute = (tree or {}).get("compute") or {}
        price = compute.get("price_per_device_hour", default.price_per_device_hour)
        return None if price is None else float(price), float(compute.get("gpus_per_cell", default.gpus_per_cell))
    except (yaml.YAMLError, AttributeError, TypeError, ValueError) as error:
        raise ResultsError(
            f"{path}: expected the settings of a run, found what is none ({first_line(error)}); run the sweep again "
            "with the same results folder, which writes it anew"
        ) from error


def _stages(planned: Iterable[Row], epochs: Sequence[Row], said: Mapping[str, float]) -> list[StageAccount]:
    found = []
    for key in dict.fromkeys(stage_id for row in planned for stage_id, _ in chain(row)):
        rows = [row for row in epochs if row["stage_id"] == key]
        if rows:
            forecast = said[key] * len(rows) if key in said else None
            used = sum(row["device_seconds"] for row in rows)
            found.append(StageAccount(rows[0]["stage"], len(rows), used, forecast))
    return found


def _arms(planned: Iterable[Row], seconds: Mapping[str, float], epochs: Sequence[Row]) -> list[ArmAccount]:
    by_arm: dict[str, list[Row]] = {}
    for row in planned:
        by_arm.setdefault(row["arm"], []).append(row)
    found = []
    for arm, own in by_arm.items():
        needed: dict[str, int] = {}
        for stage_id, epoch in (each for row in own for each in chain(row)):
            needed[stage_id] = max(needed.get(stage_id, 0), epoch)
        used = [row["device_seconds"] for row in epochs if row["epoch"] <= needed.get(row["stage_id"], 0)]
        finished = [seconds[row["cell_id"]] for row in own if row["cell_id"] in seconds]
        found.append(ArmAccount(arm, len(finished), sum(used), sum(finished)))
    return found

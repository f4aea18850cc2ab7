"""Stages and finished cells as experiment trackers see them: runs with parameters and points over steps.

In: the rows of a results folder. Out: a TrackedRun for each stage and each finished cell, in the order of their ids.
Rows hold seconds, not times of day: a stage's last epoch is taken to end when it is read.
"""

import re
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainables.results import AXES, finished_cells, read_table

STAGE_VALUES = ("loss", "learning_rate", "feature_std", "effective_rank", "probe_r2")
CURVE_VALUES = ("train_loss", "val_loss", "val_dice")
CELL_VALUES = ("test_loss", "test_dice", "test_iou")
STAGE_PARAMETERS = ("stage_id", "stage", "objective", "data", "initial_weights", "pretraining_seed")

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Point:
    """Values at a step: an epoch of a stage, an optimiser step of a cell; ``at`` in seconds since 1970."""

    step: int
    at: float
    values: dict[str, float]


@dataclass(frozen=True)
class TrackedRun:
    """One stage or cell; ``name`` is unique and can be a path of folders."""

    unit_id: str
    name: str
    parameters: dict[str, Any]
    points: tuple[Point, ...]


def stage_runs(root: Path) -> Iterator[TrackedRun]:
    """Yield every stage with the epochs that it has behind it."""
    for stage_id, rows in _grouped(read_table(root, "pretraining")[0].to_pylist(), "stage_id").items():
        first = rows[0]
        name = f"pretraining/{_safe(first['stage'])}-seed-{first['pretraining_seed']}-{stage_id[:8]}"
        yield TrackedRun(stage_id, name, {key: first[key] for key in STAGE_PARAMETERS}, tuple(_epochs(rows)))


def _epochs(rows: list[Row]) -> Iterator[Point]:
    at = time.time() - sum(row["seconds"] for row in rows)
    for row in sorted(rows, key=lambda row: int(row["epoch"])):
        at += row["seconds"]
        values = _known({key: row[key] for key in STAGE_VALUES})
        if row["seconds"]:
            values["samples_per_second"] = row["samples"] / row["seconds"]
        yield Point(row["epoch"], at, values)


def cell_runs(root: Path, known: Collection[str] = ()) -> Iterator[TrackedRun]:
    """Yield every finished cell with its curve and its scores at the last step, but those whose ids are ``known``."""
    new = finished_cells(root) - set(known)  # before any table is read: of these, every table holds all
    if not new:
        return
    curves = _grouped(read_table(root, "curves")[0].to_pylist(), "cell_id")
    for cell in read_table(root, "cells")[0].to_pylist():
        if cell["cell_id"] in new:
            yield _cell_run(cell, curves.get(cell["cell_id"], []))


def _cell_run(cell: Row, curve: Iterable[Row]) -> TrackedRun:
    labels = f"{cell['label_count']}-{cell['label_unit']}-seed-{cell['train_seed']}"
    name = f"cells/{_safe(cell['arm'])}@{cell['pretraining_epochs']}/{labels}-{cell['cell_id'][:8]}"
    ended = cell["finished_at"].timestamp()
    points = [
        Point(
            row["step"], ended - cell["train_seconds"] + row["seconds"], _known({key: row[key] for key in CURVE_VALUES})
        )
        for row in curve
    ]
    points.append(Point(cell["steps"], ended, _known({key: cell[key] for key in CELL_VALUES})))
    return TrackedRun(cell["cell_id"], name, {key: cell[key] for key, _ in AXES}, tuple(points))


def _known(values: Mapping[str, float | None]) -> dict[str, float]:
    """Leave out what was not measured."""
    return {key: value for key, value in values.items() if value is not None}


def _grouped(rows: Iterable[Row], key: str) -> dict[str, list[Row]]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row[key], []).append(row)
    return groups


def _safe(name: str) -> str:
    """A stage's or arm's name as a folder."""
    return re.sub(r"[^A-Za-z0-9._+-]", "_", name)

"""What results and encoders take on disk, before there are any.

In: an Experiment and its Inputs. Out: bytes, from rows of the same shape written as Parquet in memory and from the
tensors of the network. The state of a stage in training, gone when it ends, and event files are left out.
"""

import random
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import torch

from sweep.experiment import Experiment
from sweep.inputs import Inputs
from sweep.plan import PlannedStage
from trainables.models.encoder import Encoder
from trainables.results import SCHEMAS, num_bytes

CARD_BYTES = 3000  # of the JSON beside an encoder
PIXELS_A_BYTE = 16  # of a predicted mask, compressed
HEADER_BYTES = 100  # of one tensor's entry in a safetensors file


@dataclass(frozen=True)
class Sizes:
    """Bytes of one finished cell, and of an encoder by its number of input channels."""

    cell: int
    encoder: dict[int, int]


def sizes(experiment: Experiment, inputs: Inputs) -> Sizes:
    """Measure the files of one cell and of encoders for the data and for natural images."""
    num_channels = len(inputs.summary["channel_names"])
    return Sizes(
        _cell_bytes(experiment, inputs), {each: _encoder_bytes(experiment, each) for each in {3, num_channels}}
    )


def stage_bytes(stage: PlannedStage, found: Sizes, num_channels: int) -> int:
    """Return the bytes of a stage's encoders and of its epochs' rows, which are stored twice."""
    encoder = found.encoder[3 if stage.config.data == "natural" else num_channels]
    return len(stage.config.kept_epochs) * encoder + 2 * num_bytes(
        "pretraining", _rows("pretraining", stage.config.epochs)
    )


def _cell_bytes(experiment: Experiment, inputs: Inputs) -> int:
    config = experiment.finetune
    num_evaluations = 1 + -(-config.steps // config.evaluate_every)
    num_volumes = sum(len(fold["test"]) for fold in inputs.split)
    rows = {"cells": 1, "curves": num_evaluations, "cases": num_volumes * len(inputs.summary["class_names"])}
    found = sum(num_bytes(table, _rows(table, number)) for table, number in rows.items())
    return found + _example_bytes(experiment, inputs)


def _example_bytes(experiment: Experiment, inputs: Inputs) -> int:
    """Return the bytes of one cell's examples, as if each test volume were another patient's.

    Image and truth, stored once for all cells, are left out.
    """
    num_volumes = sum(len(fold["test"]) for fold in inputs.split)
    number = min(experiment.compute.example_slices, num_volumes)
    packed = random.Random(0).randbytes(experiment.data.image_size**2 // PIXELS_A_BYTE)
    rows = [row | {"prediction": packed} for row in _rows("examples", number)]
    return num_bytes("examples", rows) if rows else 0


def _rows(table: str, number: int) -> list[dict[str, Any]]:
    """Rows that compress as badly as real ones: every number another, names alike."""
    generator = random.Random(0)

    def value(kind: str, position: int) -> Any:
        if kind == "double":
            return generator.random()
        if kind.startswith("int"):
            return position if kind == "int32" else generator.randrange(100)
        return datetime.now(UTC) if kind.startswith("timestamp") else "0123456789abcdef"

    return [{field.name: value(str(field.type), each) for field in SCHEMAS[table]} for each in range(number)]


def _encoder_bytes(experiment: Experiment, num_channels: int) -> int:
    with torch.device("meta"):
        tensors = Encoder(experiment.model, num_channels).state_dict().values()
    return CARD_BYTES + sum(int(tensor.nbytes) + HEADER_BYTES for tensor in tensors)

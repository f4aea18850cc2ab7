"""The contract between training and analysis: which tables a results folder holds, and how they are written.

In: rows as plain dictionaries. Out: one Parquet file per finished unit of work and table, there whole or not at all
(``atomic``). Which of them are read, and what counts as finished: ``reading``.

Only pyarrow and the standard library are imported, so that the analysis reads results without any training code.

Layout of a results folder::

    labelcurve.json     schema version; marks the folder as ours
    experiment.yaml     the resolved experiment; data.json, versions.json and references.json beside it
    subsets/            the nested order of labelled slices for each subset seed
    planned/            one file per plan: every cell that the experiment asks for
    cells/ curves/ cases/ examples/   one file per finished cell, and compacted-N-*.parquet with the rows of many cells
    example_slices/     one file per data: the test slices that ``examples`` has predictions of
    pretraining/        one file per pretraining stage, rewritten after each epoch
    failures/           one file per failed cell or stage
    encoders/           pretrained encoders, safetensors with a JSON card, unless they lie where experiments share them
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from trainables.results.atomic import replacing

SCHEMA_VERSION = 3
MARKER = "labelcurve.json"

Row = Mapping[str, Any]

AXES = [
    ("cell_id", pa.string()),
    ("protocol_id", pa.string()),  # hash of everything but the axes: cells of one protocol can be compared
    ("arm", pa.string()),
    (
        "base_arm",
        pa.string(),
    ),  # the arm whose encoder this arm starts from: what 0 pretraining epochs would be
    ("pretraining_epochs", pa.int32()),  # epochs of the arm's last stage where these are an axis, otherwise 0
    (
        "pretraining_chain",
        pa.string(),
    ),  # stage_id@epoch of every stage behind the encoder, in order, with spaces between
    ("pretraining_schedule", pa.string()),  # milestones | per_length | none
    ("pretraining_seed", pa.int64()),
    ("label_count", pa.int32()),  # in label_unit
    ("label_unit", pa.string()),  # slices | patients
    ("subset_seed", pa.int64()),
    ("train_seed", pa.int64()),
]

POINT_AXES = ["arm", "pretraining_epochs", "label_count", "subset_seed", "train_seed"]
"""A point of the grid, for which a plan asks one cell: a later plan's takes the place of an earlier one's."""

SCHEMAS: dict[str, pa.Schema] = {
    "planned": pa.schema([*AXES, ("plan_number", pa.int32())]),
    "cells": pa.schema(
        [
            *AXES,
            ("data_id", pa.string()),
            ("encoder_id", pa.string()),
            ("labelled_slices", pa.int32()),
            ("labelled_patients", pa.int32()),
            ("validation_slices", pa.int32()),  # labelled too: what a validated study costs in masks
            ("validation_patients", pa.int32()),
            ("steps", pa.int32()),  # that were trained
            ("budget_steps", pa.int32()),  # planned: more than ``steps`` where the cell was stopped early
            ("batch_size", pa.int32()),
            ("num_parameters", pa.int64()),
            ("val_loss", pa.float64()),  # Jaccard loss at the last step; null without validation slices
            (
                "val_dice",
                pa.float64(),
            ),  # mean foreground Dice pooled over the validation slices, at the last step
            ("test_loss", pa.float64()),
            (
                "test_dice",
                pa.float64(),
            ),  # mean over test patients of the mean over phases and foreground classes
            ("test_iou", pa.float64()),  # the same mean, of IoU
            (
                "test_slice_iou",
                pa.float64(),
            ),  # mean over test slices and all classes, an absent one counting 1: the paper's
            ("train_seconds", pa.float64()),
            ("validation_seconds", pa.float64()),
            ("test_seconds", pa.float64()),
            ("wall_seconds", pa.float64()),  # from the cell's start to its last test batch
            ("device", pa.string()),
            ("threads", pa.int32()),
            ("code_version", pa.string()),
            ("finished_at", pa.timestamp("us", tz="UTC")),
        ]
    ),
    "curves": pa.schema(
        [
            ("cell_id", pa.string()),
            ("step", pa.int32()),
            ("train_loss", pa.float64()),  # mean since the previous row; null at step 0
            ("val_loss", pa.float64()),
            ("val_dice", pa.float64()),
            ("seconds", pa.float64()),  # training time so far, validation left out
        ]
    ),
    "cases": pa.schema(
        [
            ("cell_id", pa.string()),
            ("patient", pa.string()),
            ("group", pa.string()),
            ("phase", pa.string()),
            ("class_index", pa.int16()),
            ("class_name", pa.string()),
            ("true_positives", pa.int64()),  # pixels of the whole volume
            ("false_positives", pa.int64()),
            ("false_negatives", pa.int64()),
            ("voxel_ml", pa.float64()),  # null where the distance of slices is unknown
            ("slice_dice", pa.float64()),  # mean over ``scored_slices``, those that show or predict the class
            ("slice_iou", pa.float64()),
            ("scored_slices", pa.int32()),
            ("hd95", pa.float64()),  # null where nothing could be measured; a mean over ``num_distances``
            ("assd", pa.float64()),  # average symmetric surface distance, likewise
            ("num_distances", pa.int32()),  # 1 of a volume; of slices that are measured one by one, how many
            ("num_undefined_distances", pa.int32()),  # missed or invented: there in one of truth and prediction
            ("distance_unit", pa.string()),  # mm | px
            ("diagonal", pa.float64()),  # of the grid that was measured, in distance_unit: no distance is longer
        ]
    ),
    "examples": pa.schema(  # a cell without any is as finished: older programs wrote none
        [
            ("cell_id", pa.string()),
            ("patient", pa.string()),
            ("phase", pa.string()),
            ("slice_index", pa.int32()),  # from 0, within the volume of this patient and phase
            ("prediction", pa.binary()),  # class of each pixel: zlib of uint8 row by row, as many rows as columns
        ]
    ),
    "example_slices": pa.schema(
        [
            ("data_id", pa.string()),
            ("patient", pa.string()),
            ("phase", pa.string()),
            ("slice_index", pa.int32()),
            ("group", pa.string()),
            ("image", pa.binary()),  # grey, 0 to 255; packed like a prediction
            ("truth", pa.binary()),
        ]
    ),
    "pretraining": pa.schema(
        [
            ("stage_id", pa.string()),
            ("stage", pa.string()),
            ("objective", pa.string()),
            ("data", pa.string()),  # natural | domain
            ("initial_weights", pa.string()),
            ("pretraining_seed", pa.int64()),
            ("epoch", pa.int32()),  # 1-based: epochs finished
            ("loss", pa.float64()),
            ("learning_rate", pa.float64()),
            (
                "feature_std",
                pa.float64(),
            ),  # of l2-normalised features times sqrt(dimension); near 0 is collapse
            ("effective_rank", pa.float64()),  # of the latest features; near 1 is collapse
            ("probe_r2", pa.float64()),  # of labelled validation slices; null where it was not asked for
            ("samples", pa.int64()),  # of this epoch, like what follows
            ("flops", pa.float64()),  # of the networks, forward and backward, on all workers; null where compiled
            ("seconds", pa.float64()),
            ("device_seconds", pa.float64()),  # of all workers
            ("num_workers", pa.int32()),
        ]
    ),
    "failures": pa.schema(
        [
            ("unit_id", pa.string()),  # a cell_id or a stage_id
            ("unit", pa.string()),  # cell | stage
            ("name", pa.string()),
            ("reason", pa.string()),
            ("traceback", pa.string()),
            ("failed_at", pa.timestamp("us", tz="UTC")),
        ]
    ),
}


LATER_COLUMNS: dict[str, frozenset[str]] = {
    "cells": frozenset({"test_slice_iou", "budget_steps"}),
    "cases": frozenset(
        {"voxel_ml", "slice_dice", "slice_iou", "scored_slices", "hd95", "assd", "diagonal", "distance_unit"}
        | {"num_distances", "num_undefined_distances"}
    ),
}
"""Columns that came with the schema's version as it is: files of older programs lack them, and read null there.

They add facts and change none, so a cell without them is as finished.
"""


def required_columns(table: str) -> list[str]:
    """Return the columns without which a file is not one of this table."""
    return [name for name in SCHEMAS[table].names if name not in LATER_COLUMNS.get(table, ())]


class ResultsError(Exception):
    """A results folder that cannot be used; the message says what was expected, found and where."""


def write_rows(root: Path, table: str, name: str, rows: Sequence[Row]) -> Path:
    """Write rows as ``root/table/name.parquet`` atomically; a missing or unknown column raises ResultsError."""
    schema = SCHEMAS[table]
    for row in rows:
        if set(row) != set(schema.names):
            wrong = sorted(set(row) ^ set(schema.names))
            raise ResultsError(f"a row for table {table} does not have its columns; missing or unknown: {wrong}")
    path = root / table / f"{name}.parquet"
    with replacing(path) as temporary:
        pq.write_table(pa.Table.from_pylist([dict(row) for row in rows], schema=schema), temporary)
    return path


def num_bytes(table: str, rows: Sequence[Row]) -> int:
    """Return how large a file of these rows would be."""
    buffer = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist([dict(row) for row in rows], schema=SCHEMAS[table]), buffer)
    return len(buffer.getvalue())

"""The contract between training and analysis: which tables a results folder holds, and how they are written.

In: rows as plain dictionaries. Out: one Parquet file per finished unit of work and table, plus a few JSON/YAML files.
A file is written to a temporary name, flushed and renamed, so it exists whole or not at all. A cell counts as
finished when its row in ``cells`` exists; its curves and cases are written before it.

Only pyarrow and the standard library are imported, so that the analysis reads results without any training code.

Layout of a results folder::

    labelcurve.json     schema version; marks the folder as ours
    experiment.yaml     the resolved experiment; data.json and versions.json beside it
    subsets/            the nested order of labelled slices for each subset seed
    planned/            one file per plan: every cell that the experiment asks for
    cells/ curves/ cases/        one file per finished cell
    pretraining/        one file per pretraining stage, rewritten after each epoch
    failures/           one file per failed cell or stage
    encoders/           pretrained encoders, safetensors with a JSON card, unless they lie where experiments share them
"""

import contextlib
import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

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
            ("steps", pa.int32()),
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


class ResultsError(Exception):
    """A results folder that cannot be used; the message says what was expected, found and where."""


def open_results(root: Path) -> Path:
    """Create the results folder, or check an existing one, and return its absolute path.

    Raises ResultsError if it cannot be written, has another schema version, or holds files that are not ours.
    """
    root = Path(root).absolute()
    check_writable(root, "results folder", "--results")
    if not (root / MARKER).exists():
        if any(root.iterdir()):
            raise ResultsError(
                f"{root} is not empty and holds no {MARKER}; expected an empty folder or one of an earlier run: "
                "choose another with --results"
            )
        write_text(root / MARKER, json.dumps({"schema_version": SCHEMA_VERSION}) + "\n")
    return check_results(root)


def check_writable(folder: Path, what: str, option: str) -> None:
    """Create a folder if it is not there, and raise ResultsError if nothing can be written to it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ResultsError(
            f"{what} {folder} cannot be written ({error.strerror}); choose another with {option}"
        ) from error


def check_results(root: Path) -> Path:
    """Return the absolute path of an existing results folder of this schema version, or raise ResultsError."""
    root = Path(root).absolute()
    marker = root / MARKER
    if not marker.is_file():
        raise ResultsError(
            f"no results in {root}: expected a folder with {MARKER}; run python -m sweep.data_efficiency"
        )
    try:
        found = json.loads(marker.read_text())["schema_version"]
    except (ValueError, KeyError, TypeError) as error:
        raise ResultsError(f"{marker} is damaged: expected a JSON object with schema_version ({error!r})") from error
    if found != SCHEMA_VERSION:
        raise ResultsError(
            f"{root} has results schema version {found}, this program reads and writes version {SCHEMA_VERSION}: "
            "use another --results folder, or the program version that wrote it"
        )
    return root


@contextlib.contextmanager
def exclusive(root: Path) -> Iterator[None]:
    """Hold the results folder for one run; raise ResultsError if another run holds it."""
    with (root / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ResultsError(f"another run is writing to {root}; wait for it, or choose another --results") from error
        yield


def is_held(root: Path) -> bool:
    """Return whether a run holds the results folder now; nothing is written, so that others' folders can be asked."""
    try:
        with (root / ".lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


def write_text(path: Path, text: str) -> None:
    """Write a small text file atomically, creating its folder."""
    with replacing(path) as temporary:
        temporary.write_text(text)


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


def commit_cell(root: Path, cell: Row, curves: Sequence[Row], cases: Sequence[Row]) -> None:
    """Write everything that a finished cell found; its row in ``cells`` comes last and marks it as finished."""
    cell_id = str(cell["cell_id"])
    write_rows(root, "curves", cell_id, curves)
    write_rows(root, "cases", cell_id, cases)
    write_rows(root, "cells", cell_id, [cell])
    clear_failure(root, cell_id)


def record_failure(root: Path, failure: Row) -> None:
    """Write down why a cell or stage failed; a later success removes it."""
    write_rows(root, "failures", str(failure["unit_id"]), [failure])


def failure_reason(root: Path, unit_id: str) -> str:
    """Return why a cell or stage failed last; nothing if it did not, or if its row cannot be read."""
    path = root / "failures" / f"{unit_id}.parquet"
    try:
        return str(pq.read_table(path, columns=["reason"]).column("reason")[0])
    except (pa.ArrowException, OSError, IndexError):
        return ""


def clear_failure(root: Path, unit_id: str) -> None:
    """Forget an earlier failure of a unit that has now succeeded."""
    (root / "failures" / f"{unit_id}.parquet").unlink(missing_ok=True)


def finished_cells(root: Path) -> set[str]:
    """Return the ids of all finished cells; a torn or foreign file does not count."""
    table, _ = read_table(root, "cells")
    return set(table.column("cell_id").to_pylist())


def is_finished(root: Path, cell_id: str) -> bool:
    """Return whether this cell's row exists and can be read."""
    return num_rows(root / "cells" / f"{cell_id}.parquet") == 1


def num_rows(path: Path) -> int:
    """Return how many rows a Parquet file has; 0 if it does not exist or is torn."""
    try:
        return int(pq.read_metadata(path).num_rows)
    except (pa.ArrowException, OSError):
        return 0


def record_plan(root: Path, rows: Iterable[Row]) -> None:
    """Store the cells that an experiment asks for; the same plan is stored once and becomes the latest."""
    planned = list(rows)
    ids = sorted(str(row["cell_id"]) for row in planned)
    name = hashlib.sha256("\n".join(ids).encode()).hexdigest()[:16]
    table, _ = read_table(root, "planned")
    number = 1 + max(table.column("plan_number").to_pylist(), default=0)
    write_rows(root, "planned", name, [{**row, "plan_number": number} for row in planned])


def read_table(root: Path, table: str) -> tuple[pa.Table, list[str]]:
    """Read one table and name the files that could not be read.

    Returns the rows of all readable files in order of file name, and a message for each file left out.
    """
    schema = SCHEMAS[table]
    parts, problems = [], []
    for path in sorted((root / table).glob("*.parquet")):
        if path.name.startswith("."):
            continue
        try:
            parts.append(pq.read_table(path).select(schema.names).cast(schema))
        except (pa.ArrowException, OSError, KeyError, ValueError) as error:
            problems.append(f"{path}: not a readable {table} file ({str(error).splitlines()[0]})")
    return (pa.concat_tables(parts) if parts else schema.empty_table()), problems


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success flush it to disk and rename it, on error remove it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".tmp-")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise

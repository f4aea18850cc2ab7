"""TensorBoard event files from the rows of a results folder: python -m sweep.tensorboard RESULTS [--cells] [--follow]

In: pretraining rows, and on demand the curves of finished cells. Out: event files in RESULTS/tensorboard, one run a
stage or cell. They mirror the rows and are never read: each start writes them anew. A run of the sweep does this for
its stages by itself.
"""

import argparse
import re
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from trainables.results import ResultsError, check_results, read_table

DONE, ERROR = 0, 1
FOLDER = "tensorboard"
FOLLOW_SECONDS = 10.0
STAGE_SCALARS = ("loss", "learning_rate", "feature_std", "effective_rank", "probe_r2")
CURVE_SCALARS = ("train_loss", "val_loss", "val_dice")
CELL_SCALARS = ("test_loss", "test_dice", "test_iou")

Row = Mapping[str, Any]


class Mirror:
    """Event files that follow a results folder. Raises OSError where they cannot be written."""

    def __init__(self, root: Path, cells: bool = False) -> None:
        self._root, self._cells = root, cells
        self._writers: dict[str, Any] = {}  # of stages, which grow
        self._num_rows: dict[str, int] = {}  # written of each run

    def update(self) -> None:
        """Write what is new since the last update."""
        by_stage: dict[str, list[Row]] = {}
        for row in read_table(self._root, "pretraining")[0].to_pylist():
            by_stage.setdefault(row["stage_id"], []).append(row)
        for rows in by_stage.values():
            self._write_stage(sorted(rows, key=lambda row: int(row["epoch"])))
        if self._cells:
            self._write_cells()

    def close(self) -> None:
        """Close every file."""
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()

    def _write_stage(self, rows: list[Row]) -> None:
        first = rows[0]
        name = f"pretraining/{_safe(first['stage'])}-seed-{first['pretraining_seed']}-{first['stage_id'][:8]}"
        if name not in self._writers or len(rows) < self._num_rows[name]:  # shorter: the stage has started anew
            if name in self._writers:
                self._writers[name].close()
            self._writers[name], self._num_rows[name] = self._new_run(name), 0
        ended = time.time()
        for number, row in enumerate(rows):
            if number >= self._num_rows[name]:
                later = sum(other["seconds"] for other in rows[number + 1 :])
                values = {key: row[key] for key in STAGE_SCALARS}
                values["samples_per_second"] = row["samples"] / row["seconds"] if row["seconds"] else None
                _add(self._writers[name], values, row["epoch"], ended - later)
        self._num_rows[name] = len(rows)
        self._writers[name].flush()

    def _write_cells(self) -> None:
        finished = {path.stem for path in (self._root / "cells").glob("*.parquet") if not path.name.startswith(".")}
        if finished <= set(self._num_rows):
            return
        curves: dict[str, list[Row]] = {}
        for row in read_table(self._root, "curves")[0].to_pylist():
            curves.setdefault(row["cell_id"], []).append(row)
        for cell in read_table(self._root, "cells")[0].to_pylist():
            key = cell["cell_id"]
            if key not in self._num_rows:
                self._write_cell(cell, curves.get(key, []))
                self._num_rows[key] = len(curves.get(key, []))

    def _write_cell(self, cell: Row, curve: Iterable[Row]) -> None:
        arm = f"{_safe(cell['arm'])}@{cell['pretraining_epochs']}"
        labels = f"{cell['label_count']}-{cell['label_unit']}-seed-{cell['train_seed']}"
        writer, ended = self._new_run(f"cells/{arm}/{labels}-{cell['cell_id'][:8]}"), cell["finished_at"].timestamp()
        for row in curve:
            _add(
                writer,
                {key: row[key] for key in CURVE_SCALARS},
                row["step"],
                ended - cell["train_seconds"] + row["seconds"],
            )
        _add(writer, {key: cell[key] for key in CELL_SCALARS}, cell["steps"], ended)
        writer.close()

    def _new_run(self, name: str) -> Any:
        from tensorboardX.event_file_writer import EventsWriter  # writes at once, where SummaryWriter has a thread

        folder = self._root / FOLDER / name
        for old in folder.glob("events.out.tfevents.*"):
            old.unlink()
        folder.mkdir(parents=True, exist_ok=True)
        return EventsWriter(str(folder / "events"))


def _add(writer: Any, values: Mapping[str, float | None], step: int, at: float) -> None:
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.proto.summary_pb2 import Summary

    scalars = [Summary.Value(tag=key, simple_value=value) for key, value in values.items() if value is not None]
    writer.write_event(Event(wall_time=at, step=step, summary=Summary(value=scalars)))


def _safe(name: str) -> str:
    """A stage's or arm's name as a folder."""
    return re.sub(r"[^A-Za-z0-9._+-]", "_", name)


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, write the event files and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m sweep.tensorboard", description=(__doc__ or "").partition(":")[0])
    parser.add_argument("results", type=Path, metavar="RESULTS")
    parser.add_argument("--cells", action="store_true", help="also the curves of finished cells, a run each")
    parser.add_argument("--follow", action="store_true", help="go on as rows appear, until Ctrl-C")
    options = parser.parse_args(arguments)
    try:
        mirror = Mirror(check_results(options.results), options.cells)
        mirror.update()
        print(f"{options.results / FOLDER}: written; tensorboard --logdir {options.results / FOLDER}")
        while options.follow:
            time.sleep(FOLLOW_SECONDS)
            mirror.update()
        mirror.close()
    except (ResultsError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return ERROR
    except KeyboardInterrupt:
        mirror.close()
    return DONE


if __name__ == "__main__":
    sys.exit(main())

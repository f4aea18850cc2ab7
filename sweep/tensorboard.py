"""TensorBoard event files from the rows of a results folder: python -m sweep.tensorboard RESULTS [--cells] [--follow]

In: pretraining rows, and on demand the curves of finished cells. Out: event files in RESULTS/tensorboard, one run a
stage or cell. They mirror the rows and are never read: each start writes them anew. A run of the sweep does this for
its stages by itself.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sweep.tracked_runs import Point, TrackedRun, cell_runs, stage_runs
from trainables.results import ResultsError, check_results

DONE, ERROR = 0, 1
FOLDER = "tensorboard"
FOLLOW_SECONDS = 10.0


class Mirror:
    """Event files that follow a results folder. Raises OSError where they cannot be written."""

    def __init__(self, root: Path, cells: bool = False) -> None:
        self._root, self._cells = root, cells
        self._writers: dict[str, Any] = {}  # of stages, which grow
        self._num_points: dict[str, int] = {}  # written of each stage
        self._known: set[str] = set()  # cells that are written

    def update(self) -> None:
        """Write what is new since the last update."""
        for stage in stage_runs(self._root):
            self._write_stage(stage)
        if self._cells:
            for cell in cell_runs(self._root, self._known):
                writer = self._new_run(cell)
                for point in cell.points:
                    _add(writer, point)
                writer.close()
                self._known.add(cell.unit_id)

    def close(self) -> None:
        """Close every file."""
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()

    def _write_stage(self, stage: TrackedRun) -> None:
        key = stage.unit_id
        if key not in self._writers or len(stage.points) < self._num_points[key]:  # shorter: it has started anew
            if key in self._writers:
                self._writers[key].close()
            self._writers[key], self._num_points[key] = self._new_run(stage), 0
        for point in stage.points[self._num_points[key] :]:
            _add(self._writers[key], point)
        self._num_points[key] = len(stage.points)
        self._writers[key].flush()

    def _new_run(self, run: TrackedRun) -> Any:
        from tensorboardX.event_file_writer import EventsWriter  # writes at once, where SummaryWriter has a thread

        folder = self._root / FOLDER / run.name
        for old in folder.glob("events.out.tfevents.*"):
            old.unlink()
        folder.mkdir(parents=True, exist_ok=True)
        return EventsWriter(str(folder / "events"))


def _add(writer: Any, point: Point) -> None:
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.proto.summary_pb2 import Summary

    scalars = [Summary.Value(tag=key, simple_value=value) for key, value in point.values.items()]
    writer.write_event(Event(wall_time=point.at, step=point.step, summary=Summary(value=scalars)))


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

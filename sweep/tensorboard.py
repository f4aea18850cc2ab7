"""TensorBoard event files from the rows of a results folder: python -m sweep.tensorboard RESULTS [--cells] [--follow]

In: pretraining rows, and on demand the curves of finished cells. Out: event files in RESULTS/tensorboard, one run a
stage or cell. They mirror the rows and are never read: each start writes them anew. A run of the sweep does this for
its stages by itself. Of several processes one writes the stages, and one the cells: the others leave those alone.
"""

import argparse
import contextlib
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from sweep.exit_codes import DONE
from sweep.views.tracked_runs import Point, TrackedRun, cell_runs, stage_runs
from trainables.results import ResultsError, check_results, try_lock
from trainables.results.programs import EXIT_CODES, program

FOLDER = "tensorboard"
STAGES, CELLS = "stages", "cells"
FOLLOW_SECONDS = 10.0


class EventFiles:
    """Event files that follow a results folder. Raises OSError where they cannot be written.

    What another process writes is left to it for as long as it does: ``left_to_others`` names it.
    """

    def __init__(self, root: Path, cells: bool = False) -> None:
        self._root, self._wanted = root, (STAGES, CELLS) if cells else (STAGES,)
        self._locks: dict[str, IO[str]] = {}  # of what is written here
        self._writers: dict[str, Any] = {}  # of stages, which grow
        self._num_points: dict[str, int] = {}  # written of each stage
        self._known: set[str] = set()  # cells that are written

    def update(self) -> None:
        """Write what is new since the last update."""
        (self._root / FOLDER).mkdir(exist_ok=True)
        for part in self.left_to_others:
            if lock := try_lock(self._root / FOLDER / f".{part}.lock"):
                self._locks[part] = lock
        if STAGES in self._locks:
            for stage in stage_runs(self._root):
                self._write_stage(stage)
        if CELLS in self._locks:
            for cell in cell_runs(self._root, self._known):
                self._write_cell(cell)

    @property
    def left_to_others(self) -> list[str]:
        """What of ``stages`` and ``cells`` was wanted and is written by another process."""
        return [part for part in self._wanted if part not in self._locks]

    def close(self) -> None:
        """Close every file, and leave them to others."""
        for writer in [*self._writers.values(), *self._locks.values()]:
            writer.close()
        self._writers.clear()
        self._locks.clear()

    def _write_cell(self, cell: TrackedRun) -> None:
        writer = self._new_run(cell)
        for point in cell.points:
            _add(writer, point)
        writer.close()
        self._known.add(cell.unit_id)

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


@program
def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, write the event files and return the exit code."""
    about = (__doc__ or "").partition(":")[0]
    parser = argparse.ArgumentParser(prog="python -m sweep.tensorboard", description=about, epilog=EXIT_CODES)
    parser.add_argument("results", type=Path, metavar="RESULTS")
    parser.add_argument("--cells", action="store_true", help="also the curves of finished cells, a run each")
    parser.add_argument("--follow", action="store_true", help="go on as rows appear, until Ctrl-C")
    options = parser.parse_args(arguments)
    with contextlib.closing(EventFiles(check_results(options.results), options.cells)) as files:
        files.update()
        for part in files.left_to_others:
            print(f"{part}: another process, such as the run itself, writes these files as rows appear")
        print(f"{options.results / FOLDER}: up to date; tensorboard --logdir {options.results / FOLDER}")
        with contextlib.suppress(KeyboardInterrupt):
            while options.follow:
                time.sleep(FOLLOW_SECONDS)
                with contextlib.suppress(ResultsError):  # files that a compaction replaces while they are read
                    files.update()
    return DONE


if __name__ == "__main__":
    sys.exit(main())

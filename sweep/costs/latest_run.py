"""``latest_run.json``: what the latest run knows of its units that no row tells, for another terminal.

In: names of stages and expected seconds from a plan and its forecast, what runs at once from a launcher. Out: the same.
Names of earlier plans stay; the rest is that of the latest run.
"""

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from sweep.costs.time_left import Room
from sweep.state.counts import Expectation
from trainables.results import write_text

FILE = "latest_run.json"


@dataclass(frozen=True)
class LatestRun:
    """Names of stages by id, seconds on the clock of units that have not run, what runs at once; None if unknown."""

    stage_names: dict[str, str] = field(default_factory=dict)
    epoch_seconds: dict[str, float] = field(default_factory=dict)
    cell_seconds: float | None = None
    room: Room | None = None


def read_latest_run(folder: Path) -> LatestRun:
    """Return what runs have noted; nothing where none has, or where the file is damaged."""
    try:
        found = json.loads((folder / FILE).read_text())
        cell, room = found["cell_seconds"], found["room"]
        return LatestRun(
            {str(key): str(name) for key, name in found["stage_names"].items()},
            {str(key): float(seconds) for key, seconds in found["epoch_seconds"].items()},
            None if cell is None else float(cell),
            None if room is None else _room(room),
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return LatestRun()


def _room(found: dict[str, float]) -> Room:
    slots, stage, parallel_stages = (int(found[key]) for key in ("slots", "stage", "parallel_stages"))
    return Room(slots, stage, parallel_stages, float(found["stage_start_seconds"]))


def note_run(folder: Path, stage_names: dict[str, str], expected: Expectation) -> None:
    """Note what a run that starts knows of its units. Raises OSError."""
    names = read_latest_run(folder).stage_names | stage_names
    _write(folder, LatestRun(names, dict(expected.epoch_seconds), expected.cell_seconds))


def note_room(folder: Path, room: Room) -> None:
    """Note what runs at once from now on. Raises OSError."""
    _write(folder, replace(read_latest_run(folder), room=room))


def _write(folder: Path, run: LatestRun) -> None:
    write_text(folder / FILE, json.dumps(asdict(run), indent=1) + "\n")

"""Say how far an experiment is, running or stopped, from another terminal: python -m sweep.status RESULTS [--json]

In: a results folder, which is only read. Out: stages, cells by arm, pace, time left, failures and what it has cost, as
tables or as one JSON object. Exit codes: 0 all planned cells are finished, 1 error, 2 usage, 3 some are not, or none is
planned yet.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from sweep.costs import remaining
from sweep.costs.account import CELL_COLUMNS, EPOCH_COLUMNS, PLANNED_COLUMNS, Account, account, asked_for
from sweep.costs.latest_run import read_latest_run
from sweep.costs.tables import print_account
from sweep.exit_codes import DONE
from sweep.wording import duration
from trainables.results import POINT_AXES, check_results, finished_cells, is_held, read_table
from trainables.results.programs import EXIT_CODES, program

SOME_LEFT = 3
PACE_WINDOW = timedelta(hours=1)  # before the latest cell: older ones may have run on another machine
CLOCK_SKEW = timedelta(minutes=1)  # by which a worker's clock may be ahead of ours
COLUMNS = {
    "planned": list(dict.fromkeys([*PLANNED_COLUMNS, *POINT_AXES, "pretraining_seed"])),
    "cells": CELL_COLUMNS,
    "pretraining": [*EPOCH_COLUMNS, "seconds"],
    "failures": ["unit_id", "name", "reason"],
}


@dataclass(frozen=True)
class StageState:
    """A pretraining stage; ``epochs_needed`` is the largest number that a planned cell starts from."""

    name: str
    epochs_done: int
    epochs_needed: int


@dataclass(frozen=True)
class ArmState:
    """The cells of one arm. Failed ones are run again by the next run."""

    name: str
    planned: int
    finished: int
    failed: int


@dataclass(frozen=True)
class Status:
    """A moment of an experiment.

    ``cells_per_hour`` is None where fewer than two cells have finished, ``seconds_left`` where that or what stages
    still to train take is unknown.
    """

    is_running: bool
    stages: tuple[StageState, ...]
    arms: tuple[ArmState, ...]
    failures: tuple[tuple[str, str], ...]  # name and reason
    cells_per_hour: float | None
    seconds_left: float | None
    account: Account
    unreadable: tuple[str, ...]

    @property
    def is_finished(self) -> bool:
        """Whether every planned cell is finished; not before a plan is there."""
        return bool(self.arms) and all(arm.finished == arm.planned for arm in self.arms)


def read_status(results: Path, now: datetime | None = None) -> Status:
    """Read a results folder; ``now`` is this moment unless given. Raises ResultsError where it is none of ours."""
    root = check_results(results)
    tables = {name: read_table(root, name, columns) for name, columns in COLUMNS.items()}
    planned, cells, epochs, failures = (content.to_pylist() for content, _ in tables.values())
    paid = asked_for(planned)
    planned = _standing(paid)
    ids = {row["cell_id"] for row in planned}
    done = finished_cells(root)
    whole = done & ids
    finished = [row for row in cells if row["cell_id"] in whole]
    units = (ids | {stage_id for row in planned for stage_id, _ in remaining.chain(row)}) - whole
    failures = [row for row in failures if row["unit_id"] in units]  # one of a finished cell outlives a killed run
    latest = _latest(finished, now or datetime.now(UTC))
    per_hour = _cells_per_hour([row["finished_at"] for row in latest])
    run = read_latest_run(root)
    return Status(
        is_running=is_held(root),
        stages=tuple(_stages(planned, epochs, run.stage_names)),
        arms=tuple(_arms(planned, whole, {row["unit_id"] for row in failures})),
        failures=tuple((row["name"], row["reason"]) for row in failures),
        cells_per_hour=per_hour,
        seconds_left=remaining.seconds_left(
            [row for row in planned if row["cell_id"] not in whole],
            [row["wall_seconds"] for row in latest],
            epochs,
            run,
            per_hour and per_hour / 3600,
        ),
        account=account(root, paid, [row for row in cells if row["cell_id"] in done], epochs),
        unreadable=tuple(problem for _, problems in tables.values() for problem in problems),
    )


def _standing(asked: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Leave out the cells whose point of the grid a later plan asks for with another encoder: nobody waits for them."""
    latest: dict[tuple[Any, ...], int] = {}
    for row in asked:
        point = tuple(row[name] for name in POINT_AXES)
        latest[point] = max(latest.get(point, 0), row["plan_number"])
    return [row for row in asked if row["plan_number"] == latest[tuple(row[name] for name in POINT_AXES)]]


def _stages(
    planned: Iterable[Mapping[str, Any]], epochs: Iterable[Mapping[str, Any]], noted: Mapping[str, str]
) -> list[StageState]:
    needed: dict[str, int] = {}
    for stage_id, epoch in (each for row in planned for each in remaining.chain(row)):
        needed[stage_id] = max(needed.get(stage_id, 0), epoch)
    done = Counter(row["stage_id"] for row in epochs)
    names = {**noted, **{row["stage_id"]: row["stage"] for row in epochs}}
    return [StageState(names.get(key, f"stage {key}"), done[key], number) for key, number in needed.items()]


def _arms(planned: Iterable[Mapping[str, Any]], finished: set[str], failed: set[str]) -> list[ArmState]:
    ids: dict[str, set[str]] = {}
    for row in planned:
        ids.setdefault(row["arm"], set()).add(row["cell_id"])
    return [ArmState(arm, len(own), len(own & finished), len((own & failed) - finished)) for arm, own in ids.items()]


def _latest(finished: Sequence[Mapping[str, Any]], now: datetime) -> list[Mapping[str, Any]]:
    """Return the cells that tell the pace: none from the future, of a clock that was set back since."""
    known = [row for row in finished if row["finished_at"] <= now + CLOCK_SKEW]
    start = max((row["finished_at"] for row in known), default=now) - PACE_WINDOW
    return [row for row in known if row["finished_at"] >= start]


def _cells_per_hour(times: Sequence[datetime]) -> float | None:
    """Return the pace of cells that finished at these times; None where fewer than two tell it."""
    seconds = (max(times) - min(times)).total_seconds() if times else 0.0
    return 3600 * (len(times) - 1) / seconds if seconds else None


def print_status(status: Status, console: Console) -> None:
    """Show a status to a person."""
    finished, planned = (sum(getattr(arm, name) for arm in status.arms) for name in ("finished", "planned"))
    cells = f"{finished} of {planned} cells finished" if status.arms else "no plan has been recorded yet"
    parts = ["running" if status.is_running else "not running", cells]
    if status.is_running:
        pace = [f"{status.cells_per_hour:.0f} an hour"] if status.cells_per_hour else []
        left = [f"about {duration(status.seconds_left)} left"] if status.seconds_left else []
        parts += [", ".join(pace + left)] if pace or left else []
    console.print("; ".join(parts), highlight=False)
    console.print(_table("stage", ("epochs", "of"), [(s.name, s.epochs_done, s.epochs_needed) for s in status.stages]))
    columns = ("cells", "finished", "failed")
    console.print(_table("arm", columns, [(a.name, a.planned, a.finished, a.failed) for a in status.arms]))
    print_account(status.account, console)
    for name, reason in status.failures:
        console.print(f"failed {name}: {reason}", highlight=False, soft_wrap=True)
    for problem in status.unreadable:
        console.print(f"left out {problem}", highlight=False, soft_wrap=True)


def _table(first: str, numbers: Sequence[str], rows: Iterable[tuple[str | int, ...]]) -> Table:
    table = Table()
    table.add_column(first)
    for name in numbers:
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(*map(str, row))
    return table


@program
def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, print the status and return the exit code."""
    about, codes = (__doc__ or "").partition(":")[0], f"{EXIT_CODES}, 3 not finished"
    parser = argparse.ArgumentParser(prog="python -m sweep.status", description=about, epilog=codes)
    parser.add_argument("results", type=Path, metavar="RESULTS")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    options = parser.parse_args(arguments)
    status = read_status(options.results)
    if options.json:
        print(json.dumps(asdict(status)))
    else:
        print_status(status, Console(markup=False, emoji=False))
    return DONE if status.is_finished else SOME_LEFT


if __name__ == "__main__":
    sys.exit(main())

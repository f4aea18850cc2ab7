"""Run a plan, show it, and say at the end what is finished and what it has cost.

In: an Experiment, its Inputs and Plan, the options. Out: the exit code that the results folder, not the launcher, calls
for.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from sweep import launch_ray, launch_serial
from sweep.compact import compact_many
from sweep.costs.account import read_account
from sweep.costs.estimate import estimate, this_machine
from sweep.costs.forecast import Forecast, kept
from sweep.costs.forecast_file import keep_forecast
from sweep.costs.latest_run import note_run
from sweep.costs.tables import forecast_lines, print_account
from sweep.exit_codes import DONE, ERROR, INTERRUPTED, OUT_OF_TIME, SOME_FAILED
from sweep.experiment import Experiment
from sweep.inputs import Inputs
from sweep.on_ray.shares import LOCAL, cluster_address, divide
from sweep.plan import Plan
from sweep.state.counts import Counts, Expectation, Limits
from sweep.state.scoreboard import Scoreboard
from sweep.tensorboard import EventFiles
from sweep.views.event_log import opened
from sweep.views.live_view import Money
from sweep.views.progress import shown
from sweep.wording import amount, duration
from trainables.encoder_store import adopt_epochs
from trainables.results import ResultsError, finished_cells, read_table


def run(
    experiment: Experiment, inputs: Inputs, plan: Plan, folder: Path, options: argparse.Namespace, console: Console
) -> int:
    """Forecast, launch what is missing, close the account, and return the exit code."""
    if not plan.missing:
        return _nothing_to_do(plan, folder, options, console)
    started_at = datetime.now(UTC)
    found = estimate(experiment, plan, inputs, options.launcher, is_asked=False)
    if isinstance(found, Forecast):
        keep_forecast(folder, kept(found, plan))
    note_run(folder, {stage.stage_id: stage.name for stage in plan.stages}, _expectation(found))
    for line in [f"no forecast: {found}"] if isinstance(found, str) else forecast_lines(found):
        console.print(line, highlight=False, soft_wrap=True)
    money = Money(experiment.compute.price_per_device_hour, options.max_cost)
    with opened(options.log_json, lambda message: console.print(message, highlight=False)) as log:
        log.write("run_started", _start_fields(plan, found, folder))
        board = Scoreboard(plan, _limits(options, money), _expectation(found), log.write)
        with event_files(folder, options.tensorboard, console) as write_events:
            reports = [lambda counts: log.progress(counts, money), write_events]
            try:
                with shown(board, console, money, reports):
                    _launch(experiment, plan, board, options.launcher)
            except KeyboardInterrupt:
                _print_used(board.counts(), money, console)
                log.write("run_ended", _end_fields(INTERRUPTED, folder))
                raise
            except Exception:  # such as a full disk or a spent GPU: told by who called, and in the log
                log.write("run_ended", _end_fields(ERROR, folder))
                raise
        code = _close(plan, board, folder, options, console, money, started_at)
        log.write("run_ended", _end_fields(code, folder))
    compact_many(folder, lambda line: console.print(line, highlight=False, markup=False, soft_wrap=True))
    return code


def _nothing_to_do(plan: Plan, folder: Path, options: argparse.Namespace, console: Console) -> int:
    """Say so, in the log, too: who reads it waits for the run's end."""
    with opened(options.log_json, lambda message: console.print(message, highlight=False)) as log:
        log.write("run_started", _start_fields(plan, "nothing to run", folder))
        console.print("nothing to do: every cell is finished")
        log.write("run_ended", _end_fields(DONE, folder))
    return DONE


def _launch(experiment: Experiment, plan: Plan, board: Scoreboard, launcher: str) -> None:
    try:
        if launcher == "serial":
            launch_serial.launch(plan, board)
            return
        if cluster_address(experiment.compute) == LOCAL:
            divide(experiment.compute, [this_machine()], is_fixed=True)  # refused before Ray is started
        launch_ray.launch(plan, board, experiment.compute)
    finally:
        with suppress(OSError):  # of a full disk, which has been told
            for stage in plan.stages:  # one trained anew for one more milestone may have ended before it was as far
                adopt_epochs(stage.job.results, stage.job.encoders, stage.stage_id)


def _start_fields(plan: Plan, found: Forecast | str, folder: Path) -> dict[str, Any]:
    forecast = found if isinstance(found, Forecast) else None
    return {
        "results": str(folder),
        "cells_planned": len(plan.cells),
        "cells_finished": plan.num_finished,
        "stages_to_train": len(plan.stages),
        "forecast_device_seconds": forecast and forecast.total.device_seconds,
        "forecast_wall_seconds": forecast and forecast.wall_seconds,
        "forecast_bytes": forecast and forecast.total.num_bytes,
        "forecast_cost": forecast and forecast.cost(forecast.total),
    }


def _end_fields(code: int, folder: Path) -> dict[str, Any]:
    return {"exit_code": code, "account": asdict(read_account(folder))}


def _limits(options: argparse.Namespace, money: Money) -> Limits:
    limits = {}
    if options.max_hours is not None:
        limits["seconds"] = 3600 * options.max_hours - (time.monotonic() - options.started)
    if options.max_cost is not None and money.price:
        limits["device_seconds"] = 3600 * options.max_cost / money.price
    return Limits(**limits)


def _expectation(found: Forecast | str) -> Expectation:
    return found.expectation if isinstance(found, Forecast) else Expectation()


@contextmanager
def event_files(folder: Path, what: str, console: Console) -> Iterator[Callable[[Counts], None]]:
    """Yield what writes new rows into event files; it stops with a warning where they cannot be written."""
    if what == "none":
        yield lambda counts: None
        return
    files: EventFiles | None = EventFiles(folder, cells=what == "cells")

    def update(_: Counts) -> None:
        nonlocal files
        if files is None:
            return
        try:
            files.update()
        except ResultsError as error:  # tables that were compacted at every look: the next moment has another
            console.print(f"warning: TensorBoard files wait: {error}", highlight=False)
        except (OSError, ImportError) as error:
            with suppress(OSError):
                files.close()
            files = None
            console.print(f"warning: no TensorBoard files are written any more: {error}", highlight=False)

    try:
        yield update
    finally:
        with suppress(OSError):
            if files:
                files.close()


def _close(
    plan: Plan,
    board: Scoreboard,
    folder: Path,
    options: argparse.Namespace,
    console: Console,
    money: Money,
    started_at: datetime,
) -> int:
    """Print what is finished, what failed and what it has cost; return the exit code."""
    rows = read_table(folder, "failures")[0].to_pylist()
    failed = {row["unit_id"]: row["reason"] for row in rows}
    blocked = {cell.job.cell_id: "a pretraining stage that it needs failed" for cell in board.blocked_cells()}
    console.print(closing_table(plan, board, failed | blocked))
    finished = finished_cells(folder)
    planned = {cell.job.cell_id for cell in plan.cells} | {stage.stage_id for stage in plan.stages}
    for row in rows:
        if row["unit_id"] in planned - finished:
            when = " (in an earlier run)" if row["failed_at"] < started_at else ""
            told = f"failed {row['unit']} {row['name']}{when}: {row['reason']}"
            console.print(told, highlight=False, soft_wrap=True)
    if board.num_retries:
        often = "once" if board.num_retries == 1 else f"{board.num_retries} times"
        console.print(f"cells were tried again {often} after a failure")
    if board.packing:
        remedy = "compute.gpus_per_cell, compute.slots or compute.threads set it from the start"
        console.print(f"cells ran out of memory side by side, and ran {board.packing} from then on; {remedy}")
    print_account(read_account(folder), console)
    _print_used(board.counts(), money, console)
    if kind := board.systematic_failure:
        console.print(f"given up: the first cells all failed by {kind}; mend its cause, and the same command goes on")
        return SOME_FAILED
    if not {cell.job.cell_id for cell in plan.cells} - finished:
        return DONE
    if not (reached := board.used_up):
        return SOME_FAILED
    spent = f"out of money: {amount(money.of(board.counts().device_seconds) or 0.0)} of {money.most} used"
    limit = spent if reached == "cost" else f"out of time after {options.max_hours:g} hours"
    console.print(f"{limit}; the same command goes on from here", highlight=False, soft_wrap=True)
    return OUT_OF_TIME


def _print_used(counts: Counts, money: Money, console: Console) -> None:
    cost = money.of(counts.device_seconds)
    priced = "" if cost is None else f", cost {amount(cost)}"
    used = f"this run kept devices for {amount(counts.device_seconds / 3600)} device-hours{priced}"
    console.print(f"{used}; start-up and failures included", highlight=False, soft_wrap=True)


def closing_table(plan: Plan, board: Scoreboard, failed: Mapping[str, str]) -> Table:
    """Return a table of finished and failed cells by arm; ``failed`` maps cell ids to reasons."""
    counts = board.counts()
    table = Table(title=f"{counts.cells_done} cells in {duration(counts.seconds)}", title_justify="left")
    table.add_column("arm")
    for name in ("cells", "finished", "failed", "not run"):
        table.add_column(name, justify="right")
    finished = finished_cells(plan.cells[0].job.results)
    for arm in dict.fromkeys(cell.point.arm for cell in plan.cells):
        ids = {cell.job.cell_id for cell in plan.cells if cell.point.arm == arm}
        num_failed = len(ids & set(failed) - finished)
        num_finished = len(ids & finished)
        table.add_row(arm, *map(str, (len(ids), num_finished, num_failed, len(ids) - num_finished - num_failed)))
    return table

"""Run an experiment: python -m sweep.data_efficiency [--preset NAME | --config FILE] [key.path=value ...]

Pretrains what is missing, fine-tunes every missing cell of the grid and writes the results as Parquet. Running the
same command again goes on where it stopped; python -m analysis.report RESULTS writes the report.

Exit codes: 0 all cells finished, 1 error, 2 usage, 3 finished with failed cells, 4 out of time (--max-hours), 130
stopped by Ctrl-C or SIGTERM.
"""

import argparse
import math
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # imported late: --help must not wait for torch and ray
    from rich.console import Console

    from sweep.experiment import Experiment
    from sweep.inputs import Inputs
    from sweep.plan import Plan, PlannedCell

DONE, ERROR, USAGE, SOME_FAILED, OUT_OF_TIME, INTERRUPTED = 0, 1, 2, 3, 4, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, run it and return the exit code."""
    options = _parser().parse_intermixed_args(arguments)
    from sweep.experiment import ExperimentError, to_yaml

    try:
        experiment = _load(options)
    except ExperimentError as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE
    if options.print_config:
        print(to_yaml(experiment), end="")
        return DONE
    return _checked_run(experiment, options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sweep.data_efficiency",
        description="Learn which pretraining, how many pretraining epochs and how many labels a segmentation needs.",
        epilog="Exit codes: 0 all cells finished, 1 error, 2 usage, 3 finished with failed cells, 4 out of time, "
        "130 interrupted.",
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--preset", metavar="NAME", help="smoke, demo (default), small, acdc-small, methods or acdc")
    source.add_argument("--config", metavar="FILE", type=Path, help="an experiment as YAML (see --print-config)")
    parser.add_argument("--results", metavar="DIR", type=Path, help="results folder (default: results/NAME)")
    parser.add_argument("--launcher", choices=("ray", "serial"), default="ray", help="default: ray")
    parser.add_argument("--address", help="a running Ray cluster (default: RAY_ADDRESS, or Ray on this machine)")
    parser.add_argument(
        "--max-hours",
        type=_hours,
        metavar="H",
        help="start nothing after so many hours; cells that run are finished, and the same command goes on",
    )
    parser.add_argument("--dry-run", action="store_true", help="print what would run and its forecast cost")
    parser.add_argument("--print-config", action="store_true", help="print the resolved experiment as YAML")
    parser.add_argument("overrides", nargs="*", metavar="key.path=value", help="such as grid.subset_seeds=[0,1,2,3,4]")
    return parser


def _hours(text: str) -> float:
    """Return a number of hours above 0."""
    try:
        hours = float(text)
    except ValueError:
        hours = math.nan
    if not 0 < hours < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number of hours above 0, found {text!r}")
    return hours


def _load(options: argparse.Namespace) -> "Experiment":
    from sweep.experiment import load_file, load_preset

    overrides = [*options.overrides, *([f"compute.address={options.address}"] if options.address else [])]
    if options.config:
        return load_file(options.config, overrides)
    return load_preset(options.preset or "demo", overrides)


def _checked_run(experiment: "Experiment", options: argparse.Namespace) -> int:
    """Run, turning every expected error into one clear message."""
    from rich.console import Console

    from sweep.launch_ray import LaunchError
    from trainables.data.dataset import DataError
    from trainables.processes import DeviceError
    from trainables.results import ResultsError
    from trainables.weights import WeightsError

    console = Console(stderr=True)
    results = options.results or Path("results") / experiment.name
    try:
        return _run(experiment, results, options, console)
    except (DataError, DeviceError, WeightsError, ResultsError, LaunchError) as error:
        print(f"error: {error}", file=sys.stderr)
        return ERROR
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return INTERRUPTED
    except OSError as error:
        print(
            f"error: {error}; what is finished is kept, and the same command goes on from here",
            file=sys.stderr,
        )
        return ERROR


def _interrupt(*_: object) -> None:
    """Treat SIGTERM (Slurm, Kubernetes, a closing terminal) like Ctrl-C."""
    raise KeyboardInterrupt


def _run(experiment: "Experiment", results: Path, options: argparse.Namespace, console: "Console") -> int:
    from trainables.results import check_results, check_writable, exclusive, open_results

    if not options.dry_run:
        folder = open_results(results)
        if experiment.compute.encoders:
            check_writable(experiment.compute.encoders, "the encoders' folder", "compute.encoders")
        with exclusive(folder):
            _clear_up(folder, experiment)
            return _plan_and_run(experiment, folder, options, console)
    is_new = not results.exists() or not any(results.iterdir())
    return _plan_and_run(experiment, results.absolute() if is_new else check_results(results), options, console)


def _clear_up(folder: Path, experiment: "Experiment") -> None:
    """Remove what killed runs left behind."""
    from sweep.launch_ray import remove_abandoned_scratch
    from trainables.results import remove_abandoned

    remove_abandoned_scratch(folder)
    for place in {folder, experiment.compute.encoders or folder}:
        remove_abandoned(place)


def _plan_and_run(experiment: "Experiment", folder: Path, options: argparse.Namespace, console: "Console") -> int:
    """Read the inputs, plan, and forecast or run."""
    from sweep.inputs import read_inputs
    from sweep.plan import build_plan
    from trainables.data.progress import counted

    with counted("reading and checking data and weights", console) as progress:
        inputs = read_inputs(experiment, progress)
    for warning in inputs.summary["warnings"]:
        console.print(f"warning: {warning}", highlight=False, soft_wrap=True)
    for source, report in inputs.weights_reports.items():
        console.print(f"weights {source}: {report}", highlight=False, markup=False, soft_wrap=True)
    plan = build_plan(experiment, inputs, folder)
    _describe(plan, folder, console)
    if options.dry_run:
        from sweep.forecast import forecast

        _describe_cells(plan, console)
        console.print(forecast(experiment, plan, inputs), highlight=False, soft_wrap=True)
        return DONE
    _store_design(experiment, inputs, plan, folder)
    return _launch(experiment, plan, folder, options, console)


def _describe(plan: "Plan", folder: Path, console: "Console") -> None:
    """Say what is to do."""
    console.print(
        f"{len(plan.cells)} cells: {plan.num_finished} finished, {len(plan.missing)} to run, after "
        f"{len(plan.stages)} pretraining stages; results in {folder}",
        highlight=False,
        soft_wrap=True,
    )
    for stage in plan.stages:
        kept = ", ".join(map(str, stage.config.kept_epochs))
        console.print(
            f"  stage {stage.name}: {stage.config.epochs} epochs from {stage.source.name}, encoder kept after {kept}",
            highlight=False,
            soft_wrap=True,
        )


def _describe_cells(plan: "Plan", console: "Console") -> None:
    """List the cells to run, one line for each arm and number of pretraining epochs."""
    groups: dict[tuple[str, int], list[PlannedCell]] = {}
    for cell in plan.missing:
        groups.setdefault((cell.point.arm, cell.point.pretraining_epochs), []).append(cell)
    for (arm, epochs), cells in groups.items():
        counts = sorted({cell.point.label_count for cell in cells})
        seeds = sorted({cell.point.subset_seed for cell in cells})
        name = f"{arm} after {epochs} epochs" if epochs else arm
        at = f"{', '.join(map(str, counts))} labels, seeds {', '.join(map(str, seeds))}"
        console.print(
            f"  cells of {name}: {len(cells)} at {at}",
            highlight=False,
            soft_wrap=True,
        )


def _store_design(experiment: "Experiment", inputs: "Inputs", plan: "Plan", folder: Path) -> None:
    """Write beside the tables what was asked for, on which data, with which versions."""
    import json

    from sweep.experiment import to_yaml
    from trainables.encoder_store import adopt_epochs
    from trainables.results import clear_failure, clear_failures_of_finished, record_plan, write_text
    from trainables.versions import library_versions

    write_text(folder / "experiment.yaml", to_yaml(experiment))
    write_text(folder / "data.json", json.dumps(inputs.summary, indent=2) + "\n")
    write_text(folder / "versions.json", json.dumps(library_versions(), indent=2) + "\n")
    write_text(folder / "splits_final.json", json.dumps(inputs.split, indent=1) + "\n")
    for seed, order in inputs.label_orders.items():
        content = {
            "content_id": inputs.summary["content_id"],
            "unit": experiment.data.label_unit,
            "draw": inputs.label_draw,
            "subset_seed": seed,
            "order": order,
        }
        write_text(folder / "subsets" / f"seed-{seed}.json", json.dumps(content) + "\n")
    for job in plan.trained_elsewhere:
        adopt_epochs(folder, job.encoders, job.stage_id)
        clear_failure(folder, job.stage_id)
    missing = {cell.job.cell_id for cell in plan.missing}
    clear_failures_of_finished(folder, {cell.job.cell_id for cell in plan.cells} - missing)
    record_plan(folder, [cell.job.axes for cell in plan.cells])


def _launch(
    experiment: "Experiment", plan: "Plan", folder: Path, options: argparse.Namespace, console: "Console"
) -> int:
    """Run what is missing, show it, and return the exit code that the results folder, not the launcher, calls for."""
    from sweep import launch_ray, launch_serial
    from sweep.progress import closing_table, shown
    from sweep.scoreboard import Scoreboard
    from trainables.results import finished_cells, read_table

    if not plan.missing:
        console.print("nothing to do: every cell is finished")
        return DONE
    board = Scoreboard(plan, options.max_hours)
    with shown(board, console):
        if options.launcher == "serial":
            launch_serial.launch(plan, board)
        else:
            launch_ray.launch(plan, board, experiment.compute)
    rows = read_table(folder, "failures")[0].to_pylist()
    failed = {row["unit_id"]: row["reason"] for row in rows}
    blocked = {cell.job.cell_id: "a pretraining stage that it needs failed" for cell in board.blocked_cells()}
    console.print(closing_table(plan, board, failed | blocked))
    planned = {cell.job.cell_id for cell in plan.cells} | {stage.stage_id for stage in plan.stages}
    for row in rows:
        if row["unit_id"] in planned:
            console.print(f"failed {row['unit']} {row['name']}: {row['reason']}", highlight=False, soft_wrap=True)
    unfinished = {cell.job.cell_id for cell in plan.cells} - finished_cells(folder)
    if kind := board.systematic_failure:
        console.print(f"given up: the first cells all failed by {kind}; mend its cause, and the same command goes on")
        return SOME_FAILED
    if unfinished and board.is_over():
        console.print(f"out of time after {options.max_hours:g} hours; the same command goes on from here")
        return OUT_OF_TIME
    return SOME_FAILED if unfinished else DONE


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _interrupt)
    sys.exit(main())

"""Run an experiment: python -m sweep.data_efficiency [--preset NAME | --config FILE] [key.path=value ...]

Pretrains what is missing, fine-tunes every missing cell of the grid and writes the results as Parquet. Running the
same command again goes on where it stopped; python -m analysis.report RESULTS writes the report.

Exit codes: 0 all cells finished, 1 error, 2 usage, 3 finished with failed cells, 4 out of time (--max-hours) or money
(--max-cost), 130 stopped by Ctrl-C, SIGTERM or a closing terminal.
"""

import argparse
import contextlib
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.arguments import build_parser, options_with_value
from sweep.exit_codes import DONE, ERROR, INTERRUPTED, USAGE

if TYPE_CHECKING:  # imported late: --help must not wait for torch and ray
    from rich.console import Console

    from sweep.experiment import Experiment
    from sweep.inputs import Inputs
    from sweep.plan import Plan, PlannedCell

LITTLE_BYTES = 2**30  # that are free: an encoder or a decoded store may be larger
PLAIN: dict[str, Any] = {"highlight": False, "markup": False, "soft_wrap": True}


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, run it and return the exit code."""
    options = build_parser().parse_intermixed_args(arguments)
    options.started = time.monotonic()  # of what --max-hours limits: reading and decoding count
    from sweep.experiment import ExperimentError, to_yaml
    from sweep.overrides import replaced

    try:
        experiment = _load(options)
    except ExperimentError as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE
    for override, holds in replaced(options.overrides):
        print(f"note: '{override}' does not hold, since '{holds}' follows it", file=sys.stderr)
    if options.max_cost is not None and experiment.compute.price_per_device_hour is None:
        price = "compute.price_per_device_hour=P, what an hour of a GPU or of a CPU process costs"
        print(f"error: --max-cost: expected a price to count with, found none; set {price}", file=sys.stderr)
        return USAGE
    if options.print_config:
        print(to_yaml(experiment), end="")
        return DONE
    return _checked_run(experiment, options)


def _load(options: argparse.Namespace) -> "Experiment":
    """Build the experiment that the command line asks for. Raises ExperimentError."""
    from sweep.experiment import ExperimentError

    names = options_with_value()
    for override in options.overrides:
        key, _, value = override.partition("=")
        if key in names:
            raise ExperimentError(f"'{override}': {key} is no key of an experiment; use --{key} {value}")
    experiment = _experiment(options)
    from sweep.stage_checks import check_launcher  # brings torch, as does an experiment with stages

    check_launcher(experiment, options.launcher)
    return experiment


def _experiment(options: argparse.Namespace) -> "Experiment":
    from sweep.experiment import load_file, load_preset

    overrides = [*options.overrides, *([f"compute.address={options.address}"] if options.address else [])]
    if options.config:
        return load_file(options.config, overrides)
    return load_preset(options.preset or "demo", overrides)


def _checked_run(experiment: "Experiment", options: argparse.Namespace) -> int:
    """Run, turning every expected error into one clear message."""
    from rich.console import Console

    from sweep.on_ray.shares import LaunchError
    from sweep.views.event_log import LogError
    from trainables.data.dataset import DataError
    from trainables.data.progress import LOG_WIDTH
    from trainables.failures import full_disk_behind
    from trainables.processes import DeviceError
    from trainables.results import ResultsError
    from trainables.weights import WeightsError

    width = None if sys.stderr.isatty() else LOG_WIDTH
    console = Console(stderr=True, width=width, markup=False, emoji=False)  # names and errors hold brackets
    results = options.results or Path("results") / experiment.name
    try:
        return _run(experiment, results, options, console)
    except (DataError, DeviceError, WeightsError, ResultsError, LaunchError, LogError) as error:
        print(f"error: {error}", file=sys.stderr)
        return ERROR
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return INTERRUPTED
    except OSError as error:
        full = full_disk_behind(error)
        found = f"{_full_disk(full, results)} ({error})" if full else str(error)
        print(f"error: {found}; what is finished is kept, and the same command goes on from here", file=sys.stderr)
        return ERROR


def _full_disk(error: OSError, results: Path) -> str:
    """Say where to make room: at the results if little is left there, else at the file that did not fit, if known."""
    with contextlib.suppress(OSError):
        if (free := shutil.disk_usage(results).free) < LITTLE_BYTES:
            return f"disk full: {free // 2**20} MiB are free at {results}; make room"
    return f"disk full at {error.filename}; make room there" if error.filename else "disk full: make room"


def _interrupt(*_: object) -> None:
    """Treat SIGTERM (Slurm, Kubernetes) and SIGHUP (a closing terminal) like Ctrl-C."""
    raise KeyboardInterrupt


def _run(experiment: "Experiment", results: Path, options: argparse.Namespace, console: "Console") -> int:
    from sweep.mirror import mirrored_to
    from sweep.views.event_log import check_log
    from trainables.results import check_place, check_results, check_writable, exclusive, on_disk, open_results

    check_log(options.log_json, results)
    if not options.dry_run:
        folder = open_results(results)
        if experiment.compute.encoders:
            check_writable(experiment.compute.encoders, "the encoders' folder", "compute.encoders")
        with exclusive(folder):
            _clear_up(folder, experiment)
            with mirrored_to(options.mirror, folder, experiment.name, partial(console.print, **PLAIN)):
                return _plan_and_run(experiment, folder, options, console)
    folder = on_disk(results)
    check_place(folder, "results folder", "--results")
    is_new = not folder.exists() or not any(folder.iterdir())
    return _plan_and_run(experiment, folder if is_new else check_results(folder), options, console)


def _clear_up(folder: Path, experiment: "Experiment") -> None:
    """Remove what killed runs left behind."""
    from sweep.on_ray.dead_drivers import remove_abandoned_scratch
    from trainables.results import remove_abandoned

    remove_abandoned_scratch(folder)
    for place in {folder, experiment.compute.encoders or folder}:
        remove_abandoned(place)


def _plan_and_run(experiment: "Experiment", folder: Path, options: argparse.Namespace, console: "Console") -> int:
    """Read the inputs, plan, and forecast or run."""
    from sweep.inputs import read_inputs
    from sweep.plan import build_plan
    from sweep.stage_checks import check_device, runs_here
    from trainables.data.progress import counted

    check_device(experiment.compute, options.launcher)
    with counted("reading and checking data and weights", console) as progress:
        inputs = read_inputs(experiment, progress, runs_here(experiment.compute, options.launcher))
    for warning in inputs.summary["warnings"]:
        console.print(f"warning: {warning}", highlight=False, soft_wrap=True)
    for source, report in inputs.weights_reports.items():
        console.print(f"weights {source}: {report}", highlight=False, markup=False, soft_wrap=True)
    plan = build_plan(experiment, inputs, folder)
    _describe_data(experiment, inputs, console)
    _describe(plan, folder, console)
    if options.dry_run:
        _describe_cells(plan, console)
        _print_forecast(experiment, plan, inputs, options, console)
        return DONE
    from sweep.run import run

    _store_design(experiment, inputs, plan, folder)
    return run(experiment, inputs, plan, folder, options, console)


def _print_forecast(
    experiment: "Experiment", plan: "Plan", inputs: "Inputs", options: argparse.Namespace, console: "Console"
) -> None:
    """Say what is missing would cost, by arm and in all."""
    from sweep.costs.estimate import estimate
    from sweep.costs.tables import forecast_lines, forecast_table

    found = estimate(experiment, plan, inputs, options.launcher, is_asked=True)
    if isinstance(found, str):
        console.print(f"no forecast: {found}", highlight=False, soft_wrap=True)
        return
    console.print(forecast_table(found))
    for line in forecast_lines(found):
        console.print(line, highlight=False, soft_wrap=True)


def _describe_data(experiment: "Experiment", inputs: "Inputs", console: "Console") -> None:
    """Say whose images they are: without data.root they are synthetic, which no later line would tell."""
    from sweep.wording import number

    slices, patients = inputs.summary["num_slices"], inputs.summary["num_patients"]
    counts = (
        f"{number(slices[part], 'slice')} of {number(patients[part], 'patient')} for {purpose}"
        for part, purpose in (("train", "training"), ("validation", "validation"), ("test", "test"))
    )
    source = f"{experiment.data.root} ({inputs.summary['format']})"
    if experiment.data.root is None:
        source = "synthetic hearts, since data.root is not set"
    console.print(f"data: {source}; {', '.join(counts)}", **PLAIN)


def _describe(plan: "Plan", folder: Path, console: "Console") -> None:
    """Say what is to do."""
    from sweep.wording import number

    console.print(
        f"{number(len(plan.cells), 'cell')}: {plan.num_finished} finished, {len(plan.missing)} to run, after "
        f"{number(len(plan.stages), 'pretraining stage')}; results in {folder}",
        highlight=False,
        soft_wrap=True,
    )
    if plan.num_strangers and not plan.num_finished:
        strangers = number(plan.num_strangers, "finished cell")
        console.print(
            f"warning: {folder} holds {strangers} of other data, settings, label counts or seeds; what is there stays. "
            "A report shows one protocol (labelled data, network, fine-tuning), all its plans together; --results DIR "
            "keeps experiments apart",
            **PLAIN,
        )
    for stage in plan.stages:
        length, kept = number(stage.config.epochs, "epoch"), ", ".join(map(str, stage.config.kept_epochs))
        console.print(
            f"  stage {stage.name}: {length} from {stage.source.name}, encoder kept after {kept}",
            highlight=False,
            soft_wrap=True,
        )


def _describe_cells(plan: "Plan", console: "Console") -> None:
    """List the cells to run, one line for each arm and number of pretraining epochs."""
    from sweep.wording import number

    groups: dict[tuple[str, int], list[PlannedCell]] = {}
    for cell in plan.missing:
        groups.setdefault((cell.point.arm, cell.point.pretraining_epochs), []).append(cell)
    for (arm, epochs), cells in groups.items():
        counts = sorted({cell.point.label_count for cell in cells})
        seeds = sorted({cell.point.subset_seed for cell in cells})
        name = f"{arm} after {number(epochs, 'epoch')}" if epochs else arm
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
    from trainables.objectives import references
    from trainables.results import clear_failure, clear_failures_of_finished, record_plan, write_text
    from trainables.versions import library_versions

    write_text(folder / "experiment.yaml", to_yaml(experiment))
    write_text(folder / "data.json", json.dumps(inputs.summary, indent=2) + "\n")
    write_text(folder / "versions.json", json.dumps(library_versions(), indent=2) + "\n")
    write_text(folder / "references.json", json.dumps(references(), indent=2) + "\n")
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


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as nohup leaves it
        signal.signal(signal.SIGHUP, _interrupt)
    sys.exit(main())

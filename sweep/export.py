"""A results folder in an experiment tracker: python -m sweep.export RESULTS --to mlflow|wandb [--cells]

In: a results folder, which is only read. Out: a run for each stage, and on demand for each finished cell, in MLflow
(MLFLOW_TRACKING_URI) or Weights & Biases (WANDB_MODE=offline writes to WANDB_DIR). Exporting again adds what is new.
The tracker is a copy: nothing is ever read back into the results.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from sweep.exit_codes import DONE, ERROR
from sweep.views.tracked_runs import TrackedRun, cell_runs, stage_runs
from trainables.failures import first_line
from trainables.results import check_results
from trainables.results.programs import EXIT_CODES, program

UNIT_TAG, POINTS_TAG = "labelcurve.unit_id", "labelcurve.points"

Add = Callable[[TrackedRun], None]


class TrackerError(Exception):
    """A tracker that cannot be reached or refuses; the message is its own."""


@contextmanager
def _refusals(*kinds: type[Exception]) -> Iterator[None]:
    """Turn a tracker's own errors into ours."""
    try:
        yield
    except kinds as error:
        raise TrackerError(first_line(error)) from error


@contextmanager
def _mlflow(project: str) -> Iterator[Add]:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    with _refusals(MlflowException, OSError):
        client = MlflowClient()
        experiment = client.get_experiment_by_name(project)
        experiment_id = experiment.experiment_id if experiment else client.create_experiment(project)
        yield partial(_add_to_mlflow, client, experiment_id)


def _add_to_mlflow(client: Any, experiment_id: str, run: TrackedRun) -> None:
    from mlflow.entities import Metric, Param

    found = client.search_runs([experiment_id], f"tags.`{UNIT_TAG}` = '{run.unit_id}'", max_results=1)
    if found:
        run_id, done = found[0].info.run_id, int(found[0].data.tags.get(POINTS_TAG, 0))
    else:
        new = client.create_run(experiment_id, run_name=run.name, tags={UNIT_TAG: run.unit_id})
        run_id, done = new.info.run_id, 0
        client.log_batch(run_id, params=[Param(key, str(value)) for key, value in run.parameters.items()])
    for point in run.points[done:]:
        metrics = [Metric(key, value, round(1000 * point.at), point.step) for key, value in point.values.items()]
        client.log_batch(run_id, metrics=metrics)
    client.set_tag(run_id, POINTS_TAG, str(len(run.points)))
    client.set_terminated(run_id)


@contextmanager
def _wandb(project: str) -> Iterator[Add]:
    import wandb

    with _refusals(wandb.Error, OSError):
        yield partial(_add_to_wandb, project)


def _add_to_wandb(project: str, run: TrackedRun) -> None:
    import wandb

    settings = wandb.Settings(silent=True, console="off", x_disable_stats=True)
    # The unit's id is the run's: what has been uploaded at a step is not uploaded again.
    writer = wandb.init(
        project=project, id=run.unit_id, name=run.name, config=run.parameters, resume="allow", settings=settings
    )
    for point in run.points:
        writer.log(point.values, step=point.step)
    writer.finish()


TRACKERS = {"mlflow": _mlflow, "wandb": _wandb}


def export(root: Path, tracker: str, project: str, cells: bool = False) -> int:
    """Add every stage, and cell where asked, to a tracker; return how many runs it was given."""
    runs = [*stage_runs(root), *(cell_runs(root) if cells else ())]
    with TRACKERS[tracker](project) as add:
        for run in runs:
            add(run)
    return len(runs)


@program
def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, export and return the exit code."""
    about = (__doc__ or "").partition(":")[0]
    parser = argparse.ArgumentParser(prog="python -m sweep.export", description=about, epilog=EXIT_CODES)
    parser.add_argument("results", type=Path, metavar="RESULTS")
    parser.add_argument("--to", choices=TRACKERS, required=True)
    parser.add_argument("--cells", action="store_true", help="also the curves of finished cells, a run each")
    parser.add_argument("--project", default="labelcurve", help="MLflow's experiment, or the project (labelcurve)")
    options = parser.parse_args(arguments)
    try:
        number = export(check_results(options.results), options.to, options.project, options.cells)
    except TrackerError as error:
        setting = {"mlflow": "MLFLOW_TRACKING_URI", "wandb": "wandb login or WANDB_MODE=offline"}[options.to]
        print(f"error: --to {options.to}: expected it to take the runs, found: {error}; set {setting}", file=sys.stderr)
        return ERROR
    except ImportError as error:
        found = f"expected the packages of {options.to}, found one missing ({error})"
        print(f"error: --to {options.to}: {found}; pip install {options.to}", file=sys.stderr)
        return ERROR
    print(f"{number} runs are in {options.to}, project {options.project}")
    return DONE


if __name__ == "__main__":
    sys.exit(main())

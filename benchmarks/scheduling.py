"""Aims: 10,000 cells that train nothing go through Ray, the ledger and Parquet in at most 30 ms each on two cores, the
last thousand no slower than 1.2 times the first, the driver grows by at most 60 KB a cell; and cells of a second end
sooner than under Ray Tune used plainly.

    python -m benchmarks.scheduling [many plain] [--cells 10000]

many    the launcher itself on a real plan; only ``run_and_commit`` is replaced in the workers, by rows made up at once
plain   200 cells that wait a second: the launcher, then a Tuner with a function for each cell and Tune's own settings

Planning is left out of both; starting Ray, the workers and stopping them count.
"""

import argparse
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from sweep.experiment import load_preset
from sweep.inputs import read_inputs
from sweep.launch_ray import launch
from sweep.plan import Plan, build_plan
from sweep.state.scoreboard import Scoreboard
from trainables.jobs import CellJob
from trainables.results import SCHEMAS, commit_cell, open_results, read_table

LABEL_COUNTS = (1, 2, 4, 6, 8)
NUM_POINTS, NUM_CASES = 10, 24
WAITING_CELLS = 200
WAIT_SECONDS = 1.0
NUM_COMPARED = 1000  # first and last cells
FILL: dict[str, Any] = {"double": 0.5, "string": "text", "timestamp[us, tz=UTC]": datetime(2026, 1, 1, tzinfo=UTC)}


def main() -> None:
    """Print a line for each claim."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("claims", nargs="*", default=list(CLAIMS), help="which to measure (default: both)")
    parser.add_argument("--cells", type=int, default=10_000, help="of `many` (default 10000)")
    options = parser.parse_args()
    if unknown := set(options.claims) - set(CLAIMS):
        parser.error(f"expected some of {', '.join(CLAIMS)}, found {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory(prefix="labelcurve-benchmark-") as folder:
        for name in options.claims:
            CLAIMS[name](Path(folder) / name, options.cells)


def measure_many(folder: Path, num_cells: int) -> None:
    """Run cells that take no time."""
    plan = planned(folder, num_cells)
    before = resident_kib()
    seconds = launched(plan, trivial_trial)
    growth = (resident_kib() - before) / len(plan.missing)
    table, _ = read_table(plan.cells[0].job.results, "cells")
    if table.num_rows != len(plan.missing):
        raise SystemExit(f"expected {len(plan.missing)} finished cells, found {table.num_rows}")
    ended = np.sort(table.column("finished_at").to_numpy().astype("datetime64[us]").astype(np.int64)) / 1e6
    compared = min(NUM_COMPARED, len(ended) // 2)
    first, last = ended[compared] - ended[0], ended[-1] - ended[-1 - compared]
    print(
        f"many: {len(ended)} cells in {seconds:.1f} s, {1e3 * seconds / len(ended):.1f} ms a cell; the last {compared} "
        f"took {last / first:.2f} times as long as the first; the driver grew by {growth:.1f} KiB a cell"
    )


def measure_plain(folder: Path, _: int) -> None:
    """Run cells that wait, under the launcher and under Tune alone."""
    plan = planned(folder, WAITING_CELLS)
    ours = launched(plan, waiting_trial)
    plain = plain_tune(len(plan.missing), folder / "plain")
    print(
        f"plain: {len(plan.missing)} cells of {WAIT_SECONDS:g} s: Tune alone {plain:.1f} s, the launcher {ours:.1f} s, "
        f"ratio {plain / ours:.2f}"
    )


def planned(folder: Path, num_cells: int) -> Plan:
    """Return a plan of at least ``num_cells`` cells of the smoke preset's random arm."""
    seeds = list(range(-(-num_cells // len(LABEL_COUNTS))))
    grid = [f"grid.label_counts={list(LABEL_COUNTS)}", f"grid.subset_seeds={seeds}", "grid.arms=[random]"]
    experiment = load_preset("smoke", [*grid, "report.reference_arm=random", f"compute.cache={folder / 'cache'}"])
    return build_plan(experiment, read_inputs(experiment), open_results(folder / "results"))


def launched(plan: Plan, trial: Any) -> float:
    """Run a plan with another function in the place of a trial's, and return the seconds."""
    from trainables import ray_adapters

    kept, started = ray_adapters.finetune_trial, time.perf_counter()
    ray_adapters.finetune_trial = trial
    try:
        launch(plan, Scoreboard(plan), plan.cells[0].job.compute)
    finally:
        ray_adapters.finetune_trial = kept
    return time.perf_counter() - started


def trivial_trial(config: dict[str, Any]) -> None:
    """Run a trial as it is, but for what a cell does."""
    from trainables import finetune, ray_adapters

    finetune.run_and_commit = commit_made_up
    ray_adapters.finetune_trial(config)


def waiting_trial(config: dict[str, Any]) -> None:
    """Run a trial whose cells wait."""
    from trainables import finetune, ray_adapters

    finetune.run_and_commit = wait_and_commit
    ray_adapters.finetune_trial(config)


def commit_made_up(job: CellJob) -> None:
    """Write rows as a cell does."""
    cell = made_up("cells") | job.axes | {"finished_at": datetime.now(UTC)}
    curves = [made_up("curves") | {"cell_id": job.cell_id, "step": step} for step in range(NUM_POINTS)]
    commit_cell(job.results, cell, curves, [made_up("cases") | {"cell_id": job.cell_id}] * NUM_CASES)


def wait_and_commit(job: CellJob) -> None:
    """Take a second."""
    time.sleep(WAIT_SECONDS)
    commit_made_up(job)


def made_up(table: str) -> dict[str, Any]:
    """Return a row of a table without meaning."""
    return {field.name: FILL.get(str(field.type), 1) for field in SCHEMAS[table]}


def plain_tune(num_cells: int, folder: Path) -> float:
    """Return the seconds of a Tuner over ``num_cells`` functions, Ray's start included."""
    import ray
    from ray import tune

    started = time.perf_counter()
    ray.init(include_dashboard=False, log_to_driver=False)
    tuner = tune.Tuner(
        wait,
        param_space={"cell": tune.grid_search(list(range(num_cells)))},
        run_config=tune.RunConfig(storage_path=str(folder)),
    )
    tuner.fit()
    ray.shutdown()
    return time.perf_counter() - started


def wait(_: dict[str, Any]) -> None:
    """Be a cell of Tune's."""
    from ray import tune

    time.sleep(WAIT_SECONDS)
    tune.report({"score": 1.0})


def resident_kib() -> int:
    """Return this process's resident memory."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1])


CLAIMS = {"many": measure_many, "plain": measure_plain}


if __name__ == "__main__":
    main()

"""Claim: the launcher finishes a grid sooner than a job array, one process a cell, as the paper's grid was run.

    python -m benchmarks.job_array [--cells 24] [--preset demo]

The same cells, those of the random arm, run both ways after each other on all cores, each process with as many threads
as a cell has. Starting Ray and its workers counts, as do the processes' own starts; data are decoded before.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from sweep.experiment import load_preset
from sweep.inputs import read_inputs
from sweep.launch_ray import launch
from sweep.plan import Plan, build_plan
from sweep.state.scoreboard import Scoreboard
from trainables.finetune import run_and_commit
from trainables.jobs import CellJob
from trainables.results import finished_cells, open_results


def main() -> None:
    """Print both times and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=24, help="how many (default 24)")
    parser.add_argument("--preset", default="demo", help="whose network and recipe (default: demo)")
    parser.add_argument("--job", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        run_and_commit(CellJob.model_validate_json(options.job.read_text()))
        return
    with tempfile.TemporaryDirectory(prefix="labelcurve-benchmark-") as folder:
        array = timed_array(planned(Path(folder) / "array", options.preset, options.cells), Path(folder))
        ours = timed_launch(planned(Path(folder) / "launcher", options.preset, options.cells))
    print(
        f"job array: {options.cells} cells of the {options.preset} preset: a process each {array:.1f} s, the launcher "
        f"{ours:.1f} s, ratio {array / ours:.2f}"
    )


def planned(folder: Path, preset: str, num_cells: int) -> Plan:
    """Return the first cells of the random arm."""
    overrides = ["grid.arms=[random]", "report.reference_arm=random", f"grid.subset_seeds={list(range(num_cells))}"]
    experiment = load_preset(preset, overrides)
    plan = build_plan(experiment, read_inputs(experiment), open_results(folder))
    cells = plan.cells[:num_cells]
    return replace(plan, cells=cells, missing=cells)


def timed_array(plan: Plan, folder: Path) -> float:
    """Return the seconds of a process for each cell, as many at once as there are cores for their threads."""
    compute = plan.cells[0].job.compute
    files = []
    for number, cell in enumerate(plan.cells):
        files.append(folder / f"job-{number}.json")
        files[-1].write_text(cell.job.model_dump_json())
    num_cores = len(os.sched_getaffinity(0)) // compute.threads
    started = time.perf_counter()
    with ThreadPoolExecutor(num_cores) as pool:
        list(pool.map(run_process, files))
    return checked(plan, time.perf_counter() - started)


def run_process(job: Path) -> None:
    """Run one cell in a process of its own."""
    subprocess.run([sys.executable, "-m", "benchmarks.job_array", "--job", str(job)], check=True)


def timed_launch(plan: Plan) -> float:
    """Return the seconds of the launcher."""
    started = time.perf_counter()
    launch(plan, Scoreboard(plan), plan.cells[0].job.compute)
    return checked(plan, time.perf_counter() - started)


def checked(plan: Plan, seconds: float) -> float:
    """Return the seconds if every cell has finished."""
    num_finished = len(finished_cells(plan.cells[0].job.results))
    if num_finished != len(plan.cells):
        raise SystemExit(f"expected {len(plan.cells)} finished cells, found {num_finished}")
    return seconds


if __name__ == "__main__":
    main()

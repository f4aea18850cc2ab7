"""Aim: two workers on two cores finish cells 1.9 times as fast as one.

    python -m benchmarks.cell_workers [--cells 24] [--preset demo]

The launcher runs the same cells with one at a time and with two. Starting Ray and its first worker is left out: counted
is the time from the first finished cell to the last. ``python -m benchmarks.machine`` says what a second core adds.
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.job_array import planned, timed_launch
from sweep.plan import Plan
from trainables.results import read_table


def main() -> None:
    """Print both paces and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=24, help="how many (default 24)")
    parser.add_argument("--preset", default="demo", help="whose network and recipe (default: demo)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="labelcurve-benchmark-") as folder:
        one, two = (
            cells_per_minute(with_slots(planned(Path(folder) / str(slots), options.preset, options.cells), slots))
            for slots in (1, 2)
        )
    print(f"workers: {options.preset} preset, one {one:.1f} cells a minute, two {two:.1f}, ratio {two / one:.2f}")


def with_slots(plan: Plan, slots: int) -> Plan:
    """Return the plan for so many cells at once."""
    cells = tuple(
        replace(cell, job=cell.job.model_copy(update={"compute": cell.job.compute.model_copy(update={"slots": slots})}))
        for cell in plan.cells
    )
    return replace(plan, cells=cells, missing=cells)


def cells_per_minute(plan: Plan) -> float:
    """Run a plan and return its pace once cells end."""
    timed_launch(plan)
    table, _ = read_table(plan.cells[0].job.results, "cells")
    ended = np.sort(table.column("finished_at").to_numpy().astype("datetime64[us]").astype(np.int64)) / 6e7
    return float((len(ended) - 1) / (ended[-1] - ended[0]))


if __name__ == "__main__":
    main()

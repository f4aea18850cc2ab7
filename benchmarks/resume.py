"""Aims: planning to go on from 10,000 finished cells takes at most 5 s, from one small file a cell and table; reading
them takes time in proportion to their number; after sweep.compact both take less.

    python -m benchmarks.resume

Each size is a results folder as a sweep leaves it, in a temporary folder, for an experiment with as many seeds as it
takes. Every figure is of a process of its own, in seconds of the clock and of the processor; files are in the page
cache.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sweep.experiment import Experiment, load_preset
from sweep.inputs import Inputs
from sweep.plan import Plan, build_plan
from trainables.results import SCHEMAS, finished_cells, open_results, read_table, record_plan

NUM_POINTS, NUM_PATIENTS = 20, 10
LABEL_COUNTS = (1, 3, 7, 15, 30, 75, 150, 300, 749, 1498)
EPOCHS = (10, 20, 50, 100)
CELLS_A_SEED = (3 + 3 * len(EPOCHS)) * len(LABEL_COUNTS)  # three of six arms have a milestones axis
CLASSES = ("RV", "MYO", "LV")
KINDS = (("true", "positives"), ("false", "positives"), ("false", "negatives"))


def main() -> None:
    """Write and measure every size, and print a row for each figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, nargs="+", default=[1000, 3000, 10_000], help="numbers of cells")
    parser.add_argument("--measure", choices=sorted(FIGURES), help=argparse.SUPPRESS)
    parser.add_argument("--results", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measured(FIGURES[options.measure], options.results, options.cells[0])))
        return
    print(f"{'cells':>6}  {'folder':10}  {'figure':14}  wall s   cpu s", flush=True)
    for num_cells in options.cells:
        folder = Path(tempfile.mkdtemp(prefix="labelcurve-benchmark-"))
        try:
            write_results(open_results(folder / "results"), num_cells)
            report(folder / "results", num_cells, "single", sorted(set(FIGURES) - {"compact"}))
            report(folder / "results", num_cells, "compacting", ["compact"])
            report(folder / "results", num_cells, "compacted", sorted(set(FIGURES) - {"compact"}))
        finally:
            shutil.rmtree(folder)


def report(results: Path, num_cells: int, state: str, figures: list[str]) -> None:
    """Measure each figure in a process of its own."""
    for figure in figures:
        command = [sys.executable, "-m", "benchmarks.resume", "--measure", figure, "--results", str(results)]
        done = subprocess.run([*command, "--cells", str(num_cells)], check=True, capture_output=True, text=True)
        wall, cpu = json.loads(done.stdout)
        print(f"{num_cells:6d}  {state:10}  {figure:14}  {wall:6.2f}  {cpu:6.2f}", flush=True)


def measured(figure: Callable[[Path, int], Callable[[], Any]], results: Path, num_cells: int) -> tuple[float, float]:
    """Time what a figure prepares."""
    body = figure(results, num_cells)
    wall, cpu = time.perf_counter(), time.process_time()
    body()
    return time.perf_counter() - wall, time.process_time() - cpu


def experiment(num_cells: int) -> Experiment:
    """The smoke preset with the axes of a large grid: six arms, four milestones, ten label counts, many seeds."""
    seeds = list(range(-(-num_cells // CELLS_A_SEED)))
    overrides = [f"grid.label_counts={list(LABEL_COUNTS)}", f"grid.subset_seeds={seeds}"]
    return load_preset(
        "smoke", [*overrides, "stages.byol-domain.epochs=100", f"stages.byol-domain.milestones={list(EPOCHS)}"]
    )


def planned(results: Path, num_cells: int) -> Plan:
    """The plan of the experiment in a results folder; data are named, not read."""
    asked = experiment(num_cells)
    orders = {seed: f"order {seed}" for seed in asked.grid.subset_seeds}
    inputs = Inputs(
        data_id="data",
        pool_id="pool",
        natural_id="natural",
        weights_ids={"random": "random"},
        summary={},
        label_orders={},
        label_draw="uniform",
        order_ids=orders,
        split=[],
    )
    return build_plan(asked, inputs, results)


def plan(results: Path, num_cells: int) -> Callable[[], None]:
    """What a resumed run does before it starts anything."""

    def body() -> None:
        found = planned(results, num_cells)
        assert found.num_finished == min(num_cells, len(found.cells))

    return body


def grid_only(results: Path, num_cells: int) -> Callable[[], Plan]:
    """The same with an empty folder: what of it is the grid and not the results."""
    return lambda: planned(open_results(results.parent / "empty"), num_cells)


def finished(results: Path, num_cells: int) -> Callable[[], set[str]]:
    """Which cells are finished."""
    return lambda: finished_cells(results)


def status(results: Path, num_cells: int) -> Callable[[], Any]:
    """What python -m sweep.status reads."""
    from sweep.status import read_status

    return lambda: read_status(results)


def load(results: Path, num_cells: int) -> Callable[[], Any]:
    """What a report reads: all rows of all tables."""
    from analysis.loading.load import load_results

    return lambda: load_results(results)


def read_cells(results: Path, num_cells: int) -> Callable[[], Any]:
    """All columns of one table."""
    return lambda: read_table(results, "cells")


def compact(results: Path, num_cells: int) -> Callable[[], Any]:
    """What python -m sweep.compact does."""
    from trainables.results import compact as merge

    return lambda: merge(results)


FIGURES = {
    "plan": plan,
    "grid only": grid_only,
    "finished": finished,
    "status": status,
    "load_results": load,
    "read_table": read_cells,
    "compact": compact,
}


def write_results(root: Path, num_cells: int) -> None:
    """Write every cell of the experiment as finished, three files each."""
    cells = planned(root, num_cells).cells[:num_cells]
    record_plan(root, [cell.job.axes for cell in cells])
    (root / "experiment.yaml").write_text("name: benchmark\nreport: {reference_arm: random}\n")
    generator = np.random.default_rng(0)
    for folder in ("cells", "curves", "cases"):
        (root / folder).mkdir()
    for cell in cells:
        _write_cell(root, cell.job.axes, generator)


def _write_cell(root: Path, axes: dict[str, Any], generator: np.random.Generator) -> None:
    cell_id, steps = axes["cell_id"], np.arange(NUM_POINTS) * 10
    dice = 0.9 - 0.5 * np.exp(-steps / 60.0) + 0.01 * generator.normal(size=NUM_POINTS)
    texts = {"data_id": "d", "encoder_id": "e", "device": "cpu", "code_version": "0"}
    row = {name: axes.get(name, texts.get(name, 1)) for name in SCHEMAS["cells"].names}
    row |= {"test_dice": float(dice[-1]), "finished_at": datetime(2026, 1, 1, tzinfo=UTC)}
    _write(root, "cells", cell_id, {name: [value] for name, value in row.items()})
    curve = {"cell_id": [cell_id] * NUM_POINTS, "step": steps, "seconds": 0.1 * steps, "val_dice": dice}
    _write(root, "curves", cell_id, curve | {"train_loss": 1 - dice, "val_loss": 1 - dice})
    size = NUM_PATIENTS * 2 * len(CLASSES)
    counts = {f"{name}_{kind}": generator.integers(1, 5000, size) for name, kind in KINDS}
    names = {"cell_id": [cell_id] * size, "group": ["NOR"] * size, "class_name": np.tile(CLASSES, 2 * NUM_PATIENTS)}
    names |= {"patient": np.repeat([f"p{index}" for index in range(NUM_PATIENTS)], 2 * len(CLASSES))}
    names |= {"phase": np.tile(np.repeat(["ED", "ES"], len(CLASSES)), NUM_PATIENTS)}
    _write(root, "cases", cell_id, counts | names | {"class_index": np.tile(range(1, 4), 2 * NUM_PATIENTS)})


def _write(root: Path, table: str, name: str, columns: dict[str, Any]) -> None:
    """As ``write_rows`` does, without waiting for the disk."""
    schema = SCHEMAS[table]
    size = len(columns["cell_id"])
    blank = dict.fromkeys(schema.names, pa.nulls(size))  # what this benchmark does not ask about
    content = pa.table({key: pa.array(value).cast(schema.field(key).type) for key, value in (blank | columns).items()})
    pq.write_table(content, root / table / f"{name}.parquet")


if __name__ == "__main__":
    main()

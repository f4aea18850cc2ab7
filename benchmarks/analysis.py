"""Aims: the report of 10,000 cells (40 curve points, 20 test patients each), with 2,000 resamples, tables, figures and
page, is there within 60 s and 2 GiB on two cores, and time grows no faster than the cells from 100 to 10,000.

    python -m benchmarks.analysis [--single-files]

Results are written as a sweep leaves them: three small files a cell, merged at the end of a run of 1,000 cells or more
(not with ``--single-files``, as while it runs). Each size is measured in
a process of its own, so that its peak of memory is its own. Files are in the page cache. ``after load`` is what a
report takes beyond reading its files.
"""

import argparse
import json
import resource
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
import yaml

from sweep.compact import COMPACTED_FROM
from trainables.results import SCHEMA_VERSION, SCHEMAS, compact

NUM_SEEDS, NUM_POINTS, NUM_PATIENTS = 10, 40, 20
LABEL_COUNTS = (1, 3, 7, 15, 30, 75, 150, 300, 749, 1498)
CLASSES = ("RV", "MYO", "LV")
PARTS = ("load_results", "find", "all_tables", "draw_all", "render_page")  # of analysis.report
ARMS, EPOCHS = 10, 10  # at most; an arm's variants differ in their pretraining epochs


def main() -> None:
    """Write and measure every size, and print a row for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, nargs="+", default=[100, 1000, 10_000], help="numbers of cells")
    parser.add_argument("--single-files", action="store_true", help="leave the files of many cells as they are")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure)))
        return
    print(" cells  " + "".join(f"{name:>14}" for name in (*PARTS, "rest", "all", "after load", "CPU", "peak MiB")))
    for num_cells in options.cells:
        root = Path(tempfile.mkdtemp(prefix="labelcurve-benchmark-"))
        try:
            write_sweep(root, num_cells)
            if num_cells >= COMPACTED_FROM and not options.single_files:
                compact(root)
            command = [sys.executable, "-m", "benchmarks.analysis", "--measure", str(root)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            found = json.loads(done.stdout)
        finally:
            shutil.rmtree(root)
        print(f"{num_cells:6d}  " + "".join(f"{value:14.1f}" for value in found.values()), flush=True)


def measure(root: Path) -> dict[str, float]:
    """Write the report of one results folder; return seconds by part, of the processors, and the peak in MiB."""
    from analysis import report

    parts = dict.fromkeys(PARTS, 0.0)

    def timed(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **options: Any) -> Any:
            start = time.perf_counter()
            result = call(*arguments, **options)
            parts[name] += time.perf_counter() - start
            return result

        return run

    for name in PARTS:
        setattr(report, name, timed(name, getattr(report, name)))
    start, work = time.perf_counter(), time.process_time()
    report.write_report(root)
    whole, work = time.perf_counter() - start, time.process_time() - work
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    after = whole - parts["load_results"]
    return {**parts, "rest": whole - sum(parts.values()), "all": whole, "after": after, "work": work, "peak_mib": peak}


def write_sweep(root: Path, num_cells: int) -> None:
    """Write a sweep of as many arms as it takes, ten label counts and ten seeds (fewer of both for small ones)."""
    counts, seeds = (LABEL_COUNTS[::2], 5) if num_cells < 1000 else (LABEL_COUNTS, NUM_SEEDS)
    num_arms = num_cells // (len(counts) * seeds)
    generator = np.random.default_rng(0)
    planned = []
    for folder in ("cells", "curves", "cases", "planned", "pretraining"):
        (root / folder).mkdir()
    for arm in range(1, min(num_arms, ARMS)):
        _write_stage(root, arm)
    for arm in range(num_arms):
        for count in counts:
            for seed in range(seeds):
                axes = _axes(arm, count, seed)
                planned.append(axes | {"plan_number": 1})
                error = (0.06 + 0.6 * count ** -(0.4 + 0.2 * arm / num_arms)) * np.exp(0.1 * generator.normal())
                _write_cell(root, axes, min(error, 0.95), generator)
    _write(root / "planned" / "plan.parquet", "planned", {name: [row[name] for row in planned] for name in planned[0]})
    (root / "labelcurve.json").write_text(json.dumps({"schema_version": SCHEMA_VERSION}))
    report = {"reference_arm": "arm-0", "target_error": 0.2, "bootstrap_resamples": 2000}
    (root / "experiment.yaml").write_text(yaml.safe_dump({"name": "benchmark", "report": report}))


def _axes(arm: int, count: int, seed: int) -> dict[str, object]:
    return {
        "cell_id": f"{arm}-{count}-{seed}",
        "protocol_id": "protocol",
        "arm": f"arm-{arm % ARMS}",
        "base_arm": "arm-0",
        "pretraining_epochs": arm // ARMS,
        "pretraining_chain": f"stage-{arm % ARMS}@{arm // ARMS}" if arm >= ARMS and arm % ARMS else "",
        "pretraining_schedule": "milestones" if arm % ARMS else "none",
        "pretraining_seed": 0,
        "label_count": count,
        "label_unit": "slices",
        "subset_seed": seed,
        "train_seed": seed,
    }


def _write_stage(root: Path, arm: int) -> None:
    epochs = list(range(1, EPOCHS))
    same = {"stage_id": f"stage-{arm}", "stage": f"stage-{arm}", "objective": "byol", "data": "domain"}
    same |= {"initial_weights": "random", "pretraining_seed": 0, "num_workers": 1, "probe_r2": None, "samples": 100}
    same |= dict.fromkeys(("loss", "learning_rate", "feature_std", "flops", "seconds", "device_seconds"), 1.0)
    columns = {name: [value] * len(epochs) for name, value in (same | {"effective_rank": 50.0}).items()}
    _write(root / "pretraining" / f"stage-{arm}.parquet", "pretraining", columns | {"epoch": epochs})


def _write_cell(root: Path, axes: dict[str, object], error: float, generator: np.random.Generator) -> None:
    cell_id = str(axes["cell_id"])
    steps = np.arange(NUM_POINTS) * 10
    dice = (1 - error) * (1 - np.exp(-steps / 60.0))
    floats = dict.fromkeys(("val_loss", "test_loss", "test_iou", "test_slice_iou"), 1.0)
    floats |= {f"{name}_seconds": 1.0 for name in ("train", "validation", "test", "wall")}
    integers = dict.fromkeys(("labelled_patients", "validation_slices", "validation_patients", "batch_size"), 8)
    row = (
        axes
        | floats
        | integers
        | {"labelled_slices": axes["label_count"], "steps": 390, "budget_steps": 390, "num_parameters": 1}
    )
    row |= {"val_dice": float(dice[-1]), "test_dice": 1 - error, "data_id": "d", "encoder_id": "e", "device": "cpu"}
    row |= {"threads": 1, "code_version": "0", "finished_at": datetime(2026, 1, 1, tzinfo=UTC)}
    _write(root / "cells" / f"{cell_id}.parquet", "cells", {name: [value] for name, value in row.items()})
    curve = {"cell_id": [cell_id] * NUM_POINTS, "step": steps, "train_loss": 1 - dice, "val_loss": 1 - dice}
    _write(root / "curves" / f"{cell_id}.parquet", "curves", curve | {"val_dice": dice, "seconds": 0.1 * steps})
    size = NUM_PATIENTS * 2 * len(CLASSES)
    wrong = np.round(1e4 * error * np.exp(0.2 * generator.normal(size=size))).astype(int)
    cases: dict[str, object] = {
        "cell_id": [cell_id] * size,
        "patient": np.repeat([f"p{index}" for index in range(NUM_PATIENTS)], 2 * len(CLASSES)),
        "group": ["NOR"] * size,
        "phase": np.tile(np.repeat(["ED", "ES"], len(CLASSES)), NUM_PATIENTS),
        "class_index": np.tile(range(1, len(CLASSES) + 1), 2 * NUM_PATIENTS),
        "class_name": np.tile(CLASSES, 2 * NUM_PATIENTS),
        "true_positives": np.full(size, round(1e4 * (1 - error))),
    }
    cases |= {"voxel_ml": 0.08, "hd95": 40 * error, "assd": 10 * error, "diagonal": 200.0, "distance_unit": "mm"}
    cases |= {"slice_dice": 0.9, "slice_iou": 0.8, "scored_slices": 8, "num_distances": 1, "num_undefined_distances": 0}
    cases = {name: value if isinstance(value, list | np.ndarray) else [value] * size for name, value in cases.items()}
    _write(root / "cases" / f"{cell_id}.parquet", "cases", cases | {"false_positives": wrong, "false_negatives": wrong})


def _write(path: Path, table: str, columns: dict[str, object]) -> None:
    schema = SCHEMAS[table]
    pq.write_table(
        pa.table({name: pa.array(columns[name]).cast(schema.field(name).type) for name in schema.names}), path
    )


if __name__ == "__main__":
    main()

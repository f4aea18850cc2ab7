"""Make the stored results of the golden report, and the numbers that it must show:

    python -m tests.analysis.golden.make [--numbers-only]

In: nothing but the seed below. Out: ``results/``, a sweep as a small ACDC run leaves it (four variants of three arms,
4 label counts, 3 seeds, 8 test patients of four groups; one cell failed, one file torn), and ``expected.json`` from
``headline``, which knows nothing of the analysis. Both are committed: a report of today must still show these numbers
of yesterday's files. Make them anew only when the schema of results changes.
"""

import argparse
import json
import shutil
import zlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from tests.analysis.golden.headline import headline
from trainables.results import (
    SCHEMA_VERSION,
    commit_cell,
    compact,
    record_example_slices,
    record_failure,
    record_plan,
    write_rows,
    write_text,
)

HERE = Path(__file__).parent
ROOT = HERE / "results"
SEED = 20220901
REFERENCE, PRETRAINED = "supervised-natural", "byol-domain"
VARIANTS = {  # (arm, epochs): floor, scale, exponent of the error, steps constant of the curve
    ("random", 0): (0.10, 1.00, 0.50, 90.0),
    (REFERENCE, 0): (0.08, 0.75, 0.55, 60.0),
    (PRETRAINED, 3): (0.09, 0.80, 0.55, 45.0),
    (PRETRAINED, 12): (0.08, 0.62, 0.58, 30.0),
}
LABEL_COUNTS = (4, 12, 36, 112)
SEEDS = ((0, 10), (1, 11), (2, 12))
GROUPS = {f"patient{101 + 3 * i}": ("NOR", "DCM", "HCM", "MINF")[i % 4] for i in range(8)}
CLASSES = {"RV": 1.4, "MYO": 1.0, "LV": 0.6}  # times the patient's error
SIZES = {"RV": 5200, "MYO": 4300, "LV": 4900}  # pixels
STEPS = np.arange(0, 401, 20)
FAILED, TORN = ("random", 0, 4, 2), ("byol-domain", 3, 36, 1)  # arm, epochs, label count, subset seed


def main() -> None:
    """Write the results and the numbers, or the numbers of the results that are there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--numbers-only", action="store_true", help="leave the results as they are")
    if not parser.parse_args().numbers_only:
        write_results()
    (HERE / "expected.json").write_text(json.dumps(headline(ROOT), indent=1) + "\n")


def write_results() -> None:
    """Write the results folder."""
    shutil.rmtree(ROOT, ignore_errors=True)
    ROOT.mkdir()
    write_text(ROOT / "labelcurve.json", json.dumps({"schema_version": SCHEMA_VERSION}))
    generator = np.random.default_rng(SEED)
    rows = design()
    record_plan(ROOT, rows)
    patients = 0.25 * generator.normal(size=len(GROUPS))  # how hard each is, on the scale of logs
    luck = {(count, seed): generator.normal() for count in LABEL_COUNTS for seed in SEEDS}
    torn = next(row for row in rows if point(row) == TORN)
    for row in rows:
        if point(row) not in (FAILED, TORN):
            write_cell(row, luck, patients, generator)
    compact(ROOT)
    (ROOT / ".compaction.lock").unlink()
    write_cell(torn, luck, patients, generator)
    damaged = ROOT / "cells" / f"{torn['cell_id']}.parquet"
    damaged.write_bytes(damaged.read_bytes()[:-200])
    write_failure(next(row for row in rows if point(row) == FAILED))
    write_beside(generator)


def point(row: dict[str, Any]) -> tuple[str, int, int, int]:
    """Return where in the grid a cell stands."""
    return row["arm"], row["pretraining_epochs"], row["label_count"], row["subset_seed"]


def design() -> list[dict[str, Any]]:
    """Return the axes of every planned cell."""
    return [
        {
            "cell_id": f"{arm}-{epochs}-{count}-{subset_seed}",
            "protocol_id": "golden",
            "arm": arm,
            "base_arm": "random",
            "pretraining_epochs": epochs,
            "pretraining_chain": f"stage-{arm}@{epochs}" if epochs else "",
            "pretraining_schedule": "milestones" if epochs else "none",
            "pretraining_seed": 0,
            "label_count": count,
            "label_unit": "slices",
            "subset_seed": subset_seed,
            "train_seed": train_seed,
        }
        for arm, epochs in VARIANTS
        for count in LABEL_COUNTS
        for subset_seed, train_seed in SEEDS
    ]


def write_cell(axes: dict[str, Any], luck: dict[Any, float], patients: Any, generator: np.random.Generator) -> None:
    """Write one finished cell: few labels have a wide spread, and a heavy upper tail."""
    floor, scale, exponent, pace = VARIANTS[axes["arm"], axes["pretraining_epochs"]]
    count, seed = axes["label_count"], (axes["subset_seed"], axes["train_seed"])
    spread = 0.3 * count**-0.4
    shared = luck[count, seed] + 0.5 * generator.standard_t(4)
    whole = np.log(floor + scale * count**-exponent) + spread * shared
    errors = np.exp(whole + patients + 0.08 * generator.normal(size=len(patients))).clip(max=0.9)
    cases = [
        case(axes["cell_id"], patient, phase, name, float(error), generator)
        for patient, error in zip(GROUPS, errors, strict=True)
        for phase in ("ED", "ES")
        for name in CLASSES
    ]
    dice = mean_score(cases, lambda hits, wrong: 2 * hits / (2 * hits + wrong))
    curve = dice * (1 - np.exp(-STEPS / pace)) + 0.01 * generator.normal(size=len(STEPS))
    curves = [
        {
            "cell_id": axes["cell_id"],
            "step": int(step),
            "train_loss": None if step == 0 else round(1 - float(score), 4),
            "val_loss": round(1 - float(score), 4),
            "val_dice": round(float(score), 4),
            "seconds": 0.15 * int(step),
        }
        for step, score in zip(STEPS, curve.clip(0, 1), strict=True)
    ]
    scores = {"val_loss": curves[-1]["val_loss"], "val_dice": curves[-1]["val_dice"]}
    scores |= {"test_loss": 1 - dice, "test_dice": dice, "test_slice_iou": 0.5 + dice / 2}
    scores |= {"test_iou": mean_score(cases, lambda hits, wrong: hits / (hits + wrong))}
    commit_cell(ROOT, axes | scores | facts(count), curves, cases, predictions(axes, dice))


def facts(count: int) -> dict[str, Any]:
    """Return what is alike in all cells of a label count."""
    counts = {"labelled_slices": count, "labelled_patients": min(20, count), "validation_slices": 48}
    sizes = {
        "validation_patients": 5,
        "steps": 400,
        "budget_steps": 400,
        "batch_size": 16,
        "num_parameters": 24_000_000,
        "threads": 1,
    }
    seconds = {"train_seconds": 60.0, "validation_seconds": 6.0, "test_seconds": 2.0, "wall_seconds": 70.0}
    origin = {"data_id": "data", "encoder_id": "encoder", "device": "cpu", "code_version": "0.1.0"}
    return counts | sizes | seconds | origin | {"finished_at": datetime(2026, 1, 1, tzinfo=UTC)}


def case(
    cell_id: str, patient: str, phase: str, name: str, error: float, generator: np.random.Generator
) -> dict[str, Any]:
    """Return the counts of one structure; one is absent from a patient, and a small one that is hard is missed."""
    absent = (patient, phase, name) == ("patient104", "ES", "RV")
    error = error * CLASSES[name] * (1.1 if phase == "ES" else 1.0)
    missed = not absent and error > 0.85
    wrong = 1.0 if missed else min(error, 0.85)
    size = round(SIZES[name] * (0.6 if phase == "ES" else 1.0) * generator.uniform(0.9, 1.1))
    false = round(size * wrong)
    found = not (absent or missed)
    return {
        "cell_id": cell_id,
        "patient": patient,
        "group": GROUPS[patient],
        "phase": phase,
        "class_index": list(CLASSES).index(name) + 1,
        "class_name": name,
        "true_positives": 0 if absent else size - false,
        "false_positives": false if found else 0,
        "false_negatives": 0 if absent else false,
        "voxel_ml": 0.015,
        "slice_dice": None if absent else round(0.95 * (1 - wrong), 4),
        "slice_iou": None if absent else round(0.9 * (1 - wrong), 4),
        "scored_slices": 0 if absent else 9,
        "hd95": round(60 * wrong, 2) if found else None,
        "assd": round(15 * wrong, 2) if found else None,
        "num_distances": int(found),
        "num_undefined_distances": int(missed),
        "distance_unit": "mm",
        "diagonal": 280.0,
    }


def mean_score(cases: list[dict[str, Any]], score: Any) -> float:
    """Return the mean over patients of the mean over their structures and phases that are there."""
    means = []
    for patient in GROUPS:
        counts = [
            (row["true_positives"], row["false_positives"] + row["false_negatives"])
            for row in cases
            if row["patient"] == patient
        ]
        means.append(float(np.mean([score(hits, wrong) for hits, wrong in counts if hits + wrong])))
    return float(np.mean(means))


def mask(missed: int = 0) -> Any:
    """Return a square of the third class in a ring of the second, less some of its rows."""
    picture = np.zeros((24, 24), np.uint8)
    picture[5 + missed : 19, 5:19], picture[8 + missed : 16, 8:16] = 2, 3
    return picture


def predictions(axes: dict[str, Any], dice: float) -> list[dict[str, Any]]:
    """Return what a cell of the fewest and the most labels predicts on three slices."""
    if axes["label_count"] not in (LABEL_COUNTS[0], LABEL_COUNTS[-1]):
        return []
    head = {"cell_id": axes["cell_id"], "phase": "ED", "slice_index": 4}
    return [
        head | {"patient": patient, "prediction": zlib.compress(mask(round(6 * (1 - dice)) + extra).tobytes())}
        for extra, patient in enumerate(list(GROUPS)[:3])
    ]


def write_failure(axes: dict[str, Any]) -> None:
    """Record why one cell has no result."""
    name = f"{axes['arm']} @{axes['pretraining_epochs']}, {axes['label_count']} slices"
    words = {"reason": "OutOfMemoryError: the device was full", "traceback": "Traceback"}
    record_failure(
        ROOT,
        {"unit_id": axes["cell_id"], "unit": "cell", "name": name, "failed_at": datetime(2026, 1, 1, tzinfo=UTC)}
        | words,
    )


def write_beside(generator: np.random.Generator) -> None:
    """Write the pretraining's epochs, the slices of the examples, and the files beside the tables."""
    stage = {"stage_id": f"stage-{PRETRAINED}", "stage": PRETRAINED, "objective": "byol", "data": "domain"}
    stage |= {"initial_weights": "random", "pretraining_seed": 0, "learning_rate": 0.1, "probe_r2": None}
    stage |= {"samples": 1902, "flops": 4e12, "seconds": 30.0, "device_seconds": 30.0, "num_workers": 1}
    epochs = [{"epoch": n, "loss": 2 / n, "feature_std": 0.8, "effective_rank": 30.0 + n} for n in range(1, 13)]
    write_rows(ROOT, "pretraining", str(stage["stage_id"]), [stage | each for each in epochs])
    grey = (60 * mask() + generator.integers(0, 30, size=(24, 24))).astype(np.uint8)
    packed = {"image": zlib.compress(grey.tobytes()), "truth": zlib.compress(mask().tobytes())}
    shown = [{"patient": patient, "group": GROUPS[patient]} for patient in list(GROUPS)[:3]]
    record_example_slices(
        ROOT, [{"data_id": "data", "phase": "ED", "slice_index": 4} | each | packed for each in shown]
    )
    experiment = {"name": "golden", "report": {"reference_arm": REFERENCE, "bootstrap_resamples": 200}}
    write_text(ROOT / "experiment.yaml", yaml.safe_dump(experiment))
    counts = {"num_patients": {"train": 80, "validation": 5, "test": 8}}
    counts |= {"num_slices": {"train": 1480, "validation": 48, "test": 144}}
    write_text(ROOT / "data.json", json.dumps({"name": "ACDC", "class_names": list(CLASSES)} | counts))
    write_text(ROOT / "versions.json", json.dumps({"labelcurve": "0.1.0", "torch": "2.9"}))
    write_text(ROOT / "references.json", json.dumps({"byol": "Grill et al. (2020) Bootstrap your own latent."}))


if __name__ == "__main__":
    main()

"""A results folder with known truth, written through the contract and without any training.

In: a folder and what to leave out. Out: planned, cells, curves, cases, pretraining, failures and the files
beside them. The truth is in LAWS (error = floor + scale * n ** -exponent), SPEED (steps constant of the
curve) and EPOCH_PENALTY.
"""

import json
import math
import zlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from trainables.results import (
    SCHEMA_VERSION,
    commit_cell,
    record_example_slices,
    record_failure,
    record_plan,
    write_rows,
    write_text,
)

LABEL_COUNTS = (4, 12, 36, 112, 224)
SEEDS = ((0, 10), (1, 11), (2, 12))
EPOCHS = (3, 12)
STEPS, EVALUATE_EVERY = 400, 4
REFERENCE = "supervised-natural"
HIERARCHICAL = "byol-natural+byol-domain"
BASES = {
    "random": "random",
    "supervised-natural": "random",
    "byol-natural": "random",
    "byol-domain": "random",
    "supervised-natural+byol-domain": "supervised-natural",
    "byol-natural+byol-domain": "byol-natural",
}
LAWS = {  # floor, scale, exponent
    "random": (0.12, 1.10, 0.50),
    "supervised-natural": (0.08, 0.55, 0.60),
    "byol-natural": (0.09, 0.70, 0.55),
    "byol-domain": (0.10, 0.90, 0.55),
    "supervised-natural+byol-domain": (0.08, 0.65, 0.60),
    "byol-natural+byol-domain": (0.08, 0.60, 0.60),
}
SPEED = {  # steps until the curve has covered 1 - 1/e of its way
    "random": 100.0,
    "supervised-natural": 50.0,
    "byol-natural": 40.0,
    "byol-domain": 30.0,
    "supervised-natural+byol-domain": 20.0,
    "byol-natural+byol-domain": 10.0,
}
EPOCH_PENALTY = {0: 1.0, 3: 1.0, 12: 1.0}
BYOL_REFERENCE = "Grill et al. (2020) Bootstrap your own latent. arXiv:2006.07733"
CLASSES = ("RV", "MYO", "LV")
GROUPS = {"patient-1": "NOR", "patient-2": "DCM"}  # the test patients
GROUP_FACTORS = {"NOR": 1.0, "DCM": 1.0}  # of a cell's error
WRITTEN: dict[tuple[Any, ...], dict[Path, bytes]] = {}  # what has been asked for before
EXAMPLES = {"patient-1": 1, "patient-2": 4, "patient-3": 2}  # rows of eight that a prediction misses; random one more


def true_error(arm: str, label_count: int, epochs: int = 12) -> float:
    """The error that an arm has without noise."""
    floor, scale, exponent = LAWS[arm]
    return (floor + scale * label_count**-exponent) * EPOCH_PENALTY[epochs]


def chain(arm: str, epochs: int) -> str:
    """The stages behind an arm's encoder; supervised pretraining is downloaded."""
    own = f"stage-{arm}@{epochs or 12}"
    return f"{chain(BASES[arm], 0)} {own}".strip() if "byol" in arm else ""


def design(protocol: str = "protocol-a", seeds: tuple[tuple[int, int], ...] = SEEDS) -> list[dict[str, Any]]:
    """Every cell's axes."""
    rows = []
    for arm, base in BASES.items():
        for epochs in EPOCHS if "domain" in arm else (0,):
            for label_count in LABEL_COUNTS:
                for subset_seed, train_seed in seeds:
                    rows.append(
                        {
                            "cell_id": f"{protocol}-{arm}-{epochs}-{label_count}-{subset_seed}-{train_seed}",
                            "protocol_id": protocol,
                            "arm": arm,
                            "base_arm": base,
                            "pretraining_epochs": epochs,
                            "pretraining_chain": chain(arm, epochs),
                            "pretraining_schedule": "milestones" if epochs else "none",
                            "pretraining_seed": 0,
                            "label_count": label_count,
                            "label_unit": "slices",
                            "subset_seed": subset_seed,
                            "train_seed": train_seed,
                        }
                    )
    return rows


def write_results(
    root: Path,
    *,
    noise: float = 0.03,
    seeds: tuple[tuple[int, int], ...] = SEEDS,
    left_out: int = 2,
    failed: int = 1,
    beside: bool = True,
) -> Path:
    """Write a whole results folder, but for ``left_out`` cells that are missing and ``failed`` ones that failed.

    An equal one is written again from memory: a small table takes longer to make than to copy.
    """
    simulation = (LABEL_COUNTS, EPOCHS, BASES, LAWS, SPEED, EPOCH_PENALTY, CLASSES, GROUPS, GROUP_FACTORS, EXAMPLES)
    asked = (repr(simulation), design, _write_cell, noise, seeds, left_out, failed, beside)  # tests change all of these
    if asked not in WRITTEN:
        assert not root.exists() or not any(root.iterdir()), f"expected an empty folder to write to, found {root}"
        _simulate(root, noise, seeds, left_out, failed, beside)
        WRITTEN[asked] = {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}
        return root
    for name, content in WRITTEN[asked].items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def _simulate(
    root: Path, noise: float, seeds: tuple[tuple[int, int], ...], left_out: int, failed: int, beside: bool
) -> None:
    root.mkdir(parents=True, exist_ok=True)
    write_text(root / "labelcurve.json", json.dumps({"schema_version": SCHEMA_VERSION}))
    rows = design(seeds=seeds)
    record_plan(root, design("protocol-old", seeds)[:4])
    record_plan(root, rows)
    generator = np.random.default_rng(7)
    shared = {(count, seed): generator.normal() for count in LABEL_COUNTS for seed in seeds}
    absent = rows[7::50][: left_out + failed]
    finished = [row for row in rows if row not in absent]
    for row in [*finished, *design("protocol-old", seeds)[:1]]:
        luck = shared[row["label_count"], (row["subset_seed"], row["train_seed"])]
        _write_cell(root, row, noise * (luck + 0.5 * generator.normal()))
    for row in absent[left_out:]:
        _write_failure(root, row)
    _write_example_slices(root)
    _write_pretraining(root)
    if beside:
        _write_beside(root, seeds)


def _write_cell(root: Path, axes: dict[str, Any], log_noise: float) -> None:
    error = true_error(axes["arm"], axes["label_count"], axes["pretraining_epochs"]) * math.exp(log_noise)
    steps = np.arange(0, STEPS + 1, EVALUATE_EVERY)
    dice = (1 - error) * (1 - np.exp(-steps / SPEED[axes["arm"]]))
    curves = [
        {
            "cell_id": axes["cell_id"],
            "step": int(step),
            "train_loss": None if step == 0 else 1 - float(score),
            "val_loss": 1 - float(score),
            "val_dice": float(score),
            "seconds": 0.1 * int(step),
        }
        for step, score in zip(steps, dice, strict=True)
    ]
    examples = _examples(axes) if axes["label_count"] in (LABEL_COUNTS[0], LABEL_COUNTS[-1]) else []
    commit_cell(root, _cell(axes, error, float(dice[-1])), curves, _cases(axes["cell_id"], error), examples)


def _cell(axes: dict[str, Any], error: float, val_dice: float) -> dict[str, Any]:
    return axes | {
        "data_id": "data",
        "encoder_id": "encoder",
        "labelled_slices": axes["label_count"],
        "labelled_patients": min(20, axes["label_count"]),
        "validation_slices": 50,
        "validation_patients": 5,
        "steps": STEPS,
        "budget_steps": STEPS,
        "batch_size": 16,
        "num_parameters": 1000,
        "val_loss": 1 - val_dice,
        "val_dice": val_dice,
        "test_loss": error,
        "test_dice": 1 - error,
        "test_iou": (1 - error) / (1 + error),
        "test_slice_iou": 0.5 + (1 - error) / (1 + error) / 2,
        "train_seconds": 40.0,
        "validation_seconds": 5.0,
        "test_seconds": 1.0,
        "wall_seconds": 46.0,
        "device": "cpu",
        "threads": 1,
        "code_version": "simulated",
        "finished_at": datetime(2026, 1, 1, tzinfo=UTC),
    }


def _cases(cell_id: str, error: float) -> list[dict[str, Any]]:
    """The test patients with two phases; every Dice is 1 - error up to rounding, one structure is absent from both
    masks, HD95 is 40 mm times the error, and the ejection fraction is 50 points times error / Dice below the true 50
    %.
    """
    rows, whole = [], error
    for patient, group in GROUPS.items():
        error = whole * GROUP_FACTORS[group]
        for phase in ("ED", "ES"):
            for index, name in enumerate(CLASSES, start=1):
                absent = patient == "patient-2" and phase == "ES" and name == "RV"
                missed = error / 2 if phase == "ES" else error
                extra = 2 * (1 - missed) / (1 - error) - 2 + missed
                rows.append(
                    {
                        "cell_id": cell_id,
                        "patient": patient,
                        "group": group,
                        "phase": phase,
                        "class_index": index,
                        "class_name": name,
                        "true_positives": 0 if absent else round(1e6 * (1 - missed)),
                        "false_positives": 0 if absent else round(1e6 * extra),
                        "false_negatives": 0 if absent else round(1e6 * missed),
                        "voxel_ml": 1e-4 if phase == "ED" else 5e-5,  # of equal counts, half the volume is ejected
                        "slice_dice": None if absent else 0.9 * (1 - error),
                        "slice_iou": None if absent else 0.8 * (1 - error),
                        "scored_slices": 0 if absent else 8,
                        "hd95": None if absent else 40 * error,
                        "assd": None if absent else 10 * error,
                        "num_distances": 0 if absent else 1,
                        "num_undefined_distances": 0,
                        "distance_unit": "mm",
                        "diagonal": 200.0,
                    }
                )
    return rows


def example_mask(missed: int = 0) -> np.ndarray:
    """A square of 8 by 8 pixels of the third class, less some of its rows."""
    mask = np.zeros((20, 20), np.uint8)
    mask[6 + missed : 14, 6:14] = 3
    return mask


def _examples(axes: dict[str, Any]) -> list[dict[str, Any]]:
    worse = axes["arm"] == "random"
    return [
        {
            "cell_id": axes["cell_id"],
            "patient": patient,
            "phase": "ED",
            "slice_index": 4,
            "prediction": zlib.compress(example_mask(missed + worse).tobytes()),
        }
        for patient, missed in EXAMPLES.items()
    ]


def _write_example_slices(root: Path) -> None:
    image = np.linspace(0, 255, 400).astype(np.uint8)
    rows = [
        {
            "data_id": "data",
            "patient": patient,
            "phase": "ED",
            "slice_index": 4,
            "group": "NOR",
            "image": zlib.compress(image.tobytes()),
            "truth": zlib.compress(example_mask().tobytes()),
        }
        for patient in EXAMPLES
    ]
    record_example_slices(root, rows)


def _write_failure(root: Path, axes: dict[str, Any]) -> None:
    record_failure(
        root,
        {
            "unit_id": axes["cell_id"],
            "unit": "cell",
            "name": f"{axes['arm']} @{axes['pretraining_epochs']}, {axes['label_count']} slices",
            "reason": "OutOfMemoryError: simulated <failure>",
            "traceback": "Traceback",
            "failed_at": datetime(2026, 1, 1, tzinfo=UTC),
        },
    )


def _write_pretraining(root: Path) -> None:
    for stage, base in BASES.items():
        if "byol" not in stage:
            continue
        collapsed = stage == "byol-domain"
        rows = [
            {
                "stage_id": f"stage-{stage}",
                "stage": stage,
                "objective": "byol",
                "data": "domain" if "domain" in stage else "natural",
                "initial_weights": base,
                "pretraining_seed": 0,
                "epoch": epoch,
                "loss": 2.0 / epoch,
                "learning_rate": 0.1,
                "feature_std": 0.05 if collapsed else 0.9,
                "effective_rank": 1.2 if collapsed else 40.0,
                "probe_r2": None,
                "samples": 1000,
                "flops": 4e9,
                "seconds": 2.0,
                "device_seconds": 2.0,
                "num_workers": 1,
            }
            for epoch in range(1, 13)
        ]
        write_rows(root, "pretraining", f"stage-{stage}", rows)


def _write_beside(root: Path, seeds: tuple[tuple[int, int], ...]) -> None:
    report = {"reference_arm": REFERENCE, "convergence_fraction": 0.95, "hold_evaluations": 2}
    report |= {"near_minimum": 0.10, "target_error": 0.2, "bootstrap_resamples": 300, "confidence": 0.95}
    experiment = {"name": "simulated sweep", "data": {"label_unit": "slices"}, "report": report}
    write_text(root / "experiment.yaml", yaml.safe_dump(experiment))
    data = {
        "name": "phantom",
        "format": "nifti",
        "num_patients": {"train": 20, "validation": 5, "test": 2},
        "num_slices": {"train": 224, "validation": 50, "test": 20, "pool": 2000},
        "class_names": list(CLASSES),
        "groups": {"NOR": 20, "DCM": 7},
        "image_size": 64,
        "spacing_mm": 1.5,
        "warnings": ["simulated data warning"],
    }
    write_text(root / "data.json", json.dumps(data))
    write_text(root / "versions.json", json.dumps({"labelcurve": "0.1.0", "torch": "2.9"}))
    write_text(root / "references.json", json.dumps({"byol": BYOL_REFERENCE, "moco": "He et al. (2020) MoCo."}))

"""The numbers that the golden report must show, from the stored files with pyarrow, numpy and scipy alone.

In: a results folder. Out: plain numbers by table, variant and label count. Written as the definitions of
docs/quantities.md read, with loops, and without anything of ``analysis``.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy import stats
from scipy.optimize import brentq

REFERENCE, SHARE, HOLD, MARGIN, LEVEL = "supervised-natural", 0.95, 2, 0.10, 0.95
Point = tuple[str, int]  # variant, label count


def headline(root: Path) -> dict[str, Any]:
    """Return every number, keyed as the report's tables are."""
    cells = {row["cell_id"]: row for row in rows(root, "cells")}
    scores = patient_errors(root)
    runs: dict[Point, dict[int, Any]] = {}  # by seed: the errors of its test patients
    for cell_id, row in cells.items():
        runs.setdefault((variant(row), row["label_count"]), {})[row["subset_seed"]] = scores[cell_id]
    complete = sorted({name for name, _ in runs if all(len(runs[key]) == 3 for key in runs if key[0] == name)})
    differences = [
        difference_row(key, runs[key], runs[REFERENCE, key[1]]) for key in sorted(runs) if key[0] != REFERENCE
    ]
    return {
        "counts": {"planned": len(list(rows(root, "planned"))), "finished": len(cells)},
        "errors": [error_row(key, runs[key]) for key in sorted(runs)],
        "differences": with_holm(differences),
        "labels_needed": [labels_row(name, runs) for name in complete],
        "label_equivalence": [worth for name in complete for worth in worth_rows(name, runs)],
        "convergence": convergence_rows(root, cells),
        "dice_by_class": class_rows(root, cells),
        "error_by_group": group_rows(root, cells, scores),
    }


def rows(root: Path, table: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of all whole files of a table; of curves and cases only a finished cell's count."""
    for path in sorted((root / table).glob("*.parquet")):
        try:
            found = pq.read_table(path).to_pylist()
        except pa.ArrowInvalid:
            continue
        yield from found


def variant(row: dict[str, Any]) -> str:
    """Name an arm at its number of epochs as the report does."""
    epochs = row["pretraining_epochs"]
    return f"{row['arm']}, {epochs} epochs" if epochs else str(row["arm"])


def dice_of(row: dict[str, Any]) -> float | None:
    """Return 2 TP / (2 TP + FP + FN), or nothing where the structure is in neither mask."""
    wrong = row["false_positives"] + row["false_negatives"]
    return 2 * row["true_positives"] / (2 * row["true_positives"] + wrong) if row["true_positives"] + wrong else None


def patient_errors(root: Path) -> dict[str, Any]:
    """Return 1 - mean Dice of every test patient of each cell."""
    found: dict[str, dict[str, list[float]]] = {}
    for row in rows(root, "cases"):
        if (dice := dice_of(row)) is not None:
            found.setdefault(row["cell_id"], {}).setdefault(row["patient"], []).append(dice)
    return {
        cell_id: np.array([1 - np.mean(by_patient[patient]) for patient in sorted(by_patient)])
        for cell_id, by_patient in found.items()
    }


def error_row(key: Point, seeds: dict[int, Any]) -> dict[str, Any]:
    """Return the centre of an arm's runs at a label count."""
    means = [float(errors.mean()) for errors in seeds.values()]
    quartiles = {"quartile_1": float(np.percentile(means, 25)), "quartile_3": float(np.percentile(means, 75))}
    centre = {"median_error": float(np.median(means)), "error": float(stats.gmean(means))}
    return {"variant": key[0], "label_count": key[1], "num_seeds": len(means)} | centre | quartiles


def difference_row(key: Point, own: dict[int, Any], other: dict[int, Any]) -> dict[str, Any]:
    """Return the ratio of geometric means over paired seeds, its interval from the mean squares of a two-way table."""
    table = np.array([log_errors(own[seed]) - log_errors(other[seed]) for seed in sorted(own) if seed in other])
    assert table.shape[0] <= table.shape[1], "with fewer patients than seeds the interaction stands with these"
    seeds, patients = table.shape
    mean, by_seed, by_patient = table.mean(), table.mean(axis=1), table.mean(axis=0)
    seed_square = patients * sum((by_seed - mean) ** 2) / (seeds - 1)
    patient_square = seeds * sum((by_patient - mean) ** 2) / (patients - 1)
    cells = itertools.product(range(seeds), range(patients))
    rest = sum((table[i, j] - by_seed[i] - by_patient[j] + mean) ** 2 for i, j in cells)
    rest_square = rest / ((seeds - 1) * (patients - 1))
    excess = max(patient_square - rest_square, 0.0)
    parts = np.array([seed_square, excess]) / (seeds * patients)
    half = half_width(parts, (seeds - 1, patients - 1), LEVEL)
    low, high = np.exp([mean - half, mean + half])
    p_value = float(
        brentq(lambda p: half_width(parts, (seeds - 1, patients - 1), 1 - p) - abs(mean), 1e-12, 1.0, xtol=1e-15)
    )
    pairs = [(x.mean(), y.mean()) for x in own.values() for y in other.values()]
    better = sum(1.0 if x < y else 0.5 if x == y else 0.0 for x, y in pairs) / len(pairs)
    head = {"variant": key[0], "label_count": key[1], "num_pairs": seeds, "ratio": float(np.exp(mean))}
    return head | {"low": float(low), "high": float(high), "p_value": p_value, "probability_better": better}


def log_errors(errors: Any) -> Any:
    """Return each test patient's part of the log of a run's mean error, to first order: their mean is that log."""
    return np.log(errors.mean()) + errors / errors.mean() - 1


def half_width(parts: Any, degrees: tuple[int, int], level: float) -> float:
    """Return the half-width of an interval whose t quantile is the mean of the parts', weighted by the parts."""
    return float((parts * stats.t.ppf((1 + level) / 2, degrees)).sum() / parts.sum() ** 0.5)


def with_holm(differences: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Add p-values adjusted for the whole table: the largest of those below, each times how many are not below it."""
    p_values = sorted(row["p_value"] for row in differences)
    steps = [min(1.0, (len(p_values) - rank) * p_value) for rank, p_value in enumerate(p_values)]
    return [row | {"holm_p_value": max(steps[: p_values.index(row["p_value"]) + 1])} for row in differences]


def log_means(name: str, runs: dict[Point, dict[int, Any]]) -> tuple[Any, Any]:
    """Return log label counts and the mean log errors of the runs there."""
    counts = sorted(count for other, count in runs if other == name)
    logs = [np.mean([np.log(errors.mean()) for errors in runs[name, count].values()]) for count in counts]
    assert all(np.diff(logs) < 0), f"{name} does not fall: read its labels off by hand"
    return np.log(counts), np.array(logs)


def labels_at(goal: float, counts: Any, logs: Any) -> float:
    """Return where a falling curve meets a goal, straight between points; 0 before the first, inf after the last."""
    if goal >= logs[0]:
        return 0.0
    if goal < logs[-1]:
        return float("inf")
    return float(np.exp(np.interp(goal, logs[::-1], counts[::-1])))


def labels_row(name: str, runs: dict[Point, dict[int, Any]]) -> dict[str, Any]:
    """Return the labels that come within the margin of the own error at the most labels."""
    counts, logs = log_means(name, runs)
    goal = float(logs[-1] + np.log(1 + MARGIN))
    return {"variant": name, "target_error": float(np.exp(goal)), "labels": labels_at(goal, counts, logs)}


def worth_rows(name: str, runs: dict[Point, dict[int, Any]]) -> list[dict[str, Any]]:
    """Return how many labels of the reference an arm's are worth."""
    (counts, logs), reference = log_means(name, runs), log_means(REFERENCE, runs)
    numbers = [
        (round(float(np.exp(count))), labels_at(float(goal), *reference))
        for count, goal in zip(counts, logs, strict=True)
    ]
    return [
        {"variant": name, "label_count": count, "reference_labels": worth}
        for count, worth in numbers
        if name != REFERENCE
    ]


def convergence_rows(root: Path, cells: dict[str, Any]) -> list[dict[str, Any]]:
    """Return targets, runs that never got there, and speed-ups as geometric means of paired ratios."""
    curves: dict[str, list[tuple[int, float]]] = {}
    for row in rows(root, "curves"):
        curves.setdefault(row["cell_id"], []).append((row["step"], row["val_dice"]))
    by_point: dict[Point, dict[int, list[tuple[int, float]]]] = {}
    for cell_id, row in cells.items():
        by_point.setdefault((variant(row), row["label_count"]), {})[row["subset_seed"]] = sorted(curves[cell_id])
    found = []
    for name, count in sorted(by_point):
        target = SHARE * float(np.median([curve[-1][1] for curve in by_point[REFERENCE, count].values()]))
        own = {seed: first_held(curve, target) for seed, curve in by_point[name, count].items()}
        other = {seed: first_held(curve, target) for seed, curve in by_point[REFERENCE, count].items()}
        ratios = [other[seed][0] / own[seed][0] for seed in own if seed in other]
        row = {"variant": name, "label_count": str(count), "target_val_dice": target, "num_runs": len(own)}
        censored = sum(not reached for _, reached in own.values())  # all at the last step, which all runs have
        restricted = float(np.mean([step for step, _ in own.values()]))
        row |= {"num_censored": censored, "restricted_mean_steps": restricted}
        found.append(row | {"speed_up": float(stats.gmean(ratios))})
    return found


def first_held(curve: list[tuple[int, float]], target: float) -> tuple[int, bool]:
    """Return the first step from which ``HOLD`` evaluations in a row reach the target; where none does, the last."""
    for index in range(len(curve) - HOLD + 1):
        if all(dice >= target for _, dice in curve[index : index + HOLD]):
            return curve[index][0], True
    return curve[-1][0], False


def class_rows(root: Path, cells: dict[str, Any]) -> list[dict[str, Any]]:
    """Return mean Dice of each structure: over phases, then patients, then runs."""
    found: dict[tuple[str, int, str], dict[str, dict[str, list[float]]]] = {}
    for row in rows(root, "cases"):
        cell, dice = cells.get(row["cell_id"]), dice_of(row)
        if cell and dice is not None:
            key = variant(cell), cell["label_count"], row["class_name"]
            found.setdefault(key, {}).setdefault(row["cell_id"], {}).setdefault(row["patient"], []).append(dice)
    return [
        {"variant": key[0], "label_count": key[1], "class_name": key[2], "dice": over_runs(found[key])}
        for key in sorted(found)
    ]


def over_runs(runs: dict[str, dict[str, list[float]]]) -> float:
    """Return the mean over runs of the mean over patients of the mean over phases."""
    return float(np.mean([np.mean([np.mean(dice) for dice in patients.values()]) for patients in runs.values()]))


def group_rows(root: Path, cells: dict[str, Any], scores: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the mean error of each group of test patients: over patients, then over runs."""
    groups = {row["patient"]: row["group"] for row in rows(root, "cases")}
    patients = sorted(groups)  # the order of their errors
    found: dict[tuple[str, int, str], list[float]] = {}
    for cell_id, row in cells.items():
        for group in sorted(set(groups.values())):
            own = [error for patient, error in zip(patients, scores[cell_id], strict=True) if groups[patient] == group]
            found.setdefault((variant(row), row["label_count"], group), []).append(float(np.mean(own)))
    return [
        {"variant": key[0], "label_count": key[1], "group": key[2], "mean_error": float(np.mean(found[key]))}
        for key in sorted(found)
    ]

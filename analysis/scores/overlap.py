"""Dice and IoU from stored pixel counts.

In: true positives, false positives and false negatives per patient, phase and class. Out: scores in [0, 1].
Source: Dice (1945), Jaccard (1912); which scores are undefined follows ``trainables.metrics``.
"""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from analysis.intervals.uncertainty import Floats


def dice(true_positives: ArrayLike, false_positives: ArrayLike, false_negatives: ArrayLike) -> Floats:
    """Return 2 TP / (2 TP + FP + FN); NaN where a structure is neither there nor predicted, 0 where it is
    missed.
    """
    hits, wrong = _counts(true_positives, false_positives, false_negatives)
    return _ratio(2 * hits, 2 * hits + wrong)


def iou(true_positives: ArrayLike, false_positives: ArrayLike, false_negatives: ArrayLike) -> Floats:
    """Return TP / (TP + FP + FN); NaN where a structure is neither there nor predicted, 0 where it is
    missed.
    """
    hits, wrong = _counts(true_positives, false_positives, false_negatives)
    return _ratio(hits, hits + wrong)


CLASS_SUMS = {"dice": ("dice", "mean"), "iou": ("iou", "mean"), "undefined": ("undefined", "sum")}


def dice_by_patient_and_class(cases: pd.DataFrame) -> pd.DataFrame:
    """Average Dice over a patient's phases: one row per cell_id, class and patient, columns dice, iou, undefined.

    Note: ``undefined`` counts the cases left out because the structure is neither there nor predicted.
    """
    counts = (cases["true_positives"], cases["false_positives"], cases["false_negatives"])
    scored = cases[["cell_id", "class_index", "class_name", "patient"]].assign(dice=dice(*counts), iou=iou(*counts))
    scored["undefined"] = scored["dice"].isna().astype(int)
    keys = ["cell_id", "class_index", "class_name", "patient"]
    return scored.groupby(keys, sort=True).agg(**CLASS_SUMS).reset_index()


def dice_by_class(cases: pd.DataFrame) -> pd.DataFrame:
    """Average Dice over phases, then over patients: one row per cell_id and class_name, columns dice, iou,
    undefined.
    """
    keys = ["cell_id", "class_index", "class_name"]
    return dice_by_patient_and_class(cases).groupby(keys, sort=True).agg(**CLASS_SUMS).reset_index()


def slice_scores_by_class(cases: pd.DataFrame) -> pd.DataFrame:
    """Average over all test slices on which a class is there or predicted: columns slice_dice and slice_iou.

    Note: a slice weighs the same whether it holds most of a structure or its tip, so this is lower than the Dice of
    whole volumes where tips are missed, and patients with many slices weigh more.
    """
    keys, number = ["cell_id", "class_index", "class_name"], cases["scored_slices"].astype(np.float64)
    sums = {name: cases[name].astype(np.float64) * number for name in ("slice_dice", "slice_iou")}
    totals = cases[keys].assign(**sums, number=number).groupby(keys, sort=True).sum(min_count=1)
    means = totals[list(sums)].div(totals["number"].where(totals["number"] > 0), axis=0)
    return means.reset_index()


def dice_by_patient(cases: pd.DataFrame) -> pd.Series:
    """Average Dice over a patient's phases and foreground classes, as ``trainables.metrics`` does for a cell's test
    Dice: one value per (cell_id, patient), NaN where no structure is there or predicted.
    """
    scores = dice(cases["true_positives"], cases["false_positives"], cases["false_negatives"])
    return (
        pd.Series(scores)
        .groupby([cases["cell_id"].to_numpy(), cases["patient"].to_numpy()], sort=True)
        .mean()
        .rename_axis(["cell_id", "patient"])
    )


def _counts(hits: ArrayLike, false_positives: ArrayLike, false_negatives: ArrayLike) -> tuple[Floats, Floats]:
    wrong = np.asarray(false_positives, dtype=np.float64) + np.asarray(false_negatives, dtype=np.float64)
    return np.asarray(hits, dtype=np.float64), wrong


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    result = np.full(np.broadcast(numerator, denominator).shape, np.nan)
    np.divide(numerator, denominator, out=result, where=denominator > 0)
    return result

"""Volumes of structures and ejection fractions of the heart, predicted and true.

In: cells and cases with the volume of a voxel. Out: differences in ml by case, and errors of the ejection fraction in
percentage points by patient; both from stored counts, on the grid that was scored. Cases whose slices lie at an unknown
distance have no volume.

Policy. A structure in neither mask has no score. One that is missed has volume 0. An ejection fraction of which end-
diastole or end-systole is missed does not exist and counts as an error of 100 points, the largest that any has here:
missing a structure never improves the mean. Sources: Bland & Altman 1999; Francq et al. 2020 (intervals that predict);
Bernard et al. 2018 (ACDC's clinical scores).
"""

import re

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from analysis.intervals.uncertainty import Floats
from analysis.scores.patient_scores import means_by_group

GROUPS = ["variant", "label_count", "class_index", "class_name"]
AGREEMENT = 0.95  # how many of new patients' differences lie within the limits if they are normal
WORST_POINTS = 100.0
DIASTOLE, SYSTOLE = "ED", "ES"
SIDES = r"(lv|rv|left ventric(le|ular)|right ventric(le|ular))"
CAVITY = re.compile(rf"{SIDES}( (blood )?(cavity|pool))?|lvc|rvc|lvbp|rvbp")


def is_cavity(class_name: str) -> bool:
    """Return whether a structure's name is that of a ventricle's cavity, such as LV, RV or left ventricle.

    Note: a data set that calls cavity and myocardium together LV is misread.
    """
    return CAVITY.fullmatch(re.sub(r"[\s_-]+", " ", class_name.strip().lower())) is not None


def case_volumes(cells: pd.DataFrame, cases: pd.DataFrame) -> pd.DataFrame:
    """Return true and predicted volume of every case where either is above 0; none where a voxel's is unknown.

    Columns: those of GROUPS, cell_id, seed, patient, phase, true_ml, predicted_ml, difference_ml, absolute_ml.
    """
    known = cases[cases["voxel_ml"].notna()]
    voxel_ml = known["voxel_ml"].astype(np.float64)
    volumes = known[["cell_id", "class_index", "class_name", "patient", "phase"]].assign(
        true_ml=(known["true_positives"] + known["false_negatives"]) * voxel_ml,
        predicted_ml=(known["true_positives"] + known["false_positives"]) * voxel_ml,
    )
    volumes = volumes[(volumes["true_ml"] > 0) | (volumes["predicted_ml"] > 0)]
    difference = volumes["predicted_ml"] - volumes["true_ml"]
    volumes = volumes.assign(difference_ml=difference, absolute_ml=difference.abs())
    return volumes.merge(cells[["cell_id", "variant", "label_count", "seed"]], on="cell_id")


def volume_agreement(volumes: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Return bias, spread and limits of agreement by variant, label count, class and phase.

    The spread is that of one new training on one new patient. The limits are its prediction interval: bias plus and
    minus the spread times Student's quantile of n - 1 degrees of freedom times sqrt(1 + 1 / n), n patients; with one
    patient there are none. For many patients they are those of Bland & Altman 1999, bias plus and minus 1.96 spreads.

    Note: with errors that grow with the volume the limits are rough. Misses pull the bias towards less volume, which
    hides too much volume elsewhere: read it beside the mean absolute error.
    """
    keys = [*GROUPS, "phase"]
    means = means_by_group(volumes, keys, ("difference_ml", "absolute_ml"), confidence)
    missed = (volumes["predicted_ml"] == 0).astype(int)
    grouped = volumes.assign(missed=missed).groupby(keys, sort=True)
    spread = grouped.agg(
        true_ml=("true_ml", "mean"),
        missed=("missed", "sum"),
        num_pairs=("missed", "size"),
        num_patients=("patient", "nunique"),
    )
    spread["sd_ml"] = spread_of_a_new_patient(volumes, keys)
    table = means.merge(spread.reset_index(), on=keys).drop(columns="class_index")
    half = widening(table["num_patients"].to_numpy()) * table["sd_ml"]
    table = table.assign(agreement_low=table["difference_ml"] - half, agreement_high=table["difference_ml"] + half)
    names = {"difference_ml": "bias_ml", "difference_ml_low": "bias_ml_low", "difference_ml_high": "bias_ml_high"}
    order = [
        "variant",
        "label_count",
        "class_name",
        "phase",
        "missed",
        "num_pairs",
        "num_patients",
        "true_ml",
        *names.values(),
        "sd_ml",
    ]
    order += ["agreement_low", "agreement_high", "absolute_ml", "absolute_ml_low", "absolute_ml_high"]
    return table.rename(columns=names)[order]


def spread_of_a_new_patient(volumes: pd.DataFrame, keys: list[str]) -> pd.Series:
    """Return the standard deviation of one difference of a new patient, from several of each known one.

    It is that between patients' means, plus what averaging took from within patients (Bland & Altman 1999, section 5).
    Not a number where there is one patient.
    """
    patients = volumes.groupby([*keys, "patient"], sort=True)["difference_ml"].agg(["mean", "size", "var"])
    free = patients["size"] - 1
    patients = patients.assign(free=free, squares=free * patients["var"].fillna(0), share=1 / patients["size"])
    grouped = patients.groupby(keys, sort=True)
    within = grouped["squares"].sum() / grouped["free"].sum().clip(lower=1)
    return (grouped["mean"].var() + (1 - grouped["share"].mean()) * within) ** 0.5


def widening(num_patients: np.ndarray) -> Floats:
    """Return how many standard deviations a new patient may lie off, if so many were seen; NaN for one."""
    known = np.where(num_patients > 1, num_patients, np.nan)
    return np.asarray(stdtrit(known - 1, (1 + AGREEMENT) / 2) * np.sqrt(1 + 1 / known))


def ejection_fractions(volumes: pd.DataFrame) -> pd.DataFrame:
    """Return true and predicted ejection fraction, in percent, of every cell, ventricle and patient with both phases.

    A patient with several volumes of one phase, or whose true cavity is empty at either, has none. ``error_points`` is
    at most WORST_POINTS; ``difference_points`` is cut to as much on either side, since a predicted end-diastole of few
    voxels would outweigh all other patients, and missing where a phase is missed.
    """
    phase = volumes["phase"].str.upper()
    cavities = [name for name in volumes["class_name"].unique() if is_cavity(name)]
    chosen = volumes["class_name"].isin(cavities) & phase.isin([DIASTOLE, SYSTOLE])
    keys = ["cell_id", *GROUPS, "seed", "patient"]
    hearts = volumes[chosen].assign(phase=phase[chosen])
    once = ~hearts.duplicated([*keys, "phase"], keep=False)
    ends = {
        name: hearts[once & (hearts["phase"] == name)]
        .set_index(keys)[["true_ml", "predicted_ml"]]
        .add_suffix(f"_{name}")
        for name in (DIASTOLE, SYSTOLE)
    }
    both = ends[DIASTOLE].join(ends[SYSTOLE], how="inner").reset_index()
    both = both[(both["true_ml_ED"] > 0) & (both["true_ml_ES"] > 0)]
    is_found = (both["predicted_ml_ED"] > 0) & (both["predicted_ml_ES"] > 0)
    true = 100 * (1 - both["true_ml_ES"] / both["true_ml_ED"])
    predicted = 100 * (1 - both["predicted_ml_ES"] / both["predicted_ml_ED"].where(is_found))
    difference = (predicted - true).where(is_found).clip(-WORST_POINTS, WORST_POINTS)
    error = difference.abs().fillna(WORST_POINTS)
    return both[keys].assign(
        true_points=true, predicted_points=predicted.where(is_found), difference_points=difference, error_points=error
    )


def ejection_errors(fractions: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Return the mean absolute error in percentage points with its interval, and bias and spread where found."""
    means = means_by_group(fractions, GROUPS, ("error_points",), confidence)
    missed = fractions["difference_points"].isna().astype(int)
    grouped = fractions.assign(missed=missed).groupby(GROUPS, sort=True)
    spread = grouped.agg(
        true_points=("true_points", "mean"),
        bias_where_found=("difference_points", "mean"),
        sd_where_found=("difference_points", "std"),
        missed=("missed", "sum"),
        num_pairs=("missed", "size"),
    )
    means["error_points_high"] = means["error_points_high"].clip(upper=WORST_POINTS)
    return means.merge(spread.reset_index(), on=GROUPS).drop(columns="class_index")


def mean_ejection_error(fractions: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Return the mean error over all ventricles by variant and label count, with its interval."""
    keys = ["variant", "label_count"]
    means = fractions.groupby([*keys, "cell_id", "seed", "patient"], sort=True)["error_points"].mean().reset_index()
    found = means_by_group(means, keys, ("error_points",), confidence)
    return found.assign(error_points_high=found["error_points_high"].clip(upper=WORST_POINTS))

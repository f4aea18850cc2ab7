"""Tables of scores by structure and by group of test patients, such as the diagnoses of ACDC.

In: Findings. Out: data frames with plain column names, numbers unrounded, and what is to be said of their gaps. Groups
have the names that the data give them. Scores are of the test patients that the error is of (``CellErrors``).
"""

import numpy as np
import pandas as pd

from analysis.findings import Findings
from analysis.loading.replicates import mean_of_runs
from analysis.scores.overlap import dice_by_class, dice_by_patient_and_class, slice_scores_by_class
from analysis.scores.patient_scores import means_by_group

FEWEST_PATIENTS = 3  # of a group: the spread of two says next to nothing of a third
TOO_FEW = f"no interval: fewer than {FEWEST_PATIENTS} test patients"
MEDIANS = ("dice", "iou", "slice_dice", "slice_iou")
CLASS_KEYS = ["variant", "label_count", "class_index", "class_name"]
GROUP_KEYS = ["variant", "label_count", "group"]


def class_dice(findings: Findings) -> pd.DataFrame:
    """Summarise Dice per class, variant and label count: the mean over seeds and patients with its t interval, and
    medians over seeds of the mean over patients, and over slices; runs of one seed are averaged first.

    Note: the slices' is blank for cells of older versions.
    """
    results, cases = findings.results, _tested_cases(findings)
    scores = dice_by_class(cases)
    scores = scores.merge(slice_scores_by_class(cases), on=["cell_id", "class_index", "class_name"])
    cells = results.cells[["cell_id", "variant", "label_count", "seed"]]
    scores = scores.merge(cells, on="cell_id")
    medians = mean_of_runs(scores, MEDIANS, CLASS_KEYS).groupby(CLASS_KEYS)[list(MEDIANS)].median()
    medians = medians.add_prefix("median_").assign(left_out=scores.groupby(CLASS_KEYS)["undefined"].sum())
    patients = dice_by_patient_and_class(cases).merge(cells, on="cell_id")
    means = means_by_group(patients, CLASS_KEYS, ("dice",), results.options.confidence)
    means["dice_high"] = np.minimum(means["dice_high"], 1.0)
    return means.merge(medians.reset_index(), on=CLASS_KEYS).drop(columns="class_index")


def group_error(findings: Findings) -> pd.DataFrame:
    """Summarise test error per group, variant and label count: mean over seeds and the group's patients with t
    interval.

    A group of fewer than three test patients has no interval, and ``note`` says so. Empty where no two groups are
    tested. Note: groups are parts of one test set and hold few patients; a difference between two of them was not
    tested.
    """
    results, tested, groups = findings.results, findings.cell_errors, _groups(findings)
    columns = [*GROUP_KEYS, "mean_error", "mean_error_low", "mean_error_high", "num_patients", "num_seeds", "note"]
    if groups.nunique() < 2:
        return pd.DataFrame(columns=columns)
    by_patient = pd.DataFrame(tested.errors, columns=list(tested.patients))
    cells = results.cells[["variant", "label_count", "seed"]].reset_index(drop=True)
    by_cell = by_patient.set_index(pd.MultiIndex.from_frame(cells))
    errors = by_cell.melt(var_name="patient", value_name="mean_error", ignore_index=False).dropna().reset_index()
    errors = errors.assign(group=errors["patient"].map(groups)).dropna(subset="group")
    counts = errors.groupby(GROUP_KEYS).agg(num_patients=("patient", "nunique"), num_seeds=("seed", "nunique"))
    table = means_by_group(errors, GROUP_KEYS, ("mean_error",), results.options.confidence)
    table = table.merge(counts.reset_index(), on=GROUP_KEYS)
    table["mean_error_high"] = np.minimum(table["mean_error_high"], 1.0)
    is_small = table["num_patients"] < FEWEST_PATIENTS
    table.loc[is_small, ["mean_error_low", "mean_error_high"]] = np.nan
    return table.assign(note=np.where(is_small, TOO_FEW, ""))[columns]


def group_words(findings: Findings) -> str:
    """Say which groups the test patients are of, and how many patients each has."""
    groups = _groups(findings)
    if groups.empty:
        return "The data name no groups of patients."
    sizes = groups.value_counts().sort_index()
    named = ", ".join(f"{group} ({number})" for group, number in sizes.items())
    if len(sizes) == 1:
        return f"All test patients are of one group: {named}."
    small = [str(group) for group, number in sizes.items() if number < FEWEST_PATIENTS]
    rest = f" Those of fewer than {FEWEST_PATIENTS} patients have no interval: {', '.join(small)}." if small else ""
    return f"Test patients by group: {named}.{rest}"


def _tested_cases(findings: Findings) -> pd.DataFrame:
    """Return the cases of the test patients that the error is of; all where it is of whole cells."""
    cases, tested = findings.results.cases, findings.cell_errors
    return cases[~cases["patient"].isin(tested.left_out)] if tested.patients else cases


def _groups(findings: Findings) -> pd.Series:
    """Return the group of each of these patients that has one, by patient."""
    groups = findings.results.cases.groupby("patient")["group"].first().replace("", None).dropna()
    return groups[groups.index.isin(findings.cell_errors.patients)]

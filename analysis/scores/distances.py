"""Surface distances of test patients, with what a missed structure counts.

In: cells and cases, whose distances are null where one of truth and prediction is empty. Out: HD95 and ASSD by cell,
class and patient, and their means by variant and label count.

Policy. A structure that is in neither truth nor prediction has no score. One that is missed or invented has no distance
either, and counts as the diagonal of the grid that was measured, which no distance exceeds: missing a structure never
improves a mean. Source: BraTS 2023 (374 mm, the diagonal of its images rounded up, for what is missed or invented).
docs/scores.md has the definitions and the reasons.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.intervals.uncertainty import Floats
from analysis.scores.patient_scores import means_by_group

MEASURES = ("hd95", "assd")
GROUPS = ["variant", "label_count", "class_index", "class_name", "unit"]


def patient_distances(cells: pd.DataFrame, cases: pd.DataFrame) -> pd.DataFrame:
    """Average over a patient's phases: a row per cell, class and patient that has a score; none of older cells.

    Columns: those of GROUPS, cell_id, seed, patient, hd95, assd, hd95_where_found, num_scored, num_undefined.
    """
    counted = cases[["num_distances", "num_undefined_distances"]].astype(np.float64).sum(axis=1).astype(int)
    known = cases[counted > 0]
    scored = known[["cell_id", "class_index", "class_name", "patient"]].assign(
        unit=known["distance_unit"],
        **{measure: with_penalty(known, measure) for measure in MEASURES},
        hd95_where_found=known["hd95"].astype(np.float64),
        num_scored=counted[counted > 0],
        num_undefined=known["num_undefined_distances"],
    )
    means = dict.fromkeys((*MEASURES, "hd95_where_found"), "mean")
    keys = ["cell_id", *GROUPS[2:], "patient"]
    patients = scored.groupby(keys, sort=True).agg({**means, "num_scored": "sum", "num_undefined": "sum"})
    return patients.reset_index().merge(cells[["cell_id", "variant", "label_count", "seed"]], on="cell_id")


def with_penalty(cases: pd.DataFrame, measure: str) -> Floats:
    """Return each case's distance, what was missed or invented counting as the diagonal."""
    found, lost = (cases[name].to_numpy(dtype=np.float64) for name in ("num_distances", "num_undefined_distances"))
    measured = np.where(found > 0, found * cases[measure].to_numpy(dtype=np.float64), 0.0)
    return np.asarray((measured + lost * cases["diagonal"].to_numpy(dtype=np.float64)) / (found + lost))


def distances_by_class(patients: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Return means with intervals by variant, label count and class, and how much of them is penalty."""
    table = means_by_group(patients, GROUPS, MEASURES, confidence)
    return table.merge(_counts(patients), on=GROUPS).drop(columns="class_index")


def _counts(patients: pd.DataFrame) -> pd.DataFrame:
    return (
        patients.groupby(GROUPS, sort=True)
        .agg(
            hd95_where_found=("hd95_where_found", "mean"),
            missed_or_invented=("num_undefined", "sum"),
            scored=("num_scored", "sum"),
            num_cells=("cell_id", "nunique"),
        )
        .astype({"missed_or_invented": int, "scored": int})
        .reset_index()
    )


def mean_distance(patients: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Return the mean HD95 over all structures by variant, label count and unit, with its interval."""
    keys = ["variant", "label_count", "unit"]
    means = patients.groupby([*keys, "cell_id", "seed", "patient"], sort=True)["hd95"].mean().reset_index()
    return means_by_group(means, keys, ("hd95",), confidence)


def is_measured(cases: pd.DataFrame) -> NDArray[np.bool_]:
    """Return which cases were measured at all, whether a distance was found or not."""
    return np.asarray(cases["distance_unit"].notna(), dtype=np.bool_)

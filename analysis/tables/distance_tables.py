"""Tables of surface distances, volumes, ejection fractions and slice scores, and what is to be said of their gaps.

In: Findings. Out: data frames with plain column names, empty where the data or older results hold nothing of the kind,
and sentences that say why.
"""

import pandas as pd

from analysis.findings import Findings
from analysis.loading.replicates import POINT, mean_of_runs
from analysis.scores.distances import distances_by_class, is_measured
from analysis.scores.volumes import ejection_errors, volume_agreement

OLDER = "they were written by an older version"


def distances(findings: Findings) -> pd.DataFrame:
    """List HD95 and ASSD by variant, label count and class; a missed or invented structure counts as the diagonal."""
    return distances_by_class(findings.distances, findings.results.options.confidence)


def volumes(findings: Findings) -> pd.DataFrame:
    """List how predicted volumes agree with true ones, by variant, label count, class and phase."""
    return volume_agreement(findings.volumes, findings.results.options.confidence)


def ejection_fraction(findings: Findings) -> pd.DataFrame:
    """List errors of the ejection fraction by variant, label count and ventricle; empty for data without phases."""
    return ejection_errors(findings.ejection_fractions, findings.results.options.confidence)


def slice_iou(findings: Findings) -> pd.DataFrame:
    """List the paper's mean IoU beside ours: medians over seeds by variant and label count.

    Note: the paper's is a mean over slices and over all classes, the background included, and counts a class that is
    neither there nor predicted as 1; ours is a mean over patients, of whole volumes and foreground classes.
    """
    known = findings.results.cells.dropna(subset=["test_slice_iou"]).astype({"test_slice_iou": float})
    grouped = mean_of_runs(known, ["test_iou", "test_slice_iou"]).groupby(list(POINT), sort=True)
    table = grouped.agg(median_test_iou=("test_iou", "median"), median_slice_iou=("test_slice_iou", "median"))
    return table.assign(num_cells=known.groupby(list(POINT))["cell_id"].nunique()).reset_index()


def gaps(findings: Findings) -> list[str]:
    """Say which of these the results do not hold, and of how many cells."""
    cases, total = findings.results.cases, len(findings.results.cells)
    if cases.empty:
        return ["These results hold no test cases, so there are no distances and no volumes."]
    measured, scored = cases[is_measured(cases)], cases[cases["scored_slices"].notna()]
    found = [_missing_cells("surface distances", measured, total, "compute.surface_distances=false")]
    found.append(_plane_only(measured))
    if scored.empty:
        found.append(f"They hold no volumes: {OLDER}.")
    elif findings.volumes.empty:
        found.append("The distance of the data's slices is unknown, so there are no volumes.")
    else:
        found.append(_missing_cells("volumes", scored, total, ""))
        if findings.ejection_fractions.empty:
            found.append(
                "There is no ejection fraction: it takes patients with the phases ED and ES and a structure with the "
                "name of a ventricle (docs/scores.md)."
            )
    return [words for words in found if words]


def _missing_cells(what: str, rows: pd.DataFrame, total: int, setting: str) -> str:
    number = rows["cell_id"].nunique()
    why = f"{OLDER}, or with {setting}" if setting else OLDER
    if number == 0:
        return f"These results hold no {what}: {why}."
    if number < total:
        return f"{number} of {total} finished cells have {what}; of the others, {why}. Arms may differ in seeds here."
    return ""


def _plane_only(measured: pd.DataFrame) -> str:
    """Say where distances are not those of whole volumes in millimetres."""
    flat = measured[measured["voxel_ml"].isna()]
    if flat.empty:
        return ""
    units = {"px": "pixels as stored, since their size is unknown", "mm": "millimetres"}
    named = " and ".join(units[unit] for unit in sorted(flat["distance_unit"].unique()))
    return f"The distance of slices is unknown, so each slice was measured by itself, in {named}."

"""Surface distances of test patients: what is missed never improves a mean, what is nowhere is left out."""

import numpy as np
import pandas as pd
import pytest

from analysis.scores.distances import distances_by_class, mean_distance, patient_distances, with_penalty

DIAGONAL = 200.0
CELLS = pd.DataFrame({"cell_id": ["c", "d"], "variant": ["arm"] * 2, "label_count": [4] * 2, "seed": ["0", "1"]})
COLUMNS = ["cell_id", "patient", "phase", "hd95", "num_distances", "num_undefined_distances"]


def cases(*rows, unit="mm"):
    """Cases of one structure, whose ASSD is a quarter of HD95."""
    table = pd.DataFrame(rows, columns=COLUMNS)
    table["assd"] = table["hd95"] / 4
    return table.assign(class_index=1, class_name="LV", distance_unit=unit, diagonal=DIAGONAL)


def means(*rows):
    return distances_by_class(patient_distances(CELLS, cases(*rows)), 0.95).iloc[0]


FOUND = [("c", "p1", "ED", 4.0, 1, 0), ("c", "p1", "ES", 8.0, 1, 0), ("c", "p2", "ED", 3.0, 1, 0)]


def test_phases_are_averaged_before_patients():
    assert means(*FOUND)["hd95"] == pytest.approx(((4 + 8) / 2 + 3) / 2)
    assert means(*FOUND)["assd"] == pytest.approx(((4 + 8) / 2 + 3) / 8)


@pytest.mark.parametrize("hd95", [0.0, 3.0, DIAGONAL - 1e-6])
def test_a_missed_structure_never_improves_a_mean_however_far_off_it_was_found(hd95):
    found = means(*FOUND[:2], ("c", "p2", "ED", hd95, 1, 0))
    missed = means(*FOUND[:2], ("c", "p2", "ED", np.nan, 0, 1))
    assert missed["hd95"] > found["hd95"]
    assert missed["assd"] > found["assd"]
    assert missed["hd95"] == pytest.approx((6 + DIAGONAL) / 2)
    assert (missed["missed_or_invented"], missed["scored"]) == (1, 3)
    assert missed["hd95_where_found"] == pytest.approx(6)


def test_a_structure_in_neither_mask_changes_no_mean():
    absent = ("c", "p3", "ED", np.nan, 0, 0)
    assert means(*FOUND, absent).equals(means(*FOUND))


def test_a_missed_slice_of_a_picture_counts_as_its_diagonal_among_the_others():
    pictures = cases(("c", "p", "", 5.0, 3, 1), unit="px")
    assert with_penalty(pictures, "hd95").tolist() == [pytest.approx((3 * 5 + DIAGONAL) / 4)]
    assert distances_by_class(patient_distances(CELLS, pictures), 0.95)["unit"].tolist() == ["px"]


def test_pixels_and_millimetres_are_never_averaged():
    both = pd.concat([cases(FOUND[0]), cases(("d", "p1", "ED", 9.0, 1, 0), unit="px")])
    table = distances_by_class(patient_distances(CELLS, both), 0.95)
    assert dict(zip(table["unit"], table["hd95"], strict=True)) == {"mm": 4.0, "px": 9.0}
    assert len(mean_distance(patient_distances(CELLS, both), 0.95)) == 2


def test_cells_without_distances_are_not_among_those_that_are_averaged():
    older = pd.DataFrame([("d", "p1", "ED", None, None, None)], columns=COLUMNS)
    older = older.assign(class_index=1, class_name="LV", distance_unit=None, diagonal=None, assd=None)
    table = pd.concat([cases(*FOUND), older.astype({"hd95": float, "diagonal": float, "assd": float})])
    found = distances_by_class(patient_distances(CELLS, table), 0.95).iloc[0]
    assert found["num_cells"] == 1
    assert found["hd95"] == means(*FOUND)["hd95"]


def test_the_mean_over_structures_weighs_a_patients_structures_equally():
    two = pd.concat([cases(*FOUND), cases(*FOUND[:2]).assign(class_index=2, class_name="RV", hd95=10.0)])
    table = mean_distance(patient_distances(CELLS, two), 0.95)
    assert table["hd95"].tolist() == [pytest.approx(((6 + 10) / 2 + 3) / 2)]

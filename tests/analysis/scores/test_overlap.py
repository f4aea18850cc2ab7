"""Dice and IoU from counts, by hand."""

import numpy as np
import pandas as pd
import pytest

from analysis.scores.overlap import dice, dice_by_class, iou


def test_identical_masks_score_one_and_missed_structures_zero():
    assert dice([10, 0], [0, 0], [0, 7]).tolist() == [1.0, 0.0]
    assert iou([10, 0], [0, 0], [0, 7]).tolist() == [1.0, 0.0]


def test_a_structure_absent_from_both_masks_is_undefined():
    assert np.isnan(dice([0], [0], [0])).all()
    assert np.isnan(iou([0], [0], [0])).all()


def test_scores_follow_their_formulas():
    assert dice([6], [2], [4])[0] == pytest.approx(12 / 18)
    assert iou([6], [2], [4])[0] == pytest.approx(6 / 12)


def test_class_means_give_patients_equal_weight_and_leave_undefined_cases_out():
    rows = [("p1", "ED", 1, 0, 0), ("p1", "ES", 0, 0, 5), ("p2", "ED", 0, 0, 0), ("p2", "ES", 2, 0, 0)]
    columns = ["patient", "phase", "true_positives", "false_positives", "false_negatives"]
    cases = pd.DataFrame(rows, columns=columns).assign(cell_id="c", class_index=1, class_name="RV")
    table = dice_by_class(cases)
    assert table["dice"].tolist() == pytest.approx([(0.5 + 1.0) / 2])
    assert table["undefined"].tolist() == [1]

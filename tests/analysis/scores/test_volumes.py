"""Volumes and ejection fractions by hand, and what a missed structure does to them."""

from math import sqrt

import numpy as np
import pandas as pd
import pytest

from analysis.scores.volumes import (
    case_volumes,
    ejection_errors,
    ejection_fractions,
    is_cavity,
    mean_ejection_error,
    spread_of_a_new_patient,
    volume_agreement,
    widening,
)

CELLS = pd.DataFrame({"cell_id": ["c"], "variant": ["arm"], "label_count": [4], "seed": ["0"]})
COUNTS = ["true_positives", "false_positives", "false_negatives"]


def volumes(*rows, name="LV", voxel_ml=0.1):
    """Volumes of one structure from rows of patient, phase and the three counts."""
    table = pd.DataFrame(rows, columns=["patient", "phase", *COUNTS])
    return case_volumes(CELLS, table.assign(cell_id="c", class_index=1, class_name=name, voxel_ml=voxel_ml))


HEART = [("p1", "ED", 900, 100, 100), ("p1", "ES", 400, 100, 0)]  # 100 and 40 ml, found as 100 and 50 ml


def fraction(*rows, **more):
    return ejection_errors(ejection_fractions(volumes(*rows, **more)), 0.95)


def test_volumes_are_counts_times_the_volume_of_a_voxel():
    found = volumes(*HEART)
    assert found["true_ml"].tolist() == pytest.approx([100, 40])
    assert found["predicted_ml"].tolist() == pytest.approx([100, 50])


def test_bias_and_limits_of_agreement_follow_bland_and_altman():
    rows = [("p1", "ED", 100, 20, 0), ("p2", "ED", 100, 0, 40), ("p3", "ED", 100, 0, 10)]  # +2, -4 and -1 ml
    found = volume_agreement(volumes(*rows), 0.95).iloc[0]
    assert found["bias_ml"] == pytest.approx(-1)
    assert found["sd_ml"] == pytest.approx(3)
    half = 4.302653 * sqrt(4 / 3) * 3  # Student's 97.5 % quantile of 2 degrees of freedom, for a fourth patient
    assert (found["agreement_low"], found["agreement_high"]) == pytest.approx((-1 - half, -1 + half))
    assert found["absolute_ml"] == pytest.approx(7 / 3)
    assert (found["missed"], found["num_pairs"], found["num_patients"]) == (0, 3, 3)


def test_more_seeds_are_not_more_patients():
    """Differences of +1 and +3 ml of one patient, -4 and -2 ml of another: between their means 12.5, within 2 ml²."""
    rows = [("p1", "ED", 100, 10, 0), ("p1", "ED", 100, 30, 0), ("p2", "ED", 100, 0, 40), ("p2", "ED", 100, 0, 20)]
    found = volume_agreement(volumes(*rows), 0.95).iloc[0]
    assert (found["num_pairs"], found["num_patients"]) == (4, 2)
    assert found["sd_ml"] == pytest.approx(sqrt(12.5 + (1 - 1 / 2) * 2))
    half = 12.706205 * sqrt(1 + 1 / 2) * found["sd_ml"]
    assert found["agreement_high"] - found["bias_ml"] == pytest.approx(half)


@pytest.mark.parametrize("num_patients", [3, 10])
@pytest.mark.parametrize(("within", "most"), [(0, 0.96), (1, 0.985)])
def test_19_of_20_new_patients_lie_within_the_limits_however_few_were_seen(num_patients, within, most):
    """5000 studies of 4 trainings each, and of each the first training on one patient more."""
    generator = np.random.default_rng(0)
    shape = (5000, num_patients + 1)
    differences = generator.normal(0, 3, (*shape, 1)) + generator.normal(0, within, (*shape, 4))
    seen = differences[:, :-1]
    study, patient, _ = np.indices(seen.shape).reshape(3, -1)
    table = pd.DataFrame({"variant": study, "patient": patient, "difference_ml": seen.ravel()})
    half = spread_of_a_new_patient(table, ["variant"]).to_numpy() * widening(np.full(5000, num_patients))
    share = np.mean(np.abs(differences[:, -1, 0] - seen.mean((1, 2))) < half)
    assert 0.94 < share < most  # a little more than 0.95 where trainings differ, since that part of the spread is known


def test_one_patient_has_no_limits_of_agreement():
    found = volume_agreement(volumes(("p1", "ED", 100, 10, 0), ("p1", "ED", 100, 30, 0)), 0.95).iloc[0]
    assert found[["sd_ml", "agreement_low", "agreement_high"]].isna().all()


def test_a_missed_structure_has_volume_0_and_one_in_neither_mask_is_left_out():
    found = volume_agreement(volumes(("p1", "ED", 0, 0, 500), ("p2", "ED", 0, 0, 0)), 0.95).iloc[0]
    assert (found["bias_ml"], found["absolute_ml"]) == (-50, 50)
    assert (found["missed"], found["num_pairs"]) == (1, 1)


def test_an_unknown_voxel_has_no_volume():
    assert volumes(*HEART, voxel_ml=None).empty


def test_the_ejection_fraction_equals_a_hand_calculation():
    found = fraction(*HEART).iloc[0]
    assert found["true_points"] == pytest.approx(60)
    assert found["error_points"] == pytest.approx(10)  # 50 % is found
    assert found["bias_where_found"] == pytest.approx(-10)
    assert (found["missed"], found["num_pairs"]) == (0, 1)


@pytest.mark.parametrize(
    ("diastole", "bias"),
    [
        ((2, 0, 998), -100),  # 0.2 and 50 ml: -24900 %, less the true 60
        ((900, 100, 100), -10),
    ],
)
def test_bias_of_the_ejection_fraction_is_cut_as_its_error_is(diastole, bias):
    found = fraction(("p1", "ED", *diastole), HEART[1]).iloc[0]
    assert found["bias_where_found"] == pytest.approx(bias)
    assert found["error_points"] == pytest.approx(-bias)


def test_no_interval_of_the_error_goes_beyond_the_largest_error():
    """One patient is missed, and another found 10 points too low: 55 points with a wide interval."""
    once = ejection_fractions(volumes(*HEART, ("p2", *HEART[0][1:]), ("p2", "ES", 0, 0, 400)))
    fractions = pd.concat([once, once.assign(cell_id="d", seed="1")])
    found = mean_ejection_error(fractions, 0.95).iloc[0]
    assert (found["error_points"], found["error_points_high"]) == (pytest.approx(55), 100)
    assert ejection_errors(fractions, 0.95)["error_points_high"].tolist() == [100]


@pytest.mark.parametrize("counts", [(0, 0, 1000), (0, 10000, 1000), (1000, 9000, 0)])
@pytest.mark.parametrize("phase", ["ED", "ES"])
def test_a_missed_phase_never_improves_the_error(counts, phase):
    other = next(row for row in HEART if row[1] != phase)
    missed = fraction(other, ("p1", phase, 0, 0, 1000)).iloc[0]
    assert missed["error_points"] == 100
    assert missed["missed"] == 1
    assert missed["error_points"] >= fraction(other, ("p1", phase, *counts)).iloc[0]["error_points"]


@pytest.mark.parametrize("rows", [HEART[:1], [*HEART, ("p1", "ED", 1, 1, 1)], [HEART[0], ("p1", "ES", 0, 5, 0)]])
def test_a_patient_without_one_true_volume_of_each_phase_has_none(rows):
    assert fraction(*rows).empty


def test_other_structures_and_phases_have_none():
    assert fraction(*HEART, name="myocardium").empty
    assert fraction(*((patient, "early", *counts) for patient, _, *counts in HEART)).empty


@pytest.mark.parametrize(
    "name",
    ["LV", "rv", "left ventricle", "Right_Ventricle", "LV cavity", "left ventricular cavity", "RV blood-pool", "LVC"],
)
def test_names_of_cavities_are_recognised(name):
    assert is_cavity(name)


@pytest.mark.parametrize("name", ["MYO", "LV myocardium", "left ventricle wall", "LVM", "left atrium", "LA", "liver"])
def test_names_of_other_structures_are_not(name):
    assert not is_cavity(name)

"""Scores by structure and by group of patients against plain loops, scipy's t interval and the simulated truth."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.findings import find
from analysis.loading.load import load_results
from analysis.tables.score_tables import TOO_FEW, class_dice, group_error, group_words

FACTORS = {"NOR": 0.8, "DCM": 1.5}


@pytest.fixture
def grouped(small, simulated, monkeypatch):
    """Findings of a sweep with three test patients of one group and two of another, in which errors are larger."""
    groups = {f"patient-{number}": "NOR" if number < 4 else "DCM" for number in range(1, 6)}
    monkeypatch.setattr(simulated, "GROUPS", groups)
    monkeypatch.setattr(simulated, "GROUP_FACTORS", FACTORS)
    return find(load_results(small(num_seeds=3, left_out=0, failed=0)))


def test_a_groups_error_is_that_of_its_patients_with_a_t_interval_over_seeds_where_they_are_alike(grouped):
    table = group_error(grouped).set_index(["variant", "label_count", "group"])
    cells = grouped.results.cells
    assert len(table) == 2 * 2 * 2
    for (variant, count, group), row in table.iterrows():
        errors = cells[(cells["variant"] == variant) & (cells["label_count"] == count)]["error"] * FACTORS[group]
        assert row["mean_error"] == pytest.approx(errors.mean(), abs=1e-5)
        if group == "NOR":
            ends = stats.t.interval(0.95, len(errors) - 1, errors.mean(), stats.sem(errors))
            assert (row["mean_error_low"], row["mean_error_high"]) == pytest.approx(ends, abs=1e-4)


def test_a_group_of_fewer_than_three_patients_has_no_interval_and_says_so(grouped):
    table = group_error(grouped)
    small = table[table["group"] == "DCM"]
    assert small[["mean_error_low", "mean_error_high"]].isna().all(axis=None)
    assert set(small["note"]) == {TOO_FEW}
    assert set(small["num_patients"]) == {2}
    assert (table.loc[table["group"] == "NOR", "note"] == "").all()
    assert group_words(grouped) == (
        "Test patients by group: DCM (2), NOR (3). Those of fewer than 3 patients have no interval: DCM."
    )


@pytest.fixture
def with_an_empty_patient(grouped):
    """The same where patient-1 has no structure, and where half of the cells predict one there all the same."""
    cases = grouped.results.cases.copy()
    empty = cases["patient"] == "patient-1"
    wrong = cases["cell_id"].isin(sorted(cases["cell_id"].unique())[::2])
    cases.loc[empty, ["true_positives", "false_negatives"]] = 0
    cases.loc[empty, "false_positives"] = np.where(wrong[empty], 5, 0)
    return find(replace(grouped.results, cases=cases))


def test_scores_of_groups_and_structures_are_of_the_patients_that_the_error_is_of(grouped, with_an_empty_patient):
    """A patient without any structure has an error of 1 in cells that predict one there, and none in the others."""
    cases = grouped.results.cases
    without = find(replace(grouped.results, cases=cases[cases["patient"] != "patient-1"]))
    assert with_an_empty_patient.cell_errors.left_out == ("patient-1",)
    for table in (group_error, class_dice):
        pd.testing.assert_frame_equal(table(with_an_empty_patient), table(without))
    assert group_words(with_an_empty_patient) == group_words(without)
    assert "DCM (2), NOR (2)." in group_words(without)


def test_patients_of_no_group_are_no_group(grouped):
    cases = grouped.results.cases.assign(group=lambda rows: rows["group"].replace("DCM", ""))
    one = find(replace(grouped.results, cases=cases))
    assert group_error(one).empty
    assert group_words(one) == "All test patients are of one group: NOR (3)."


@pytest.mark.parametrize(
    ("group", "words"),
    [("heart failure", "All test patients are of one group: heart failure (2)."), ("", "name no groups of patients")],
)
def test_without_two_groups_there_is_no_table_and_words_say_why(findings, group, words):
    results = replace(findings.results, cases=findings.results.cases.assign(group=group))
    same = replace(findings, results=results)
    assert group_error(same).empty
    assert words in group_words(same)


def test_the_dice_of_a_structure_has_an_interval_over_seeds_that_agrees_with_scipy(grouped):
    table = class_dice(grouped)
    cases = grouped.results.cases.merge(grouped.results.cells[["cell_id", "variant", "label_count", "seed"]])
    row = table[(table["variant"] == "random") & (table["label_count"] == 4) & (table["class_name"] == "LV")].iloc[0]
    own = cases[(cases["variant"] == "random") & (cases["label_count"] == 4) & (cases["class_name"] == "LV")]
    means = []
    for _, of_seed in own.groupby("seed"):
        doubled = 2 * of_seed["true_positives"]
        dice = doubled / (doubled + of_seed["false_positives"] + of_seed["false_negatives"])
        means.append(dice.groupby(of_seed["patient"]).mean().mean())
    assert row["dice"] == pytest.approx(np.mean(means))
    assert row["dice_low"] < row["dice"] < row["dice_high"] <= 1
    of_seeds = stats.t.interval(0.95, len(means) - 1, np.mean(means), stats.sem(means))
    assert row["dice_high"] - row["dice_low"] > 0.9 * (of_seeds[1] - of_seeds[0])  # patients differ too

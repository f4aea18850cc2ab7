"""Means over seeds and patients that do not all have a score, against plain numpy and the crossed mean."""

import numpy as np
import pandas as pd
import pytest

from analysis.intervals.crossed_effects import crossed_mean
from analysis.intervals.uncertainty import t_interval
from analysis.scores.patient_scores import mean_over_patients, means_by_group


def test_a_full_table_has_the_crossed_interval():
    values = np.random.default_rng(0).normal(size=(4, 6))
    found, crossed = mean_over_patients(values, 0.95), crossed_mean(values).estimate(0.95)
    assert (found.value, found.low, found.high) == pytest.approx((crossed.value, crossed.low, crossed.high))


def test_a_patient_without_any_score_is_left_out_and_so_is_a_seed():
    values = np.random.default_rng(0).normal(size=(4, 6))
    holed = np.insert(np.insert(values, 2, np.nan, axis=0), 3, np.nan, axis=1)
    assert mean_over_patients(holed, 0.95) == mean_over_patients(values, 0.95)


def test_where_patients_differ_between_seeds_the_interval_is_over_the_seeds_means():
    values = np.array([[1.0, 3.0], [2.0, np.nan], [4.0, 6.0]])
    assert mean_over_patients(values, 0.9) == t_interval(np.array([2.0, 2.0, 5.0]), 0.9)


def test_without_any_score_nothing_is_known():
    found = mean_over_patients(np.full((2, 3), np.nan), 0.95)
    assert np.isnan([found.value, found.low, found.high]).all()


def test_groups_are_told_apart_and_cells_of_one_seed_averaged_first():
    rows = [("a", "0", "p", 1.0), ("a", "0", "p", 3.0), ("a", "1", "p", 5.0), ("b", "0", "q", 7.0)]
    table = means_by_group(pd.DataFrame(rows, columns=["arm", "seed", "patient", "mm"]), ["arm"], ["mm"], 0.95)
    assert table["arm"].tolist() == ["a", "b"]
    assert table["mm"].tolist() == [3.5, 7.0]
    assert table["mm_high"][0] == pytest.approx(3.5 + 12.706 * 1.5, abs=1e-2)  # t of one degree of freedom


@pytest.mark.parametrize(("column", "low"), [("mm", 0.0), ("difference_ml", 3.5 - 12.706 * 1.5)])
def test_intervals_of_what_cannot_be_below_0_are_cut_there(column, low):
    rows = pd.DataFrame({"arm": "a", "seed": ["0", "1"], "patient": "p", column: [2.0, 5.0]})
    assert means_by_group(rows, ["arm"], [column], 0.95)[f"{column}_low"][0] == pytest.approx(low, abs=1e-2)


def test_an_empty_table_has_no_groups():
    empty = pd.DataFrame({name: pd.Series(dtype=object) for name in ("arm", "seed", "patient")}).assign(mm=[])
    assert means_by_group(empty, ["arm"], ["mm"], 0.95).columns.tolist() == ["arm", "mm", "mm_low", "mm_high"]


def test_groups_with_and_without_gaps_have_the_means_they_have_alone():
    values = np.random.default_rng(0).gamma(2.0, size=(5, 3, 4))
    values[1, 0, 2] = values[3, :, 1] = values[4] = np.nan
    places = pd.MultiIndex.from_product([range(5), list("abc"), list("wxyz")], names=["arm", "seed", "patient"])
    table = means_by_group(pd.DataFrame({"mm": values.ravel()}, index=places).reset_index(), ["arm"], ["mm"], 0.95)
    alone = [mean_over_patients(each, 0.95) for each in values]
    assert table["mm"].tolist() == pytest.approx([each.value for each in alone], nan_ok=True)
    assert table["mm_low"].tolist() == pytest.approx([np.maximum(each.low, 0) for each in alone], nan_ok=True)
    assert table["mm_high"].tolist() == pytest.approx([each.high for each in alone], nan_ok=True)

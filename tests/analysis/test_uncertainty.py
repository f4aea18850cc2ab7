"""Intervals against scipy and hand calculation, and the properties that an interval must have."""

import numpy as np
import pytest
from scipy import stats

from analysis.uncertainty import (
    Estimate,
    complete_counts,
    draw_seeds,
    holm,
    is_replicated,
    median_over_seeds,
    paired_difference,
    percentile_interval,
    t_interval,
)


def test_t_interval_agrees_with_scipy():
    values = np.array([0.31, 0.28, 0.35, 0.30])
    expected = stats.ttest_1samp(values, 0.0).confidence_interval(0.9)
    found = t_interval(values, 0.9)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.num_seeds == 4


def test_one_seed_gives_a_value_without_an_interval():
    found = t_interval(np.array([0.3, np.nan]), 0.95)
    assert found.value == pytest.approx(0.3)
    assert not found.is_known
    assert not found.excludes(0.0)


def test_more_seeds_give_a_narrower_interval():
    pattern = np.array([-1.0, 1.0])
    widths = [(e := t_interval(np.tile(pattern, copies), 0.95)).high - e.low for copies in (1, 2, 5)]
    assert widths == sorted(widths, reverse=True)


def test_paired_difference_agrees_with_scipy_and_leaves_single_seeds_out():
    arm, reference = np.array([0.30, 0.25, 0.28, 0.9]), np.array([0.35, 0.33, 0.31, np.nan])
    expected = stats.ttest_rel(arm[:3], reference[:3])
    found = paired_difference(arm, reference, 0.95)
    assert found.p_value == pytest.approx(expected.pvalue)
    assert found.estimate.low == pytest.approx(expected.confidence_interval(0.95).low)
    assert found.estimate.num_seeds == 3


def test_equal_arms_have_no_difference_and_p_one():
    values = np.array([0.3, 0.2, 0.4])
    found = paired_difference(values, values, 0.95)
    assert (found.estimate.low, found.estimate.high, found.p_value) == (0.0, 0.0, 1.0)


def test_holm_follows_the_hand_calculation_and_ignores_unknown_values():
    adjusted = holm([0.01, 0.04, np.nan, 0.03])
    assert adjusted[[0, 1, 3]] == pytest.approx([0.03, 0.06, 0.06])
    assert np.isnan(adjusted[2])


def test_median_over_seeds_agrees_with_numpy_where_values_are_missing():
    errors = np.random.default_rng(0).random((3, 5, 4))
    errors[0, 2, 1] = errors[1, :4, 0] = errors[2, 1, 3] = np.nan
    np.testing.assert_allclose(median_over_seeds(errors), np.nanmedian(errors, axis=-2))
    assert np.isnan(median_over_seeds(np.full((3, 1), np.nan))).all()


def test_bootstrap_of_the_mean_comes_close_to_the_normal_interval():
    values = np.random.default_rng(1).normal(size=200)
    draws = draw_seeds(200, 4000, np.random.default_rng(2))
    low, high = percentile_interval(values[draws].mean(axis=1), 0.95)
    half = 1.96 * values.std() / np.sqrt(200)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.02)


def test_percentile_interval_keeps_infinite_draws_as_extremes():
    assert percentile_interval(np.array([1.0, 2.0, np.inf, np.nan]), 0.95) == (1.0, np.inf)


def test_an_interval_that_touches_a_number_does_not_exclude_it():
    assert not Estimate(0.5, 0.0, 1.0, 3).excludes(0.0)
    assert Estimate(0.5, 0.1, 1.0, 3).excludes(0.0)


def test_label_counts_are_dropped_before_seeds_are():
    known = np.array([[True, True], [True, False], [False, False]])
    assert complete_counts(known).tolist() == [True, False]


def test_a_label_count_with_one_seed_is_not_replicated():
    assert is_replicated(np.array([[0.1, np.nan], [0.2, np.nan]]))
    assert not is_replicated(np.array([[0.1, 0.3], [0.2, np.nan]]))

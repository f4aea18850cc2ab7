"""Intervals against scipy and hand calculation, and the properties that an interval must have."""

import numpy as np
import pytest
from scipy import stats

from analysis.intervals.uncertainty import Estimate, common_counts, t_interval


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


def test_an_interval_that_touches_a_number_does_not_exclude_it():
    assert not Estimate(0.5, 0.0, 1.0, 3).excludes(0.0)
    assert Estimate(0.5, 0.1, 1.0, 3).excludes(0.0)


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        (["11", "10", "00"], "10"),  # one seed has both: with it alone there would be no interval
        (["111", "111", "101"], "111"),  # the seed that lacks one is left out, not the label count
        (["111", "111", "111", "100", "100", "100"], "111"),  # seeds added at one label count alone
        (["1101", "0111", "0111"], "0111"),  # the two seeds that have three of four
        (["110", "011", "000"], "010"),  # one seed each at the first and the last: the last goes first
        (["111"], "111"),
        (["110", "001"], "110"),
        (["000"], "000"),
    ],
)
def test_label_counts_are_kept_before_seeds_while_two_seeds_have_them_all(known, expected):
    chosen = common_counts(np.array([[mark == "1" for mark in seed] for seed in known]))
    assert "".join(str(int(each)) for each in chosen) == expected

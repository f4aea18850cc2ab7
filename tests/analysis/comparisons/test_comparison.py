"""Paired comparisons against scipy and hand calculation."""

import numpy as np
import pytest
from scipy import stats

from analysis.comparisons.comparison import hochberg, holm, paired_difference


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


def test_what_both_arms_share_of_seeds_and_patients_cancels():
    generator = np.random.default_rng(0)
    shared = generator.normal(size=(4, 1)) + generator.normal(size=(1, 6))
    noise = 0.01 * generator.normal(size=(4, 6))
    found = paired_difference(shared + 0.1 + noise, shared, 0.95)
    assert found.estimate.value == pytest.approx(0.1, abs=0.02)
    assert found.estimate.high - found.estimate.low < 0.1  # the shared spread is of the order of 1


def test_patients_that_differ_widen_the_interval():
    generator = np.random.default_rng(1)
    by_seed = generator.normal(size=(5, 1)) + 0.1 * generator.normal(size=(5, 12))
    by_patient = by_seed + 3 * generator.normal(size=(1, 12))
    narrow, wide = (paired_difference(values, np.zeros((5, 12)), 0.95) for values in (by_seed, by_patient))
    assert wide.patient_error > narrow.patient_error
    assert wide.estimate.high - wide.estimate.low > narrow.estimate.high - narrow.estimate.low


def test_holm_follows_the_hand_calculation_and_ignores_unknown_values():
    adjusted = holm([0.01, 0.04, np.nan, 0.03])
    assert adjusted[[0, 1, 3]] == pytest.approx([0.03, 0.06, 0.06])
    assert np.isnan(adjusted[2])


def test_hochberg_follows_the_hand_calculation_and_ignores_unknown_values():
    """Times 1 the largest, times 2 the next, and none above one that is larger: 0.04, min(0.04, 0.06), 3 x 0.01."""
    adjusted = hochberg([0.01, 0.04, np.nan, 0.03])
    np.testing.assert_allclose(adjusted, [0.03, 0.04, np.nan, 0.04])

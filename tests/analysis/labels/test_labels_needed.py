"""Labels needed and label equivalence: exact where the truth is known, and honest at the edges."""

import numpy as np
import pytest

from analysis.labels.labels_needed import (
    crossing,
    crossings,
    equivalence_curve,
    label_equivalence,
    labels_by_law,
    labels_for_error,
    labels_near_full,
)
from analysis.labels.law_fit import fit_law
from analysis.scores.error_curve import ErrorCurve, LogCurve

COUNTS = np.array([4.0, 16.0, 64.0, 256.0])


def power(factor=1.0, exponent=0.5, noise=0.0, seeds=4, start=1):
    """Errors on a power law, linear in log error: an arm worth ``factor`` times its labels is exactly that."""
    generator = np.random.default_rng(start)
    logs = -exponent * np.log(factor * COUNTS) + noise * generator.normal(size=(seeds, 1, 1))
    return LogCurve(COUNTS, np.broadcast_to(logs, (seeds, 3, 4)).copy())


def test_labels_for_the_error_of_a_noiseless_law_are_those_of_its_inverse():
    for labels in (4.0, 16.0, 30.0, 256.0):
        count = labels_for_error(power(), labels**-0.5, 0.95).count
        assert (count.labels, count.low, count.high) == pytest.approx((labels,) * 3)
        assert count.verdict == "reached"


def test_targets_beyond_the_measured_range_are_not_extrapolated():
    beyond = labels_for_error(power(), 0.01, 0.95).count
    assert (beyond.labels, beyond.low, beyond.verdict) == (np.inf, np.inf, "not reached")
    before = labels_for_error(power(), 0.9, 0.95).count
    assert (before.labels, before.high) == (0.0, 0.0)


def test_seeds_that_disagree_cannot_tell():
    count = labels_for_error(power(noise=1.5, seeds=3), 0.1, 0.95).count
    assert count.verdict == "cannot tell"


def test_the_interval_holds_what_the_t_test_cannot_reject():
    # Seeds run in parallel: the ends are where mean -+ t sd / sqrt(n) meet the target, t from a table (2 df: 4.303).
    logs = power(noise=0.05, seeds=3)
    shifts = logs.by_seed[:, 0] + 0.5 * np.log(4.0)
    half = 4.303 * shifts.std(ddof=1) / np.sqrt(3)
    count = labels_for_error(logs, 30.0**-0.5, 0.95).count
    ends = [30.0 * np.exp(2 * (shifts.mean() + side * half)) for side in (-1, 1)]
    assert (count.low, count.high) == pytest.approx(ends, rel=1e-3)


def test_labels_near_the_full_error_ignore_what_shifts_a_whole_seed():
    for noise in (0.0, 0.3):
        count = labels_near_full(logs := power(noise=noise), logs, 0.10, 0.95).count
        assert (count.labels, count.low, count.high) == pytest.approx((256 / 1.1**2,) * 3, rel=1e-6)


def test_labels_near_another_arms_full_error_are_paired_with_it():
    count = labels_near_full(power(4.0, noise=0.3), power(noise=0.3), 0.10, 0.95).count
    assert count.labels == pytest.approx(64 / 1.1**2)
    assert count.high == pytest.approx(count.low)


def test_an_arm_without_a_result_at_the_most_labels_sets_no_goal():
    """Its error at 64 labels is no stand-in: a goal that is easier to reach would pass for the one that was asked."""
    goal = power()
    goal.values[:, :, -1] = np.nan
    found = labels_near_full(power(), goal, 0.10, 0.95)
    assert np.isnan([found.target_error, found.count.labels, found.count.low, found.count.high]).all()
    assert found.count.verdict == "cannot tell"
    goal.values[0, :, -1] = power().values[0, :, -1]  # one seed that has one is a goal again
    assert labels_near_full(power(), goal, 0.10, 0.95).target_error == pytest.approx(1.1 * 256**-0.5)


@pytest.mark.parametrize(("lowest", "is_known"), [(0.90, True), (0.92, False)])
def test_an_error_that_networks_without_any_overlap_reach_is_no_goal(lowest, is_known):
    """1.1 times 0.90 is below an error of 1, and 1.1 times 0.92 is not."""
    curve = power(factor=lowest**-20 / 256, exponent=0.05)  # its error at the most labels is ``lowest``
    found = labels_near_full(curve, curve, 0.10, 0.95)
    assert found.target_error == pytest.approx(1.1 * lowest)
    assert np.isfinite([found.count.labels, found.count.high]).all() == is_known
    fit = fit_law(curve)
    assert np.isnan(labels_by_law(fit, found.target_error, 0.95).labels) == (not is_known)


def test_the_reference_against_itself_is_worth_its_own_labels():
    found = label_equivalence(power(noise=0.1), power(noise=0.1), 0.95)
    assert [item.label_count for item in found] == COUNTS.tolist()
    for item in found:
        assert (item.worth.labels, item.worth.low, item.worth.high) == pytest.approx((item.label_count,) * 3)


def test_an_arm_worth_twice_its_labels_is_found_within_the_measured_range():
    found = label_equivalence(power(2.0), power(), 0.95)
    assert [item.worth.labels for item in found] == pytest.approx([8.0, 32.0, 128.0, np.inf])
    found = label_equivalence(power(0.5), power(), 0.95)
    assert [item.worth.labels for item in found] == pytest.approx([0.0, 8.0, 32.0, 128.0])


def test_more_seeds_narrow_the_interval():
    def width(seeds):
        generator = np.random.default_rng(0)
        logs = power(seeds=seeds).values + 0.1 * generator.normal(size=(seeds, 1, 4))
        count = labels_for_error(LogCurve(COUNTS, logs), 32.0**-0.5, 0.95).count
        return np.log(count.high / count.low)

    assert width(40) < width(10) < width(4)


def test_two_laws_cross_where_they_are_equal():
    steep = power(exponent=0.6)
    shallow = LogCurve(COUNTS, power(exponent=0.4).values - 0.2 * np.log(30.0))
    found = crossing(steep, shallow, 0.95)
    assert (found.labels, found.low, found.high) == pytest.approx((30.0,) * 3, rel=0.15)  # up to the grid
    assert found.is_certain
    assert np.isnan(crossing(power(2.0), power(), 0.95).labels)


def test_a_crossing_that_seeds_do_not_agree_on_is_not_certain():
    generator = np.random.default_rng(3)
    other = LogCurve(COUNTS, power().values + 0.3 * generator.normal(size=(4, 1, 4)))
    found = crossing(power(), other, 0.95)
    assert not found.is_certain


def test_one_seed_has_no_interval_and_no_results_no_answer():
    one = power(seeds=1)
    count = labels_for_error(one, 0.2, 0.95).count
    assert np.isfinite(count.labels)
    assert np.isnan([count.low, count.high]).all()
    nothing = LogCurve(COUNTS, np.full((4, 3, 4), np.nan))
    assert labels_for_error(nothing, 0.2, 0.95) is None
    assert labels_near_full(nothing, power(), 0.1, 0.95) is None
    assert label_equivalence(nothing, power(), 0.95) == []
    assert label_equivalence(power(), nothing, 0.95) == []


def test_a_missing_cell_leaves_its_seed_out_between_its_neighbours_alone():
    logs = power(noise=0.05)
    logs.values[0, :, 0] = np.nan
    count = labels_for_error(logs, 128.0**-0.5, 0.95).count
    whole = labels_for_error(power(noise=0.05), 128.0**-0.5, 0.95).count
    assert (count.low, count.high) == pytest.approx((whole.low, whole.high))


def test_a_law_is_followed_beyond_the_measured_counts():
    errors = np.exp(power(noise=0.0).values)
    fit = fit_law(ErrorCurve(COUNTS, errors).logs)
    assert labels_by_law(fit, 1000.0**-0.5, 0.95).labels == pytest.approx(1000.0, rel=1e-3)
    assert labels_by_law(fit, 10000.0**-0.5, 0.95).labels == np.inf  # more than ten times the most measured


def test_an_equivalence_curve_holds_the_measured_counts_and_is_exact_on_a_power_law_between_them():
    arm, reference = power(0.5, noise=0.05, seeds=5), power(noise=0.05, seeds=5)
    curve = equivalence_curve(arm, reference, 0.95)
    by_count = {item.label_count: item.worth for item in curve}
    for item in label_equivalence(arm, reference, 0.95):
        assert by_count[item.label_count] == item.worth
    assert len(curve) == 4 + 3 * 7
    assert [item.label_count for item in curve] == sorted(by_count)
    for count, worth in by_count.items():
        if count > 8:  # fewer are worth less than the fewest measured
            assert worth.labels == pytest.approx(count / 2)
    assert equivalence_curve(arm, LogCurve(COUNTS, np.full((5, 3, 4), np.nan)), 0.95) == []


def test_every_crossing_is_found_and_the_last_one_is_the_crossing():
    bumps = np.array([0.1, -0.1, 0.1, 0.1])
    other = LogCurve(COUNTS, power().values + bumps)
    found = crossings(power(), other, 0.95)
    assert [item.labels for item in found] == pytest.approx([8.0, 32.0])  # half way in log labels
    assert crossing(power(), other, 0.95) == found[-1]

"""Which arm is best at each label count and where that changes, on curves whose answer is known."""

import numpy as np
import pytest
from scipy import stats

from analysis.intervals.bootstrap import two_level_draws
from analysis.labels.best_change import best_arms, best_changes
from analysis.scores.error_curve import ErrorCurve

COUNTS = np.array([4.0, 16.0, 64.0, 256.0])
DRAWS = two_level_draws(5, 6, 400, np.random.default_rng(0))


def curve(logs, noise=0.0, start=0):
    """Errors of 5 seeds and 6 patients about given logs."""
    spread = np.random.default_rng(start).normal(0, noise, size=(5, 6, len(COUNTS)))
    return ErrorCurve(COUNTS, np.exp(np.asarray(logs) + spread))


def test_the_best_arm_changes_where_lines_in_log_labels_meet():
    curves = {"flat": curve([-1.5] * 4), "steep": curve([-1.1, -1.3, -1.7, -2.1])}
    best = best_arms(curves, DRAWS)
    assert [item.arm for item in best] == ["flat", "flat", "steep", "steep"]
    assert [item.share for item in best] == [1.0] * 4
    (change,) = best_changes(curves, best, 0.95)
    assert (change.before, change.after, change.is_decided) == ("flat", "steep", True)
    assert change.labels == pytest.approx(32.0)  # half way between 16 and 64
    assert change.low <= 32 <= change.high
    assert change.high / change.low == pytest.approx(1.0, abs=0.13)  # up to the grid


def test_a_third_arm_that_is_best_only_between_two_counts_is_found():
    curves = {"a": curve([-2.0, -1.0, -1.0, -1.0]), "b": curve([-1.0, -2.0, -2.0, -2.0]), "c": curve([-1.8] * 4)}
    changes = best_changes(curves, best_arms(curves, DRAWS), 0.95)
    assert [(change.before, change.after) for change in changes] == [("a", "c"), ("a", "b"), ("c", "b")]
    assert [change.labels for change in changes] == pytest.approx([4 * 4**0.2, 4 * 4**0.5, 4 * 4**0.8])
    assert [change.is_decided for change in changes] == [False, True, False]  # at no measured count c is the best


def test_a_change_is_decided_where_a_third_arm_that_is_not_told_lies_lowest_between():
    """At 16 and 64 labels c is lowest by less than its noise; a is significantly best at 4, b at 256."""
    curves = {
        "a": curve([-2.0, -1.5, -1.5, -1.5], 0.05, 1),
        "b": curve([-1.0, -1.49, -1.51, -2.0], 0.05, 2),
        "c": curve([-1.0, -1.53, -1.53, -1.5], 0.05, 3),
    }
    best = best_arms(curves, DRAWS)
    assert [item.arm for item in best] == ["a", "c", "c", "b"]
    assert [item.p_value < 0.05 for item in best] == [True, False, False, True]
    (decided,) = (change for change in best_changes(curves, best, 0.95) if change.is_decided)
    assert (decided.before, decided.after) == ("a", "b")
    assert 4 < decided.labels < 256
    assert decided.low <= decided.labels <= decided.high


def test_p_values_are_the_largest_of_paired_t_tests_adjusted_for_label_counts():
    errors = np.exp(np.random.default_rng(1).normal([-1.2, -1.1, -1.0], 0.05, size=(5, 3)))
    curves = {name: ErrorCurve(COUNTS[:1], errors[:, i].reshape(5, 1, 1)) for i, name in enumerate("abc")}
    (best,) = best_arms(curves, two_level_draws(5, 1, 400, np.random.default_rng(0)))
    logs = np.log(errors)
    assert best.arm == "a"
    assert best.p_value == pytest.approx(max(stats.ttest_rel(logs[:, 0], logs[:, i]).pvalue for i in (1, 2)))
    doubled = {name: ErrorCurve(COUNTS[:2], np.repeat(c.errors, 2, axis=2)) for name, c in curves.items()}
    two = best_arms(doubled, two_level_draws(5, 1, 400, np.random.default_rng(0)))
    assert [item.p_value for item in two] == pytest.approx([2 * best.p_value] * 2)
    assert [item.p_value_alone for item in two] == pytest.approx([best.p_value] * 2)


def test_the_share_is_that_of_a_plain_loop_over_resamples():
    curves = {name: curve([-1.0] * 4, 0.3, start) for start, name in enumerate("abc")}
    best = best_arms(curves, DRAWS)[2]
    wins = 0
    for seeds, patients in zip(DRAWS.seeds, DRAWS.patients, strict=True):
        means = {}
        for name, each in curves.items():
            by_seed = (each.errors[:, :, 2] * patients).sum(axis=1) / patients.sum()
            means[name] = (np.log(by_seed) * seeds).sum()
        wins += min(means, key=means.get) == best.arm
    assert best.share == pytest.approx(wins / len(DRAWS.seeds))
    assert 0.2 < best.share < 1


def test_arms_that_are_equal_up_to_rounding_divide_the_share_of_resamples():
    curves = {"a": curve([-2.0] * 4, 0.1), "b": curve([-2.0] * 4, 0.1), "c": curve([-1.0] * 4)}
    curves["b"].errors[...] *= 1 - 1e-13  # as sums in another order leave
    assert [item.share for item in best_arms(curves, DRAWS)] == pytest.approx([0.5] * 4)
    assert [item.p_value for item in best_arms(curves, DRAWS)] == [1.0] * 4


def test_an_arm_that_was_not_run_at_a_label_count_has_not_lost_its_place_there():
    """a is significantly best at 4 and 16 labels, and b and c alone have results at 64 and 256."""
    curves = {"a": curve([-2.0] * 4), "b": curve([-1.0, -1.2, -1.4, -1.6]), "c": curve([-0.9, -1.1, -1.3, -1.8])}
    curves["a"].errors[:, :, 2:] = np.nan
    best = best_arms(curves, DRAWS)
    assert [item.arm for item in best] == ["a", "a", "b", "c"]
    assert (
        np.isnan([(item.p_value, item.p_value_alone) for item in best]).all(axis=1).tolist() == [False] * 2 + [True] * 2
    )
    assert best_changes(curves, best, 0.95) == []


def test_a_change_is_looked_for_across_a_label_count_that_an_arm_lacks():
    curves = {"flat": curve([-1.5] * 4), "steep": curve([-1.1, -1.3, -1.7, -2.1])}
    curves["other"] = curve([-0.5] * 4)
    curves["flat"].errors[:, :, 2] = np.nan
    (change,) = best_changes(curves, best_arms(curves, DRAWS), 0.95)
    assert (change.before, change.after, change.is_decided) == ("flat", "steep", True)
    assert change.labels == pytest.approx(16 * 16 ** (0.2 / 0.8))  # on straight lines from 16 to 256 labels
    assert change.low <= change.labels <= change.high


def test_arms_without_results_are_no_candidates_and_one_seed_decides_nothing():
    missing = curve([-3.0] * 4)
    missing.errors[:, :, 1] = np.nan
    curves = {"a": curve([-1.0] * 4), "b": curve([-2.0] * 4), "gone": missing}
    assert [item.arm for item in best_arms(curves, DRAWS)] == ["gone", "b", "gone", "gone"]
    one = {name: ErrorCurve(COUNTS, each.errors[:1]) for name, each in curves.items()}
    best = best_arms(one, two_level_draws(1, 6, 50, np.random.default_rng(0)))
    assert np.isnan([item.p_value for item in best]).all()
    assert not any(change.is_decided for change in best_changes(one, best, 0.95))

"""Time to target, Kaplan-Meier and speed-ups against hand calculation, and what censoring may never do."""

import numpy as np
import pytest
from scipy.stats import CensoredData, ecdf

from analysis.convergence.survival import (
    SpeedUp,
    TimeToTarget,
    combined_speed_up,
    kaplan_meier,
    restricted_mean_steps,
    speed_up,
    steps_to_target,
)
from analysis.intervals.uncertainty import Estimate

STEPS = np.array([0.0, 10.0, 20.0, 30.0, 40.0])


@pytest.mark.parametrize(
    ("dice", "expected"),
    [
        ([0.0, 0.9, 0.1, 0.9, 0.9], TimeToTarget(30.0, True)),
        ([0.0, 0.1, 0.1, 0.1, 0.9], TimeToTarget(40.0, False)),
        ([0.0, 0.1, 0.1, 0.1, 0.1], TimeToTarget(40.0, False)),
        ([0.9, 0.9, 0.9, 0.9, 0.9], TimeToTarget(10.0, True)),
    ],
)
def test_a_target_counts_when_it_is_held_for_two_evaluations(dice, expected):
    assert steps_to_target(STEPS, np.array(dice), 0.8, 2) == expected


def test_kaplan_meier_agrees_with_scipy():
    steps = np.array([10.0, 20.0, 20.0, 30.0, 40.0, 40.0])
    reached = np.array([True, True, False, True, False, True])
    data = CensoredData(uncensored=steps[reached], right=steps[~reached])
    times, survival = kaplan_meier(steps, reached)
    np.testing.assert_allclose(survival, ecdf(data).sf.evaluate(times))


def test_restricted_mean_without_censoring_is_the_mean():
    steps = np.array([10.0, 20.0, 60.0])
    assert restricted_mean_steps(steps, np.ones(3, dtype=bool), 100.0) == pytest.approx(30.0)


def test_a_censored_run_never_improves_an_arm():
    steps, reached = np.array([10.0, 20.0, 30.0]), np.array([True, True, True])
    for index in range(3):
        censored_steps, censored = steps.copy(), reached.copy()
        censored_steps[index], censored[index] = 40.0, False
        assert restricted_mean_steps(censored_steps, censored, 40.0) >= restricted_mean_steps(steps, reached, 40.0)


def test_the_reference_against_itself_has_speed_up_one():
    runs = [TimeToTarget(step, True) for step in (10.0, 20.0, 40.0)]
    found = speed_up(runs, runs, 100.0, 0.95)
    assert (found.ratio.value, found.ratio.low, found.ratio.high) == pytest.approx((1.0, 1.0, 1.0))
    assert found.bound == "exact"


def test_speed_up_is_the_geometric_mean_over_pairs_that_both_have():
    reference = [TimeToTarget(40.0, True), TimeToTarget(90.0, True), None]
    arm = [TimeToTarget(20.0, True), TimeToTarget(10.0, True), TimeToTarget(1.0, True)]
    found = speed_up(reference, arm, 100.0, 0.95)
    assert found.ratio.value == pytest.approx(np.sqrt(2 * 9))
    assert found.ratio.num_seeds == 2


@pytest.mark.parametrize(
    ("reference_reached", "arm_reached", "bound"),
    [(True, True, "exact"), (True, False, "at most"), (False, True, "at least"), (False, False, "unbounded")],
)
def test_censoring_makes_the_ratio_a_bound(reference_reached, arm_reached, bound):
    found = speed_up([TimeToTarget(40.0, reference_reached)], [TimeToTarget(20.0, arm_reached)], 40.0, 0.95)
    assert found.bound == bound


def test_combined_speed_up_averages_within_seeds_first():
    found = combined_speed_up([np.log([2.0, 2.0]), np.log([8.0, 8.0])], 0.95)
    assert found.value == pytest.approx(4.0)
    assert found.num_seeds == 2


@pytest.mark.parametrize(("censored", "reference_censored"), [(0, 0), (1, 0), (0, 2), (3, 1)])
def test_the_interval_of_uncut_steps_is_open_where_runs_never_reached_the_target(censored, reference_censored):
    found = SpeedUp(Estimate(2.0, 1.5, 2.7, 5), censored, reference_censored).uncut
    assert found.low == (0.0 if censored else 1.5)
    assert found.high == (np.inf if reference_censored else 2.7)


def test_without_an_interval_censoring_opens_none():
    found = SpeedUp(Estimate(2.0, np.nan, np.nan, 1), 1, 1).uncut
    assert not found.is_known

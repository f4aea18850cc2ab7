"""Expected half-widths against closed forms and against what simulated seeds and patients then give."""

import math

import numpy as np
import pytest
from scipy import stats

from analysis.intervals.crossed_effects import crossed_mean
from analysis.planning.half_width import Spread, spread


def draw(generator, num_sweeps, num_seeds, num_patients, seed=1.0, patient=1.0, rest=1.0):
    values = seed * generator.normal(size=(num_sweeps, num_seeds, 1))
    values = values + patient * generator.normal(size=(num_sweeps, 1, num_patients))
    return values + rest * generator.normal(size=(num_sweeps, num_seeds, num_patients))


def test_over_seeds_alone_it_is_that_of_students_t():
    values = np.array([0.1, 0.4, 0.2, 0.7])
    found = spread(values[:, None])
    scale = values.std(ddof=1)
    assert found.half_width(4, 1, 0.95) == pytest.approx(stats.t.ppf(0.975, 3) * scale / 2)
    assert found.half_width(25, 1, 0.95) == pytest.approx(stats.t.ppf(0.975, 24) * scale / 5)


def test_with_endless_patients_and_seeds_each_part_vanishes():
    found = Spread(0.0, 4.0, 9.0, 5, 10)
    assert found.half_width(4, 10**9, 0.95) == pytest.approx(stats.t.ppf(0.975, 3) * 1.0, rel=1e-4)
    assert found.half_width(10**9, 9, 0.95) == pytest.approx(stats.t.ppf(0.975, 8) * 1.0, rel=1e-4)


@pytest.mark.parametrize(("seed", "patient", "rest"), [(1.0, 0.0, 0.0), (1.0, 0.3, 1.0), (0.5, 1.0, 1.0)])
def test_the_promised_half_width_is_about_what_more_seeds_then_give(seed, patient, rest):
    generator, parts = np.random.default_rng(3), {"seed": seed, "patient": patient, "rest": rest}
    promised = [spread(sweep).half_width(15, 12, 0.95) for sweep in draw(generator, 400, 5, 12, **parts)]
    low, high = crossed_mean(draw(generator, 400, 15, 12, **parts)).interval(0.95)
    assert np.mean(promised) == pytest.approx(np.mean(high - low) / 2, rel=0.1)


def test_the_seeds_that_are_asked_for_are_the_fewest_that_reach_the_goal():
    found = Spread(0.0, 1.0, 0.5, 3, 20)
    goal = found.half_width(11, 20, 0.95)
    assert found.seeds_for(goal, 0.95) == 11
    assert found.half_width(10, 20, 0.95) > goal


def test_where_patients_dominate_seeds_are_refused_and_patients_asked_for():
    found = Spread(0.0, 0.01, 4.0, 5, 4)
    assert found.seeds_for(0.5, 0.95) is None
    number = found.patients_for(0.5, 0.95)
    assert found.half_width(5, number, 0.95) <= 0.5 < found.half_width(5, number - 1, 0.95)


def test_one_seed_says_nothing_and_a_missing_seed_is_left_out():
    assert spread(np.array([[0.1, 0.2], [math.nan, math.nan]])) is None
    assert spread(np.array([[0.1], [math.nan], [0.3]])).num_seeds == 2

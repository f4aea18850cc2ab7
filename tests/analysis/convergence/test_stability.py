"""Area, spread and drawdown of curves whose numbers are known by hand."""

import numpy as np
import pytest
from scipy.integrate import trapezoid

from analysis.convergence.stability import stability

STEPS = np.array([0.0, 10.0, 20.0, 40.0])


def test_a_perfect_run_has_area_one_and_neither_spread_nor_drawdown():
    found = stability(STEPS, np.ones(4), 0.0)
    assert (found.area, found.spread, found.drawdown) == (1.0, 0.0, 0.0)


def test_a_straight_rise_has_half_its_end_as_area():
    assert stability(STEPS, STEPS / 50, 40.0).area == pytest.approx(0.4)


def test_the_area_agrees_with_scipy_at_uneven_steps():
    dice = np.array([0.1, 0.6, 0.4, 0.9])
    assert stability(STEPS, dice, 10.0).area == pytest.approx(trapezoid(dice, STEPS) / 40)


def test_the_drawdown_is_the_largest_fall_from_any_earlier_score():
    assert stability(STEPS, np.array([0.2, 0.8, 0.7, 0.5]), 10.0).drawdown == pytest.approx(0.3)
    assert stability(STEPS, np.array([0.2, 0.3, 0.4, 0.5]), 10.0).drawdown == 0.0


def test_spread_counts_from_the_target_on_and_is_unknown_without_one():
    dice = np.array([0.0, 0.7, 0.8, 0.9])
    assert stability(STEPS, dice, 10.0).spread == pytest.approx(0.1)
    assert np.isnan(stability(STEPS, dice, np.inf).spread)

"""Ticks of logarithmic axes: enough of them, round, and inside, however narrow the axis."""

import pytest

from analysis.axes import PlainLogLocator


@pytest.mark.parametrize(("low", "high"), [(0.55, 0.95), (0.08, 0.12), (0.93, 0.97), (0.02, 0.9), (0.001, 700.0)])
def test_an_axis_of_any_width_has_at_least_three_ticks_all_inside(low, high):
    ticks = PlainLogLocator().tick_values(low, high)
    assert 3 <= len(ticks) <= 8
    assert all(low <= tick <= high for tick in ticks)
    assert ticks == sorted(ticks)


def test_a_wide_axis_is_labelled_at_powers_of_ten():
    assert PlainLogLocator().tick_values(0.005, 20.0) == pytest.approx([0.01, 0.1, 1.0, 10.0])


def test_a_range_within_one_decade_is_labelled_at_round_digits():
    assert PlainLogLocator().tick_values(0.18, 0.6) == pytest.approx([0.2, 0.3, 0.5])

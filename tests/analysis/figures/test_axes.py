"""Ticks of logarithmic axes: enough of them, round, and inside, however narrow the axis."""

import pytest
from matplotlib.figure import Figure

from analysis.figures.axes import PlainLogLocator, limit_mean


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


@pytest.mark.parametrize(("highest", "interval_end", "top"), [(10, 500, 20), (10, 12, 12), (0, 1, 1)])
def test_a_wide_interval_does_not_hide_the_means(highest, interval_end, top):
    panel = Figure().subplots()
    panel.set_ylim(-3, interval_end)
    limit_mean(panel, highest)
    assert panel.get_ylim() == (0, top)

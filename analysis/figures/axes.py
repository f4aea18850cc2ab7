"""Axes of the figures: label counts, errors and ratios on logarithmic scales with plain numbers.

In: matplotlib axes that hold their data. Out: the same axes with scales, ticks and limits.
"""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FixedFormatter, FixedLocator, FuncFormatter, Locator, MaxNLocator, NullLocator

from analysis.findings import Findings
from analysis.intervals.uncertainty import Floats


def label_axis(panel: Axes, findings: Findings) -> None:
    """Make the x axis a logarithmic one of the measured label counts."""
    counts = findings.label_counts
    panel.set_xscale("log")
    panel.xaxis.set_major_locator(FixedLocator(counts.tolist()))
    panel.xaxis.set_major_formatter(FixedFormatter([f"{count:.0f}" for count in counts]))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.set_xlim(counts[0] / 1.25, counts[-1] * 1.25)
    panel.set_xlabel(f"labelled {findings.results.label_unit}")
    if len(counts) > 6:
        panel.tick_params(axis="x", labelrotation=45)


def error_axis(panel: Axes) -> None:
    """Make the y axis a logarithmic one of errors."""
    panel.set_yscale("log")
    plain_log(panel.yaxis)
    panel.set_ylabel("test error (1 - Dice)")


class PlainLogLocator(Locator):
    """Ticks at few, round numbers of a logarithmic axis, however narrow it is."""

    DIGITS = ((1,), (1, 3), (1, 2, 5), (1, 2, 3, 5), (1, 1.5, 2, 3, 4, 5, 7))
    FEWEST = 3

    def __call__(self) -> list[float]:
        """Return the ticks of the axis as it is."""
        low, high = self.axis.get_view_interval()  # type: ignore[union-attr]
        return self.tick_values(low, high)

    def tick_values(self, vmin: float, vmax: float) -> list[float]:
        """Return the coarsest round numbers that put enough ticks between two positive numbers."""
        decades = range(math.floor(math.log10(vmin)), math.ceil(math.log10(vmax)) + 1)
        for digits in self.DIGITS:
            ticks = [digit * 10.0**decade for decade in decades for digit in digits]
            inside = [tick for tick in ticks if vmin <= tick <= vmax]
            if len(inside) >= self.FEWEST:
                return inside
        return [float(tick) for tick in MaxNLocator(5).tick_values(vmin, vmax) if vmin <= tick <= vmax]


def plain_log(axis: Axis) -> None:
    """Label a logarithmic axis with plain numbers."""
    axis.set_major_locator(PlainLogLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def share_limits(axes: list[Axes]) -> None:
    """Give all panels one range of y."""
    low, high = min(panel.get_ylim()[0] for panel in axes), max(panel.get_ylim()[1] for panel in axes)
    for panel in axes:
        panel.set_ylim(low, high)


def limit_errors(axes: list[Axes], errors: list[Floats]) -> None:
    """Keep wide intervals from hiding the points: show at most a factor 1.6 beyond the most extreme seed."""
    values = np.concatenate([each.ravel() for each in errors])
    values = values[values > 0]
    for panel in axes:
        low, high = panel.get_ylim()
        if len(values):
            panel.set_ylim(max(low, values.min() / 1.6), min(high, values.max() * 1.6))


def limit_margin(panel: Axes, margin: float, ratios: list[float]) -> None:
    """Show the margin, all ratios and something of every interval, cut at three times the larger of their gaps to 1."""
    gap = 3 * max(margin - 1, *(abs(ratio - 1) for ratio in ratios if not math.isnan(ratio)))
    low, high = panel.get_ylim()
    panel.set_ylim(max(low, 1 - gap, 0), max(min(high, 1 + gap), 1 + 1.6 * (margin - 1)))


def limit_mean(panel: Axes, highest: float) -> None:
    """Start at 0, and keep wide intervals from hiding the points: show at most twice the highest mean."""
    top = panel.get_ylim()[1]
    panel.set_ylim(0, min(top, 2 * highest) if highest > 0 else top)


def limit_ratio(panel: Axes, findings: Findings) -> None:
    """Keep wide intervals from hiding the points: show at most a factor 5 beyond the most extreme ratio."""
    study = findings.convergence
    values = [study.speed_up(name, count).ratio.value for name in findings.headline for count in study.targets]
    known = [value for value in values if not np.isnan(value)] or [1.0]
    low, high = panel.get_ylim()
    panel.set_ylim(max(low, min(known) / 5), min(high, max(known) * 5))

"""The figures of pretraining epochs: the error at each number of them, and which numbers are enough.

In: Findings. Out: one panel for each arm that was pretrained on the way; epochs are spaced evenly, whatever they are.
"""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedFormatter, FixedLocator

from analysis.figures.axes import error_axis, limit_errors, limit_margin, share_limits
from analysis.figures.drawing import Drawing, tip
from analysis.figures.panels import drawn, legend, look, panels, shades, whiskers, wrap
from analysis.findings import Findings
from analysis.pretraining.epochs_study import epoch_ladder
from analysis.scores.mean_error import mean_error_ends


def pretraining_epochs(findings: Findings) -> Drawing | None:
    """Draw mean test error with its interval against pretraining epochs, a panel an arm, a line a label count."""
    arms = [str(arm) for arm in findings.variants.loc[findings.variants["pretraining_epochs"] > 0, "arm"].unique()]
    if not arms:
        return None
    figure, axes = panels(len(arms), 3, 3.1, 3.0)
    colours, shifts = shades(len(findings.label_counts)), np.linspace(-0.12, 0.12, len(findings.label_counts))
    for panel, arm in zip(axes, arms, strict=True):
        ladder = epoch_ladder(findings.variants, arm)
        curves, level = (findings.curves[variant] for variant in ladder.values()), findings.results.options.confidence
        ends = np.stack([mean_error_ends(curve.logs, level) for curve in curves])  # (epochs, end, count)
        for index, count in enumerate(findings.label_counts):
            places = np.arange(len(ladder)) + shifts[index]
            panel.plot(places, ends[:, 0, index], marker="o", ms=5, color=colours[index], lw=1.5, label=f"{count:.0f}")
            whiskers(panel, places, ends[:, 1, index], ends[:, 2, index], colours[index])
        _epoch_axis(panel, list(ladder), arm)
        error_axis(panel)
    share_limits(axes)
    limit_errors(axes, list(findings.errors.values()))
    legend(figure, axes[0], len(findings.label_counts), title=f"labelled {findings.results.label_unit}")
    return drawn("pretraining_epochs", findings, figure)


def enough_epochs(findings: Findings) -> Drawing | None:
    """Draw each number of epochs as a ratio to the lowest mean error, with interval and margin, a panel an arm."""
    studies = [each for each in findings.epochs if each.measure == "error" and each.label_count is None]
    if not studies:
        return None
    margin = 1 + findings.results.options.near_minimum
    figure, axes = panels(len(studies), 3, 3.1, 2.7)
    for panel, study in zip(axes, studies, strict=True):
        colour, marker = look(findings, str(findings.variants.query("arm == @study.arm")["variant"].iloc[0]))
        ratios, places = study.result.ratios, np.arange(len(study.result.epochs), dtype=np.float64)
        panel.axhspan(1, margin, color="0.9", lw=0, zorder=0)
        panel.axhline(1, color="0.3", lw=1)
        panel.axhline(margin, color="0.3", lw=1, ls="--")
        panel.plot(places, [each.value for each in ratios], marker=marker, color=colour, ms=6, lw=1)
        lows, highs = (np.array([getattr(each, end) for each in ratios]) for end in ("low", "high"))
        whiskers(panel, places, lows, highs, colour)
        for place, ratio, verdict in zip(places, ratios, study.result.verdicts, strict=True):
            above: dict[str, Any] = {"xycoords": ("data", "axes fraction"), "ha": "center", "va": "top", "fontsize": 8}
            panel.annotate(verdict, (place, 0.99), bbox={"fc": "white", "lw": 0, "alpha": 0.8, "pad": 1}, **above)
            words = f"{ratio.value:.3f} times ({ratio.low:.3f} to {ratio.high:.3f}), {verdict}"
            tip(panel, place, ratio.value, study.arm, words)
        _epoch_axis(panel, list(study.result.epochs), study.arm)
        limit_margin(panel, margin, [each.value for each in ratios])
    axes[0].set_ylabel("error / lowest mean error")
    return drawn("enough_epochs", findings, figure)


def _epoch_axis(panel: Axes, epochs: list[int], arm: str) -> None:
    """Space numbers of epochs evenly, whatever they are."""
    panel.xaxis.set_major_locator(FixedLocator(list(range(len(epochs)))))
    panel.xaxis.set_major_formatter(FixedFormatter([str(number) for number in epochs]))
    panel.set_xlim(-0.4, len(epochs) - 0.6)
    panel.set_xlabel("pretraining epochs")
    panel.set_title(wrap(arm), fontsize=9)

"""Draw the findings.

In: Findings. Out: every figure that they have data for; what figures share is in ``panels``.
"""

from collections.abc import Callable
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.convergence.stopped_cells import curves_to_budget
from analysis.figures.axes import (
    error_axis,
    label_axis,
    limit_errors,
    limit_mean,
)
from analysis.figures.drawing import Drawing, arm_id, tip
from analysis.figures.epochs_figures import enough_epochs, pretraining_epochs
from analysis.figures.equivalence_figure import label_equivalence
from analysis.figures.example_figure import draw_examples
from analysis.figures.law_figure import fitted_laws
from analysis.figures.panels import FIGURE_STYLE, drawn, legend, look, panels, short, whiskers
from analysis.figures.ratio_figure import paired_differences
from analysis.figures.speed_figure import speed_ups
from analysis.figures.time_figure import time_to_target
from analysis.findings import Findings
from analysis.intervals.uncertainty import Floats, t_interval
from analysis.scores.distances import mean_distance
from analysis.scores.mean_error import mean_error_ends
from analysis.scores.volumes import mean_ejection_error


def draw_all(findings: Findings) -> list[Drawing]:
    """Draw every figure that the findings have data for."""
    makers: list[Callable[[Findings], Drawing | None]] = [
        error_vs_labels,
        fitted_laws,
        paired_differences,
        label_equivalence,
        convergence_curves,
        time_to_target,
        speed_ups,
        pretraining_epochs,
        enough_epochs,
        distances_and_ejection,
    ]
    with matplotlib.rc_context(FIGURE_STYLE):
        drawings = [make(findings) for make in makers]
        return [*draw_examples(findings), *(drawing for drawing in drawings if drawing)]


def error_vs_labels(findings: Findings) -> Drawing | None:
    """Draw the mean test error with its interval against labels, all headline variants, every seed a faint point."""
    figure, axes = panels(1, 1, 8.2, 4.6)
    shifts = np.geomspace(0.94, 1.06, len(findings.headline))
    for variant, shift in zip(findings.headline, shifts, strict=True):
        colour, marker = look(findings, variant)
        errors, places = findings.errors[variant], findings.label_counts * shift
        seeds, columns = np.nonzero(~np.isnan(errors))
        faint: dict[str, Any] = {"ms": 3.5, "alpha": 0.35, "gid": arm_id(variant)}
        axes[0].plot(places[columns], errors[seeds, columns], marker, color=colour, **faint)
        means, lows, highs = mean_error_ends(findings.curves[variant].logs, findings.results.options.confidence)
        known = ~np.isnan(means)
        line: dict[str, Any] = {"marker": marker, "ms": 6, "lw": 1.6, "label": short(variant), "gid": arm_id(variant)}
        axes[0].plot(places[known], means[known], color=colour, **line)
        whiskers(axes[0], places, lows, highs, colour, variant)
        for index, count in enumerate(findings.label_counts):
            words = f"{count:.0f} {findings.results.label_unit}, error {means[index]:.3f}"
            tip(axes[0], places[index], means[index], variant, words + _spread(errors[:, index], lows, highs, index))
    label_axis(axes[0], findings)
    error_axis(axes[0])
    limit_errors(axes, [findings.errors[variant] for variant in findings.headline])
    legend(figure, axes[0], 2)
    return drawn("error_vs_labels", findings, figure)


def _spread(errors: Floats, lows: Floats, highs: Floats, index: int) -> str:
    """Say a point's interval, and the median and range of its seeds."""
    seeds = errors[~np.isnan(errors)]
    if not len(seeds):
        return ""
    interval = "no interval" if np.isnan(lows[index]) else f"{lows[index]:.3f} to {highs[index]:.3f}"
    return (
        f" ({interval}), median {np.median(seeds):.3f}, {seeds.min():.3f} to {seeds.max():.3f} over {len(seeds)} seeds"
    )


def convergence_curves(findings: Findings) -> Drawing | None:
    """Draw mean validation Dice against steps at the fewest, a middle and the most labels, with t
    intervals.
    """
    counts = [int(count) for count in findings.label_counts]
    chosen = sorted({counts[0], counts[len(counts) // 2], counts[-1]})
    names = ["cell_id", "variant", "label_count", "seed", "budget_steps"]
    curves = findings.results.curves.merge(findings.results.cells[names])
    if curves["val_dice"].isna().all():
        return None
    figure, axes = panels(len(chosen), 3, 3.1, 3.3)
    for panel, count in zip(axes, chosen, strict=False):
        for variant in findings.headline:
            rows = curves[(curves["variant"] == variant) & (curves["label_count"] == count)]
            if not rows.empty:
                table = curves_to_budget(rows)
                _band(
                    panel,
                    table.index.to_numpy(dtype=np.float64),
                    table.to_numpy(dtype=np.float64),
                    findings,
                    variant,
                )
        if count in findings.convergence.targets:
            panel.axhline(findings.convergence.targets[count], color="0.2", lw=1, ls="--")
        panel.set_title(f"{count} {findings.results.label_unit}", fontsize=9.5)
        panel.set_xlabel("optimiser step")
        panel.set_ylim(0, 1)
    axes[0].set_ylabel("validation Dice")
    legend(figure, axes[0], 2)
    return drawn("convergence", findings, figure)


def distances_and_ejection(findings: Findings) -> Drawing | None:
    """Draw mean HD95 against labels, and the error of the ejection fraction where the data have one."""
    level = findings.results.options.confidence
    distances = mean_distance(findings.distances, level)
    if distances["unit"].nunique() != 1:  # none was measured, or means would mix millimetres and pixels
        return None
    unit = distances["unit"].iloc[0]
    shown = [("hd95", f"HD95, {unit}", distances)]
    if len(findings.ejection_fractions):
        ejection = mean_ejection_error(findings.ejection_fractions, level)
        shown.append(("error_points", "ejection fraction error, points", ejection))
    figure, axes = panels(len(shown), 2, 4.6, 3.9)
    for panel, (column, words, table) in zip(axes, shown, strict=True):
        _mean_lines(panel, findings, table, column)
        label_axis(panel, findings)
        panel.set_ylabel(words)
        limit_mean(panel, table.loc[table["variant"].isin(findings.headline), column].max())
    legend(figure, axes[0], 2)
    return drawn("distances_and_ejection", findings, figure)


def _mean_lines(panel: Axes, findings: Findings, table: pd.DataFrame, column: str) -> None:
    """Draw a mean against labels with its interval for every headline variant."""
    for variant, shift in zip(findings.headline, np.geomspace(0.97, 1.03, len(findings.headline)), strict=True):
        colour, marker = look(findings, variant)
        rows = table[table["variant"] == variant].sort_values("label_count")
        places, values = rows["label_count"].to_numpy() * shift, rows[column].to_numpy()
        panel.plot(places, values, marker=marker, color=colour, ms=5, lw=1.4, label=short(variant), gid=arm_id(variant))
        lows, highs = rows[f"{column}_low"].to_numpy(), rows[f"{column}_high"].to_numpy()
        panel.vlines(places, lows, highs, color=colour, lw=2, alpha=0.5, gid=arm_id(variant))
        for place, count, value, low, high in zip(places, rows["label_count"], values, lows, highs, strict=True):
            interval = "no interval" if np.isnan(low) else f"{low:.1f} to {high:.1f}"
            tip(panel, place, value, variant, f"{count} {findings.results.label_unit}, {value:.1f} ({interval})")


def _band(panel: Axes, steps: Floats, values: Floats, findings: Findings, variant: str) -> None:
    """Draw mean and t interval over seeds of (step, seed) values."""
    colour, marker = look(findings, variant)
    estimates = [t_interval(row, findings.results.options.confidence) for row in values]
    means, lows, highs = (np.array([getattr(e, end) for e in estimates]) for end in ("value", "low", "high"))
    panel.fill_between(steps, lows.clip(0, 1), highs.clip(0, 1), color=colour, alpha=0.15, lw=0, gid=arm_id(variant))
    panel.plot(
        steps,
        means,
        color=colour,
        lw=1.6,
        label=short(variant),
        marker=marker,
        ms=4,
        markevery=max(1, len(steps) // 6),
        gid=arm_id(variant),
    )

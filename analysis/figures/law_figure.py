"""The figure of fitted laws: measured points, the law with its band, and beyond the most labels its extrapolation.

In: Findings. Out: one panel for each arm. What is extrapolated lies on another shade, is dashed and says so; it ends
at ten times the most labels, as the labels that the law foretells do.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedFormatter, FixedLocator

from analysis.figures.axes import error_axis, label_axis, share_limits
from analysis.figures.drawing import Drawing
from analysis.figures.panels import drawn, look, panels, wrap
from analysis.findings import Findings
from analysis.intervals.uncertainty import Floats
from analysis.labels.labels_needed import EXTRAPOLATION
from analysis.labels.law_fit import LawFit
from analysis.scores.error_curve import SMALLEST_ERROR

SHADE = "0.93"


def fitted_laws(findings: Findings) -> Drawing | None:
    """Draw each headline variant's points with its fitted law and band, one panel per variant."""
    figure, axes = panels(len(findings.headline), 3, 3.2, 2.7)
    counts, furthest = findings.label_counts, findings.label_counts[-1]
    if any(isinstance(findings.laws[variant], LawFit) for variant in findings.headline):
        furthest = EXTRAPOLATION * counts[-1]
    reference = findings.mean_errors(findings.reference)
    known = ~np.isnan(reference)
    for panel, variant in zip(axes, findings.headline, strict=True):
        colour, marker = look(findings, variant)
        panel.plot(counts[known], reference[known], color="0.55", lw=1, ls=":")
        seeds, columns = np.nonzero(~np.isnan(findings.errors[variant]))
        errors = findings.errors[variant][seeds, columns]
        panel.plot(counts[columns], errors, marker, color=colour, ms=4, alpha=0.7)
        _draw_law(panel, findings, variant)
        panel.set_title(wrap(variant), fontsize=9)
        label_axis(panel, findings)
        error_axis(panel)
        if furthest > counts[-1]:
            _shade_extrapolation(panel, counts, furthest)
    share_limits(axes)
    _keep_points_apart(axes, findings)
    return drawn("fitted_laws", findings, figure)


def _draw_law(panel: Axes, findings: Findings, variant: str) -> None:
    """Draw the law over the measured label counts and, paler and dashed, beyond them; or say that there is none."""
    fit, counts = findings.laws[variant], findings.label_counts
    words = "no law fitted"
    if isinstance(fit, LawFit):
        colour, _ = look(findings, variant)
        inside = np.geomspace(counts[0], counts[-1], 100)
        beyond = np.geomspace(counts[-1], EXTRAPOLATION * counts[-1], 60)
        for grid, alpha, style in ((inside, 0.2, "-"), (beyond, 0.12, "--")):
            low, high = fit.band(grid, findings.results.options.confidence)
            panel.fill_between(grid, low, high, color=colour, alpha=alpha, lw=0)
            panel.plot(grid, fit.law.error(grid), color=colour, lw=1.6, ls=style)
        words = _law_text(fit)
    panel.text(0.03, 0.04, words, transform=panel.transAxes, ha="left", va="bottom", fontsize=8.5)


def _shade_extrapolation(panel: Axes, counts: Floats, furthest: float) -> None:
    panel.axvspan(counts[-1], furthest, color=SHADE, lw=0, zorder=0)
    middle = float(np.sqrt(counts[-1] * furthest))
    panel.text(
        middle,
        0.97,
        "extrapolated",
        transform=panel.get_xaxis_transform(),
        ha="center",
        va="top",
        fontsize=8,
        color="0.35",
    )
    ticks = _spaced([*counts, furthest])
    panel.xaxis.set_major_locator(FixedLocator(ticks))
    panel.xaxis.set_major_formatter(FixedFormatter([f"{tick:.0f}" for tick in ticks]))
    panel.tick_params(axis="x", labelrotation=0, labelsize=8)
    panel.set_xlim(counts[0] / 1.25, furthest)


def _spaced(ticks: list[float]) -> list[float]:
    """Keep the last two ticks, and of those before them the ones whose numbers do not run into each other."""
    closest = 0.11 * np.log(ticks[-1] / ticks[0])
    kept = [ticks[-1], ticks[-2]]
    for tick in reversed(ticks[:-2]):
        if np.log(kept[-1] / tick) >= closest:
            kept.append(tick)
    return [float(tick) for tick in reversed(kept)]


def _keep_points_apart(axes: list[Axes], findings: Findings) -> None:
    """Keep bands of extrapolations that know nothing from hiding the points."""
    errors = np.concatenate([findings.errors[variant].ravel() for variant in findings.headline])
    laws = [fit.law.error(np.array([EXTRAPOLATION * findings.label_counts[-1]])) for fit in _fits(findings)]
    lowest = max(SMALLEST_ERROR, min([float(np.nanmin(errors)), *(float(each[0]) for each in laws)]))
    highest = max(lowest, float(np.nanmax(errors)))
    for panel in axes:
        low, high = panel.get_ylim()
        panel.set_ylim(max(low, lowest / 2), min(high, 2 * highest))


def _fits(findings: Findings) -> list[LawFit]:
    return [fit for fit in (findings.laws[variant] for variant in findings.headline) if isinstance(fit, LawFit)]


def _law_text(fit: LawFit) -> str:
    law, floor = fit.law, f"{fit.law.floor:.3f}"
    values = dict(zip(law.family.parameters, law.parameters, strict=True))
    if law.family.name not in ("power", "power with floor"):
        return f"{law.family.name}, floor {floor}"
    fall = f"{np.exp(values['log_scale']):.2f}·n^-{values['exponent']:.2f}"
    return f"e = {floor} + {fall}" if law.family.has_floor else f"e = {fall}"

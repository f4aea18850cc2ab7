"""The figure of label equivalence: how many labels of the reference an arm's labels are worth.

In: Findings. Out: one panel of both label counts with the diagonal of equal worth. Nothing is set apart sideways, since
a mark beside its place would seem to save labels or to lose some; a worth outside the measured counts has no place of
its own, so its mark lies at the edge, where no line leads.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from analysis.figures.axes import label_axis
from analysis.figures.drawing import Drawing, arm_id, tip
from analysis.figures.panels import drawn, legend, look, panels, short
from analysis.findings import Findings
from analysis.intervals.uncertainty import Floats
from analysis.labels.falling_curve import describe_labels, describe_labels_interval
from analysis.labels.labels_needed import LabelEquivalence

BEYOND = 1.35  # times the outermost label counts: where the panel's edges lie


def label_equivalence(findings: Findings) -> Drawing | None:
    """Draw how many labels of the reference an arm's labels are worth, with marks at the edges beyond them."""
    figure, (panel,) = panels(1, 1, 8.2, 4.6)
    counts = findings.label_counts
    panel.plot(counts, counts, color="0.3", lw=1, ls="--", label=f"{short(findings.reference)} (equal worth)")
    for variant in findings.headline:
        if variant != findings.reference:
            _draw_arm(panel, findings, variant)
            _tell_numbers(panel, findings, variant)
    _worth_axis(panel, counts)
    label_axis(panel, findings)
    panel.set_ylabel(f"worth this many {findings.results.label_unit}\nof {short(findings.reference)}")
    legend(figure, panel, 2)
    return drawn("label_equivalence", findings, figure)


def _draw_arm(panel: Axes, findings: Findings, variant: str) -> None:
    """Draw marks at the measured counts, and between them the line where it is measured and the band."""
    (colour, marker), counts = look(findings, variant), findings.label_counts
    items, curve = findings.equivalences[variant], findings.equivalence_curves[variant]
    places, line = (np.array([item.label_count for item in each]) for each in (items, curve))
    worth, *_ = _worths(items, counts)
    middle, low, high = _worths(curve, counts)
    inside = (middle >= counts[0]) & (middle <= counts[-1])
    gid = arm_id(variant)
    panel.plot(places, worth, marker=marker, color=colour, ms=5.5, ls="none", gid=gid)
    panel.plot(line, np.where(inside, middle, np.nan), color=colour, lw=1.2, gid=gid)
    panel.plot([], [], marker=marker, color=colour, ms=5.5, lw=1.2, label=short(variant))
    panel.fill_between(line, low, high, color=colour, alpha=0.15, lw=0, gid=gid)


def _tell_numbers(panel: Axes, findings: Findings, variant: str) -> None:
    """Lay each mark's numbers on it."""
    items, counts = findings.equivalences[variant], findings.label_counts
    heights, *_ = _worths(items, counts)
    for item, height in zip(items, heights, strict=True):
        words = f"{item.label_count:.0f} are worth {describe_labels(item.worth.labels, counts, 'fewer than')}"
        interval = describe_labels_interval(item.worth.low, item.worth.high, counts, "fewer than")
        tip(panel, item.label_count, height, variant, f"{words} of {findings.reference} ({interval})")


def _worth_axis(panel: Axes, counts: Floats) -> None:
    """Give worths the ticks of the label counts, and mark what lies beyond these."""
    edges = counts[0] / BEYOND, counts[-1] * BEYOND
    for edge, words, align in zip(edges, ("fewer than measured", "more than measured"), ("top", "bottom"), strict=True):
        panel.axhline(edge, color="0.75", lw=0.8)
        panel.text(counts[-1] * 1.2, edge, words, fontsize=8, color="0.35", va=align, ha="right")
    panel.set_yscale("log")
    panel.yaxis.set_major_locator(FixedLocator(counts.tolist()))
    panel.yaxis.set_major_formatter(FixedFormatter([f"{count:.0f}" for count in counts]))
    panel.yaxis.set_minor_locator(NullLocator())
    panel.set_ylim(edges[0] / 1.3, edges[1] * 1.3)


def _worths(items: list[LabelEquivalence], counts: Floats) -> list[Floats]:
    """Return label equivalences with both ends, cut at the panel's edges."""
    values = ([getattr(item.worth, name) for item in items] for name in ("labels", "low", "high"))
    return [np.clip(np.array(each, dtype=np.float64), counts[0] / BEYOND, counts[-1] * BEYOND) for each in values]

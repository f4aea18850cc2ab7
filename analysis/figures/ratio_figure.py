"""Draw each arm's error over the reference's, at each label count.

In: Findings. Out: a figure, None without a second arm.
"""

from matplotlib.axes import Axes
from matplotlib.ticker import FixedFormatter, FixedLocator

from analysis.figures.axes import plain_log
from analysis.figures.drawing import Drawing, arm_id, tip
from analysis.figures.panels import drawn, look, panels, short, wrap
from analysis.findings import Findings

FARTHEST = 1.5  # times the most extreme ratio: beyond it intervals are cut


def paired_differences(findings: Findings) -> Drawing | None:
    """Draw the ratio of error to the reference's with its t interval, one panel per label count."""
    items = [d for d in findings.differences if d.variant in findings.headline and d.difference.estimate.num_seeds]
    counts = sorted({item.label_count for item in items})
    variants = [name for name in findings.headline if name != findings.reference]
    if not items:
        return None
    figure, axes = panels(len(counts), min(len(counts), 5), 1.75, 0.9 + 0.34 * len(variants), left=2.3)
    for panel, count in zip(axes, counts, strict=False):
        panel.axvline(1, color="0.3", lw=1)
        for item in (item for item in items if item.label_count == count):
            colour, marker = look(findings, item.variant)
            estimate, row = item.difference.ratio, variants.index(item.variant)
            gid = arm_id(item.variant)
            panel.plot([estimate.low, estimate.high], [row, row], color=colour, lw=2, gid=gid)
            panel.plot(estimate.value, row, marker, color=colour, ms=6, gid=gid)
            words = f"{count} {findings.results.label_unit}, {estimate.value:.2f}"
            words += f" ({estimate.low:.2f} to {estimate.high:.2f})" if estimate.is_known else " (no interval)"
            tip(panel, estimate.value, row, item.variant, words)
        panel.set_title(f"{count} {findings.results.label_unit}", fontsize=9)
        panel.set_ylim(len(variants) - 0.5, -0.5)
        panel.yaxis.set_major_locator(FixedLocator(list(range(len(variants)))))
        first = panel is axes[0] or len(counts) > 5
        panel.yaxis.set_major_formatter(FixedFormatter([wrap(name) if first else "" for name in variants]))
        _ratio_axis(panel, [item.difference.ratio.value for item in items if item.label_count == count])
        panel.tick_params(labelsize=8)
    figure.supxlabel(f"error / error of {short(findings.reference)}   (left of 1: better)", fontsize=9)
    return drawn("paired_differences", findings, figure)


def _ratio_axis(panel: Axes, ratios: list[float]) -> None:
    """Make the x axis a logarithmic one that shows 1 and all ratios, and intervals not far beyond them."""
    low, high = panel.get_xlim()
    panel.set_xscale("log")
    panel.set_xlim(max(low, min(1.0, *ratios) / FARTHEST), min(high, max(1.0, *ratios) * FARTHEST))
    plain_log(panel.xaxis)

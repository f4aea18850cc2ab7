"""Draw how many times as fast as the reference each arm reaches the common target, at each label count.

In: Findings. Out: a figure, None without a target or a second arm.
"""

import numpy as np
from matplotlib.path import Path
from numpy.typing import NDArray

from analysis.answers.speed_answer import NOT_REACHED
from analysis.convergence.survival import SpeedUp
from analysis.figures.axes import label_axis, limit_ratio, plain_log
from analysis.figures.drawing import Drawing, arm_id, tip
from analysis.figures.panels import drawn, legend, look, panels, short
from analysis.findings import Findings


def _arrow(tip_at: float) -> Path:
    """Return a shaft and its head, which points up with 1 and down with -1."""
    head = [(-0.45, 0.4 * tip_at), (0.0, tip_at), (0.45, 0.4 * tip_at)]
    codes = [Path.MOVETO, Path.LINETO, Path.MOVETO, Path.LINETO, Path.LINETO]
    return Path([(0.0, -tip_at), (0.0, tip_at), *head], codes)


UP, DOWN = _arrow(1.0), _arrow(-1.0)  # ends of intervals that go on


def speed_ups(findings: Findings) -> Drawing | None:
    """Draw the speed-up against the reference for every headline variant and label count."""
    study = findings.convergence
    variants = [name for name in findings.headline if name != findings.reference]
    counts = list(study.targets)
    if not variants or not counts:
        return None
    figure, axes = panels(1, 1, 8.2, 4.2)
    panel = axes[0]
    panel.axhline(1.0, color="0.3", lw=1)
    shifts = np.geomspace(0.9, 1.1, len(variants))
    for variant, shift in zip(variants, shifts, strict=True):
        colour, marker = look(findings, variant)
        results = {count: study.speed_up(variant, count) for count in counts}
        x = np.array(counts) * shift
        values = np.array([result.ratio.value for result in results.values()])
        exact = np.array([result.bound == "exact" for result in results.values()])
        low, high = (np.array([getattr(r.ratio, end) for r in results.values()]) for end in ("low", "high"))
        panel.vlines(x, low, high, color=colour, lw=2, alpha=0.5, gid=arm_id(variant))
        for ends, uncut, arrow in ((low, "low", DOWN), (high, "high", UP)):
            is_open = _open_ends(list(results.values()), uncut)
            panel.plot(x[is_open], ends[is_open], marker=arrow, color=colour, ms=9, ls="none", gid=arm_id(variant))
        panel.plot(x, values, color=colour, lw=0.8, alpha=0.6, gid=arm_id(variant))
        for chosen, face in ((exact, colour), (~exact, "white")):
            panel.plot(x[chosen], values[chosen], marker, mec=colour, mfc=face, ms=6, ls="none", gid=arm_id(variant))
        for place, (count, result) in zip(x, results.items(), strict=True):
            ratio = result.ratio
            words = (
                f"{count} {findings.results.label_unit}, {ratio.value:.2f} times ({ratio.low:.2f} to {ratio.high:.2f})"
            )
            tip(panel, place, ratio.value, variant, f"{words}, {result.bound}")
        panel.plot([], [], marker, color=colour, ms=6, label=short(variant))
    drawn_arrows = {line.get_marker() for line in panel.lines if np.size(line.get_xdata())}
    for arrow, whose in ((DOWN, "the arm"), (UP, "the reference")):
        if arrow in drawn_arrows:
            words = f"open end: runs of {whose} {NOT_REACHED} {study.within()}"
            panel.plot([], [], marker=arrow, color="0.4", ms=9, ls="none", label=words)
    label_axis(panel, findings)
    panel.set_yscale("log")
    plain_log(panel.yaxis)
    limit_ratio(panel, findings)
    panel.set_ylabel(f"times as fast as\n{short(findings.reference)}")
    legend(figure, panel, 2)
    return drawn("speed_up", findings, figure)


def _open_ends(results: list[SpeedUp], end: str) -> NDArray[np.bool_]:
    """Return which intervals have no such end, since runs that did not reach the target hide how far they go."""
    return np.array([result.ratio.is_known and getattr(result.uncut, end) in (0.0, np.inf) for result in results])

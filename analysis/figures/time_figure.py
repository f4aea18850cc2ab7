"""The figure of times to the target: the share of runs that have reached it against steps, for each arm.

In: the ConvergenceStudy of the configured target. Out: a Kaplan-Meier panel at the fewest, a middle and the most
labels. Source: ``convergence.kaplan_meier``.
"""

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from analysis.convergence.survival import kaplan_meier
from analysis.figures.drawing import Drawing, arm_id
from analysis.figures.panels import drawn, legend, look, panels, short
from analysis.findings import Findings
from analysis.intervals.uncertainty import Floats


def time_to_target(findings: Findings) -> Drawing | None:
    """Draw one panel for each of up to three label counts; censored runs are ticks where they end."""
    counts = list(findings.convergence.targets)
    if not counts:
        return None
    chosen = sorted({counts[0], counts[len(counts) // 2], counts[-1]})
    figure, axes = panels(len(chosen), 3, 3.1, 3.3)
    for panel, count in zip(axes, chosen, strict=True):
        for place, variant in enumerate(findings.headline):
            steps, is_reached = findings.convergence.runs_of(variant, count)
            if len(steps):
                _staircase(panel, steps, is_reached, findings, variant, 0.006 * place)
        panel.set_title(
            f"{count} {findings.results.label_unit}, target {findings.convergence.targets[count]:.2f}", fontsize=9.5
        )
        panel.set_xlabel("optimiser step")
        panel.set_xlim(left=0)
        panel.set_ylim(-0.03, 1.06)
    axes[0].set_ylabel("share of runs at the target")
    legend(figure, axes[0], 2)
    return drawn("time_to_target", findings, figure)


def reached_share(steps: Floats, is_reached: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Return the corners of the staircase: steps from 0 to the last run's end, and 1 - Kaplan-Meier's estimate."""
    times, waiting = kaplan_meier(steps, is_reached)
    x = np.concatenate([[0.0], times, [float(steps.max())]])
    shares = np.concatenate([[0.0], 1.0 - waiting])
    return x, np.concatenate([shares, shares[-1:]])


def _staircase(
    panel: Axes, steps: Floats, is_reached: NDArray[np.bool_], findings: Findings, variant: str, lift: float
) -> None:
    """Draw one arm; ``lift`` sets arms that lie on one another slightly apart."""
    colour, marker = look(findings, variant)
    x, shares = reached_share(steps, is_reached)
    gid = arm_id(variant)
    panel.step(x, shares + lift, where="post", color=colour, lw=1.6, gid=gid)
    panel.plot([], [], marker=marker, color=colour, lw=1.6, ms=4.5, label=short(variant))
    if is_reached.any():
        panel.plot(x[1:-1], shares[1:-1] + lift, marker, color=colour, ms=4.5, gid=gid)
    if not is_reached.all():
        ends = steps[~is_reached]
        places = shares[np.searchsorted(x[:-1], ends, side="right") - 1] + lift
        panel.plot(ends, places, "|", color=colour, ms=11, mew=1.8, gid=gid)

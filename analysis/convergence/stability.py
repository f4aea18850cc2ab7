"""How high, how steady and how safe a run's validation curve is, beside the moment at which it reaches a target.

In: one validation Dice curve. Out: normalised area, spread after convergence, largest drawdown.
"""

from dataclasses import dataclass

import numpy as np

from analysis.intervals.uncertainty import Floats


@dataclass(frozen=True)
class Stability:
    """One run's curve in three numbers, all in units of Dice.

    ``area`` is the mean Dice over the steps by the trapezoidal rule: 1 for a run that is perfect from the first step.
    ``spread`` is the standard deviation of the evaluations from the target on, NaN for a run that never holds it.
    ``drawdown`` is the largest fall from any earlier evaluation.

    Note: the area mixes speed with the final level, so that a slow arm with a high end can equal a quick one with a low
    end. A still rising curve has spread without being unsteady, and noise of a small validation set counts as both.
    """

    area: float
    spread: float
    drawdown: float


def stability(steps: Floats, val_dice: Floats, reached_at: float) -> Stability:
    """Summarise a curve; ``reached_at`` is the step from which the target is held, infinite if never."""
    after = val_dice[steps >= reached_at]
    spread = float(after.std(ddof=1)) if len(after) > 1 else float("nan")
    return Stability(
        normalised_area(steps, val_dice), spread, float((np.maximum.accumulate(val_dice) - val_dice).max())
    )


def normalised_area(steps: Floats, val_dice: Floats) -> float:
    """Return the mean height of a curve over its steps."""
    width = float(steps[-1] - steps[0])
    heights = (val_dice[1:] + val_dice[:-1]) / 2
    return float((np.diff(steps) * heights).sum() / width) if width > 0 else float(val_dice[0])

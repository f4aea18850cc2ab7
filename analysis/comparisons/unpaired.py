"""The difference between two experiments' means of one arm: paired where both share seeds and patients.

In: errors (seed, patient) of both. Out: a difference with interval and the way in which it was found.
Sources: ``crossed_effects`` for each mean's variance over seeds and patients; ``cochran_t`` for their difference, the
case that the method was made for.
"""

import math
from dataclasses import dataclass

import numpy as np

from analysis.comparisons.comparison import paired_difference
from analysis.intervals.cochran_t import half_width, p_below
from analysis.intervals.crossed_effects import crossed_mean
from analysis.intervals.uncertainty import Estimate, Floats


@dataclass(frozen=True)
class Contrast:
    """The second mean minus the first. ``num_seeds`` of the estimate is the smaller of both."""

    estimate: Estimate
    p_value: float
    method: str  # paired | independent


def independent_difference(first: Floats, second: Floats, confidence: float) -> Contrast:
    """Return mean(second) - mean(first) of independent (seed, patient) matrices; NaN rows are left out.

    Note: of two experiments that share test patients or seeds in part this is too wide, never too narrow.
    """
    means = [crossed_mean(values[~np.isnan(values).any(axis=1)]) for values in (first, second)]
    gap, num_seeds = float(means[1].mean - means[0].mean), min(each.num_seeds for each in means)
    if num_seeds < 2:
        return Contrast(Estimate(gap, math.nan, math.nan, num_seeds), math.nan, "independent")
    parts, degrees = (np.concatenate(each) for each in zip(*((m.parts, m.degrees) for m in means), strict=True))
    half = float(half_width(parts, degrees, confidence))
    p_value = min(1.0, 2 * float(p_below(np.asarray(-abs(gap)), parts, degrees)))
    return Contrast(Estimate(gap, gap - half, gap + half, num_seeds), p_value, "independent")


def paired_contrast(first: Floats, second: Floats, confidence: float) -> Contrast:
    """Return mean(second - first) of matrices whose rows are the same seeds and whose columns the same patients."""
    found = paired_difference(second, first, confidence)
    return Contrast(found.estimate, found.p_value, "paired")

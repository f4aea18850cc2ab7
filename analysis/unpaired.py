"""The difference between two experiments' means of one arm: paired where both share seeds and patients.

In: errors (seed, patient) of both. Out: a difference with interval and the way in which it was found.
Sources: ``crossed_effects`` for each mean's variance over seeds and patients; Welch (1947) for the degrees of freedom
of their difference.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from analysis.comparison import paired_difference
from analysis.crossed_effects import crossed_mean
from analysis.uncertainty import Estimate, Floats


@dataclass(frozen=True)
class Contrast:
    """The second mean minus the first. ``num_seeds`` of the estimate is the smaller of both."""

    estimate: Estimate
    p_value: float
    method: str  # paired | Welch


def welch_difference(first: Floats, second: Floats, confidence: float) -> Contrast:
    """Return mean(second) - mean(first) of independent (seed, patient) matrices; NaN rows are left out.

    Note: of two experiments that share test patients or seeds in part this is too wide, never too narrow.
    """
    parts = [crossed_mean(values[~np.isnan(values).any(axis=1)]) for values in (first, second)]
    gap, num_seeds = float(parts[1].mean - parts[0].mean), min(part.num_seeds for part in parts)
    if num_seeds < 2:
        return Contrast(Estimate(gap, math.nan, math.nan, num_seeds), math.nan, "Welch")
    variances = [float(part.standard_error) ** 2 for part in parts]
    spread = sum(v**2 / float(part.degrees) for v, part in zip(variances, parts, strict=True))
    if spread == 0:
        return Contrast(Estimate(gap, gap, gap, num_seeds), float(gap == 0), "Welch")
    degrees, error = sum(variances) ** 2 / spread, math.sqrt(sum(variances))
    half = float(stats.t.ppf(0.5 + confidence / 2, degrees)) * error
    p_value = 2 * float(stats.t.sf(abs(gap) / error, degrees))
    return Contrast(Estimate(gap, gap - half, gap + half, num_seeds), p_value, "Welch")


def paired_contrast(first: Floats, second: Floats, confidence: float) -> Contrast:
    """Return mean(second - first) of matrices whose rows are the same seeds and whose columns the same patients."""
    found = paired_difference(second, first, confidence)
    return Contrast(found.estimate, found.p_value, "paired")

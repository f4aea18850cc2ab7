"""Estimates with intervals where the unit of replication is the seed, never the slice or the epoch.

In: one number per seed, or a seed x label-count matrix. Out: estimates. Source: Student (1908) t interval.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

Floats = NDArray[np.float64]
FEW_SEEDS = 5


@dataclass(frozen=True)
class Estimate:
    """A value with its interval; the interval is NaN where one seed leaves it unknown."""

    value: float
    low: float
    high: float
    num_seeds: int

    @property
    def is_known(self) -> bool:
        """Whether there is an interval at all."""
        return not (math.isnan(self.low) or math.isnan(self.high))

    def excludes(self, number: float) -> bool:
        """Return whether the interval is known and lies wholly on one side of ``number``."""
        return self.is_known and (self.low > number or self.high < number)

    def exponential(self) -> "Estimate":
        """Return the estimate of exp(x): from log ratios to ratios; an end beyond all numbers is infinite."""
        with np.errstate(over="ignore"):
            value, low, high = (float(end) for end in np.exp([self.value, self.low, self.high]))
        return Estimate(value, low, high, self.num_seeds)


UNKNOWN = Estimate(math.nan, math.nan, math.nan, 0)


def t_interval(values: Floats, confidence: float) -> Estimate:
    """Return the mean of one number per seed with its Student t interval; NaN values are left out.

    Note: with n seeds there are n - 1 degrees of freedom. At 2 seeds the 95% interval is 12.7 standard
    errors to each side, so that almost nothing can be told apart; that is the data's fault, not the method's.
    """
    values = values[~np.isnan(values)]
    count = len(values)
    if count == 0:
        return UNKNOWN
    mean = float(values.mean())
    if count == 1:
        return Estimate(mean, math.nan, math.nan, 1)
    half = float(stdtrit(count - 1, 0.5 + confidence / 2)) * float(values.std(ddof=1)) / math.sqrt(count)
    return Estimate(mean, mean - half, mean + half, count)


def complete_counts(known: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Choose label counts to average over, from (seed, label count): those that every seed with any result
    has.

    A mean over label counts is comparable between seeds only where they have the same ones, and seeds are
    dearer than label counts. Where no label count is complete, all with any result are chosen and incomplete
    seeds drop out.
    """
    present = known[known.any(axis=1)]
    if len(present) == 0:
        return np.zeros(known.shape[1], dtype=np.bool_)
    complete = present.all(axis=0)
    return np.asarray(complete if complete.any() else present.any(axis=0), dtype=np.bool_)

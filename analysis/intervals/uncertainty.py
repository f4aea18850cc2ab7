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
ROUNDING = 1e-9  # of errors and of differences of their logs: those that differ by less are equal


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
    errors to each side, so that almost nothing can be distinguished; that is the data's fault, not the method's.
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


def common_counts(known: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Choose label counts to average over, from (seed, label count) of what can be compared: all that any seed has.

    A mean over label counts is comparable between seeds only where they have the same ones, so the seeds that lack one
    drop out. While fewer than two are left (one, where no label count has two), the label count that the fewest seeds
    have drops out instead; of equal ones that with more labels, so that the fewest labels stay longest.
    """
    numbers = known.sum(axis=0)
    chosen = np.asarray(numbers > 0, dtype=np.bool_)
    while chosen.sum() > 1 and known[:, chosen].all(axis=1).sum() < min(2, numbers.max()):
        fewest = np.flatnonzero(chosen & (numbers == numbers[chosen].min()))
        chosen[fewest[-1]] = False
    return chosen

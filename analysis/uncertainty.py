"""Intervals and tests where the unit of replication is the seed, never the slice, the patient or the epoch.

In: one number per seed, or a seed x label-count matrix. Out: estimates with intervals.
Sources: Student (1908) t interval; Efron (1979) percentile bootstrap; Holm (1979) step-down adjustment.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

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
        """Return the estimate of exp(x): from log ratios to ratios."""
        return Estimate(math.exp(self.value), math.exp(self.low), math.exp(self.high), self.num_seeds)


UNKNOWN = Estimate(math.nan, math.nan, math.nan, 0)


@dataclass(frozen=True)
class PairedDifference:
    """The mean difference between two arms over the seeds that both have, with its two-sided t test."""

    estimate: Estimate
    p_value: float


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
    half = float(stats.t.ppf(0.5 + confidence / 2, count - 1)) * float(values.std(ddof=1)) / math.sqrt(count)
    return Estimate(mean, mean - half, mean + half, count)


def paired_difference(values: Floats, reference: Floats, confidence: float) -> PairedDifference:
    """Return mean(values - reference) over seeds; both have one entry per seed in the same order, NaN where
    missing.

    Note: pairing removes what the subset of labelled slices adds to both arms; it assumes differences that
    are roughly normal. Differences that are all equal give an interval of width 0, which is a sign of too
    few distinct seeds.
    """
    differences = values - reference
    differences = differences[~np.isnan(differences)]
    estimate = t_interval(differences, confidence)
    if estimate.num_seeds < 2:
        return PairedDifference(estimate, math.nan)
    error = float(differences.std(ddof=1)) / math.sqrt(estimate.num_seeds)
    if error == 0.0:
        return PairedDifference(estimate, 0.0 if estimate.value else 1.0)
    p_value = 2.0 * float(stats.t.sf(abs(estimate.value) / error, estimate.num_seeds - 1))
    return PairedDifference(estimate, p_value)


def holm(p_values: Sequence[float]) -> Floats:
    """Adjust p-values for the number of comparisons, step down; NaN stays NaN and does not count as a
    comparison.
    """
    values = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full_like(values, np.nan)
    known = np.flatnonzero(~np.isnan(values))
    running = 0.0
    for rank, index in enumerate(known[np.argsort(values[known], kind="stable")]):
        running = max(running, min(1.0, (len(known) - rank) * float(values[index])))
        adjusted[index] = running
    return adjusted


def draw_seeds(num_seeds: int, num_resamples: int, generator: np.random.Generator) -> NDArray[np.intp]:
    """Draw seeds with replacement, as indices of shape (resample, seed); one draw serves all arms, so they
    stay paired.
    """
    return generator.integers(0, num_seeds, size=(num_resamples, num_seeds)).astype(np.intp)


def median_over_seeds(errors: Floats) -> Floats:
    """Return the median over the second to last axis, leaving NaN out: (..., seed, label count) -> (...,
    label count).
    """
    ordered = np.sort(errors, axis=-2)  # NaN sorts last
    count = np.sum(~np.isnan(ordered), axis=-2)
    low = np.take_along_axis(ordered, np.maximum((count - 1) // 2, 0)[..., None, :], axis=-2)
    high = np.take_along_axis(ordered, np.maximum(count // 2, 0).clip(max=errors.shape[-2] - 1)[..., None, :], axis=-2)
    median: Floats = np.where(count > 0, (low + high)[..., 0, :] / 2, np.nan)
    return median


def percentile_interval(draws: Floats, confidence: float) -> tuple[float, float]:
    """Return the percentile bootstrap interval of draws; NaN draws are left out, infinite ones count as
    extremes.

    Note: with fewer than 5 seeds there are few distinct resamples (10 at 3 seeds) and the interval is too
    narrow.
    """
    draws = draws[~np.isnan(draws)]
    if len(draws) == 0:
        return math.nan, math.nan
    tail = (1 - confidence) / 2
    low = np.quantile(draws, tail, method="lower")
    high = np.quantile(draws, 1 - tail, method="higher")
    return float(low), float(high)


def is_replicated(errors: Floats) -> bool:
    """Return whether every label count with results has them from two seeds or more: (seed, label count).

    Without that a resample of seeds repeats one number, and its interval would be of width 0.
    """
    seeds = (~np.isnan(errors)).sum(axis=0)
    return bool((seeds[seeds > 0] > 1).all() and seeds.any())


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

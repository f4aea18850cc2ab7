"""Resampling of seeds and test patients, independently of each other, and intervals from the draws.

In: how many seeds and patients there are. Out: weights that serve every arm alike, so that arms stay paired;
intervals of medians, which have no t interval.
Source: the two-level ("pigeonhole") bootstrap of crossed effects, Owen (2007); Efron (1979) for percentiles.
"""

import math
from dataclasses import dataclass

import numpy as np

from analysis.intervals.uncertainty import Floats

BOOTSTRAP_SEED = 20220901  # any fixed number: the same results give the same page


@dataclass(frozen=True)
class TwoLevelDraws:
    """How often each seed and each patient was drawn: (resample, seed) and (resample, patient), shared by all arms.

    Note: with three seeds there are ten distinct draws of seeds, and their spread is a third too small; intervals for
    which a t interval exists are better taken from ``crossed_effects``.
    """

    seeds: Floats
    patients: Floats


def two_level_draws(
    num_seeds: int, num_patients: int, num_resamples: int, generator: np.random.Generator
) -> TwoLevelDraws:
    """Draw seeds and patients with replacement, each as often as there are of them."""
    seeds = generator.multinomial(num_seeds, np.full(num_seeds, 1 / num_seeds), size=num_resamples)
    patients = generator.multinomial(num_patients, np.full(num_patients, 1 / num_patients), size=num_resamples)
    return TwoLevelDraws(seeds.astype(np.float64), patients.astype(np.float64))


def percentile_interval(draws: Floats, confidence: float) -> tuple[float, float]:
    """Return the percentile bootstrap interval of draws; NaN draws are left out, infinite ones count as extremes.

    Note: with fewer than five seeds there are few distinct resamples and the interval is too narrow.
    """
    draws = draws[~np.isnan(draws)]
    if len(draws) == 0:
        return math.nan, math.nan
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws, tail, method="lower"), np.quantile(draws, 1 - tail, method="higher")
    return float(low), float(high)


def median_intervals(errors: Floats, draws: TwoLevelDraws, confidence: float) -> tuple[Floats, Floats]:
    """Return the percentile interval of the median over seeds of the mean over patients, at each label count.

    In: (seed, patient, label count) errors, NaN where missing. A label count with one seed has no interval.
    Note: too narrow below five seeds; bias correction and acceleration (BCa) make it no better (docs/validation.md).
    """
    medians = resampled_medians(errors, draws)
    replicated = (~np.isnan(errors[:, 0])).sum(axis=0) > 1
    found = [
        percentile_interval(column, confidence) if known else (math.nan, math.nan)
        for column, known in zip(medians.T, replicated, strict=True)
    ]
    low, high = np.array(found).T
    return low, high


def resampled_medians(errors: Floats, draws: TwoLevelDraws) -> Floats:
    """Return these medians of every resample, (resample, label count); NaN where it holds no seed with a result."""
    num_seeds, num_patients, num_counts = errors.shape
    shares = draws.patients / draws.patients.sum(axis=1, keepdims=True)
    means = (shares @ errors.transpose(1, 0, 2).reshape(num_patients, -1)).reshape(-1, num_seeds, num_counts)
    order = np.argsort(means, axis=1)  # NaN last
    weights = draws.seeds[:, :, None] * ~np.isnan(means)
    totals = weights.sum(axis=1)
    reached = np.cumsum(np.take_along_axis(weights, order, axis=1), axis=1)
    ends = [
        np.take_along_axis(means, np.take_along_axis(order, place[:, None], 1), 1)[:, 0]
        for place in ((2 * reached >= totals[:, None]).argmax(1), (2 * reached > totals[:, None]).argmax(1))
    ]
    return np.asarray(np.where(totals > 0, (ends[0] + ends[1]) / 2, np.nan))

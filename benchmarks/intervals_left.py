"""What was tried and left, so that its rates can stand beside the report's in ``coverage.py``.

In: resamples, or (seed, patient) values; p-values. Out: both ends of an interval; adjusted p-values.
Sources: Efron (1987) for BCa; Satterthwaite (1946) and Hillis (2007) for one number of degrees of freedom; Shaffer
(1986), the first of its procedures, for all pairs of arms.
"""

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from analysis.intervals.uncertainty import Floats


def bca_interval(draws: Floats, value: float, pulls: Floats, confidence: float) -> tuple[float, float]:
    """Return the bias-corrected and accelerated interval of a statistic; ``pulls`` are what each seed does to it."""
    draws = draws[~np.isnan(draws)]
    below = float(np.clip((draws < value).mean() + (draws == value).mean() / 2, 0.01, 0.99))
    size = float((pulls**2).sum()) ** 1.5
    acceleration = float((pulls**3).sum()) / (6 * size) if size else 0.0
    bias, ends = stats.norm.ppf(below), stats.norm.ppf([0.5 - confidence / 2, 0.5 + confidence / 2])
    shares = stats.norm.cdf(bias + (bias + ends) / (1 - acceleration * (bias + ends)))
    low, high = np.quantile(draws, shares)
    return float(low), float(high)


def pulls_on_median(values: Floats) -> Floats:
    """Return the jackknife's estimate of what each value does to the median."""
    others = np.array([np.median(np.delete(values, index)) for index in range(len(values))])
    return np.asarray(others.mean() - others)


def satterthwaite_interval(values: Floats, confidence: float) -> tuple[float, float]:
    """Return the interval of the mean of (seed, patient) values, NaN where a seed is missing, by one t quantile."""
    values = values[~np.isnan(values).any(axis=1)]
    seeds, patients = values.shape
    mean, by_seed, by_patient = values.mean(), values.mean(axis=1), values.mean(axis=0)
    rest = values - by_seed[:, None] - by_patient + mean
    seed_square, patient_square = patients * by_seed.var(ddof=1), seeds * by_patient.var(ddof=1)
    rest_square = (rest**2).sum() / ((seeds - 1) * (patients - 1))
    excess = max(patient_square - rest_square, 0.0)
    spread = seed_square**2 / (seeds - 1)
    if excess:
        spread += patient_square**2 / (patients - 1) + rest_square**2 / ((seeds - 1) * (patients - 1))
    degrees = max((seed_square + excess) ** 2 / spread, min(seeds, patients) - 1)
    half = stats.t.ppf(0.5 + confidence / 2, degrees) * np.sqrt((seed_square + excess) / values.size)
    return float(mean - half), float(mean + half)


def shaffer(p_values: Sequence[float], num_arms: int) -> Floats:
    """Adjust the p-values of all pairs of so many arms, step down, for as many pairs as can be equal at once."""
    numbers, adjusted, running = _numbers_of_equal_pairs(num_arms), np.zeros(len(p_values)), 0.0
    for rank, index in enumerate(np.argsort(p_values, kind="stable")):
        true = max(number for number in numbers if number <= len(p_values) - rank)
        running = max(running, min(1.0, max(1, true) * p_values[index]))
        adjusted[index] = running
    return adjusted


def _numbers_of_equal_pairs(num_arms: int) -> frozenset[int]:
    """Return how many pairs can be equal at once: those within each group, for all ways to group the arms."""
    groupings = {0: frozenset({0})}
    for number in range(1, num_arms + 1):
        sizes = range(1, number + 1)
        groupings[number] = frozenset(math.comb(size, 2) + rest for size in sizes for rest in groupings[number - size])
    return groupings[num_arms]

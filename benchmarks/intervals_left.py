"""Intervals that were tried and left, so that their coverage can stand beside the report's in ``coverage.py``.

In: resamples, or (seed, patient) values. Out: both ends.
Sources: Efron (1987) for BCa; Satterthwaite (1946) and Hillis (2007) for one number of degrees of freedom.
"""

import numpy as np
from scipy import stats

from analysis.uncertainty import Floats


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

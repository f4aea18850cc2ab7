"""Means over seeds and test patients of scores that not every patient has.

In: one row per cell and patient with a score. Out: an estimate for each group of rows. Where every seed has the same
patients, seeds and patients are both random and crossed (``crossed_effects``); where not, since a structure that is not
there has a score only if it was predicted, the interval is Student's over the seeds' means alone.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis.intervals.crossed_effects import crossed_mean
from analysis.intervals.uncertainty import UNKNOWN, Estimate, Floats, t_interval

SIGNED = ("difference_ml",)


def means_by_group(
    scores: pd.DataFrame, keys: Sequence[str], columns: Sequence[str], confidence: float
) -> pd.DataFrame:
    """Return one row per group with the mean of each column and its interval (``x``, ``x_low``, ``x_high``).

    ``scores`` has the columns seed and patient; several rows of one seed and patient are averaged first. Columns of
    SIGNED may be below 0; the intervals of all others, which cannot, are cut at 0.
    """
    groups = scores.groupby(list(keys), sort=True)
    found = groups.size().index.to_frame(index=False)
    places = (groups.ngroup().to_numpy(), *(pd.factorize(scores[name], sort=True)[0] for name in ("seed", "patient")))
    for column in columns:
        values = _by_seed_and_patient(scores[column].to_numpy(dtype=np.float64), places)
        means, lows, highs = _means_over_patients(values, confidence)
        lowest = -np.inf if column in SIGNED else 0.0
        found[column], found[f"{column}_low"], found[f"{column}_high"] = means, np.maximum(lows, lowest), highs
    return found


def _means_over_patients(values: Floats, confidence: float) -> tuple[Floats, Floats, Floats]:
    """Return the mean and the ends of its interval for each group of (group, seed, patient), whole groups at once."""
    found = np.full((3, len(values)), np.nan)
    is_whole = ~np.isnan(values).any(axis=(1, 2))
    if is_whole.any():
        whole = crossed_mean(values[is_whole])
        found[:, is_whole] = (whole.mean, *whole.interval(confidence))
    for group in np.flatnonzero(~is_whole):
        one = mean_over_patients(values[group], confidence)
        found[:, group] = (one.value, one.low, one.high)
    means, lows, highs = found
    return means, lows, highs


def mean_over_patients(values: Floats, confidence: float) -> Estimate:
    """Return the mean over seeds of the mean over the patients that have a score, (seed, patient).

    Note: where patients differ between seeds, the interval does not cover another choice of test patients.
    """
    known = ~np.isnan(values)
    values = values[known.any(axis=1)][:, known.any(axis=0)]
    if values.size == 0:
        return UNKNOWN
    if np.isnan(values).any():
        return t_interval(np.asarray(np.nanmean(values, axis=1)), confidence)
    return crossed_mean(values).estimate(confidence)


def _by_seed_and_patient(values: Floats, places: tuple[np.ndarray, ...]) -> Floats:
    """Spread rows over (group, seed, patient), NaN where there is none."""
    shape = tuple(int(codes.max(initial=-1)) + 1 for codes in places)
    known = ~np.isnan(values)
    sums, numbers = np.zeros(shape), np.zeros(shape)
    np.add.at(sums, tuple(codes[known] for codes in places), values[known])
    np.add.at(numbers, tuple(codes[known] for codes in places), 1.0)
    means: Floats = np.divide(sums, numbers, out=np.full(shape, np.nan), where=numbers > 0)
    return means

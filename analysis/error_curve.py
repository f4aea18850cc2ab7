"""Test errors of one arm by seed, test patient and label count, and the same on a logarithmic scale.

In: cells and cases. Out: ErrorCurve, from which every interval on errors and labels is made.
The centre of an arm's seeds is the geometric mean, which is the median wherever log errors are symmetric: the heavy
upper tail of one to three labels does not carry it away.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.overlap import dice_by_patient
from analysis.uncertainty import Floats

SMALLEST_ERROR = 1e-4  # a perfect score has no logarithm


@dataclass(frozen=True)
class ErrorCurve:
    """Errors (1 - mean foreground Dice) of one arm, (seed, patient, label count); a missing cell is NaN.

    Where patients were not stored the patient axis has length 1 and holds the mean, and no interval covers another
    choice of test patients.
    """

    label_counts: Floats  # rising
    errors: Floats

    @cached_property
    def by_seed(self) -> Floats:
        """Return each seed's mean over patients, (seed, label count)."""
        means: Floats = self.errors.mean(axis=1)
        return means

    @cached_property
    def logs(self) -> "LogCurve":
        """Return the curve on a logarithmic scale.

        A patient's entry is log m + e / m - 1, for the patient's error e and the seed's mean m: the first-order
        expansion whose mean over patients is log m itself.
        """
        means = np.maximum(self.by_seed, SMALLEST_ERROR)[:, None, :]
        return LogCurve(self.label_counts, np.log(means) + (self.errors - self.by_seed[:, None, :]) / means)


@dataclass(frozen=True)
class LogCurve:
    """Log errors of one arm, (seed, patient, label count), whose mean over patients is the log of the seed's error."""

    label_counts: Floats
    values: Floats

    @property
    def by_seed(self) -> Floats:
        """Return the log of each seed's error, (seed, label count)."""
        return np.asarray(self.values.mean(axis=1))

    @property
    def is_known(self) -> NDArray[np.bool_]:
        """Return whether any seed has a result at each label count."""
        return np.asarray(~np.isnan(self.values[:, 0]).all(axis=0))

    def mean(self) -> Floats:
        """Return the mean over the seeds that have a result at each label count, NaN where none has."""
        sums, numbers = np.nansum(self.by_seed, axis=0), (~np.isnan(self.by_seed)).sum(axis=0)
        return np.asarray(np.divide(sums, numbers, out=np.full(sums.shape, np.nan), where=numbers > 0))


def error_curves(
    cells: pd.DataFrame, cases: pd.DataFrame, seeds: Sequence[str], label_counts: Floats
) -> dict[str, ErrorCurve]:
    """Return every variant's errors with a common seed and patient axis; pretraining seeds are averaged."""
    errors, axis = _cell_errors(cells, cases)
    rows = pd.Index(seeds).get_indexer(pd.Index(cells["seed"]))
    columns = pd.Index(label_counts.astype(int)).get_indexer(pd.Index(cells["label_count"]))
    names = cells["variant"].to_numpy()
    found = {}
    for name in dict.fromkeys(sorted(names)):
        chosen = names == name
        sums = np.zeros((len(seeds), len(label_counts), axis))
        numbers = np.zeros((len(seeds), len(label_counts), 1))
        np.add.at(sums, (rows[chosen], columns[chosen]), errors[chosen])
        np.add.at(numbers, (rows[chosen], columns[chosen]), 1.0)
        means = np.divide(sums, numbers, out=np.full_like(sums, np.nan), where=numbers > 0)
        found[str(name)] = ErrorCurve(label_counts, means.transpose(0, 2, 1))
    return found


def _cell_errors(cells: pd.DataFrame, cases: pd.DataFrame) -> tuple[Floats, int]:
    """Return (cell, patient) errors; where any cell lacks a patient's score, (cell, 1) errors of whole cells."""
    whole = cells["error"].to_numpy(dtype=np.float64)[:, None]
    if cases.empty:
        return whole, 1
    scores = dice_by_patient(cases).unstack("patient").reindex(cells["cell_id"])
    scores = scores.dropna(axis="columns", how="all")  # a patient without any structure has no score anywhere
    errors = 1.0 - scores.to_numpy(dtype=np.float64)
    if np.isnan(errors).any() or errors.shape[1] == 0:
        return whole, 1
    return errors, errors.shape[1]

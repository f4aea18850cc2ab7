"""Test errors of one arm by seed, test patient and label count, and the same on a logarithmic scale.

In: cells and cases. Out: CellErrors and ErrorCurve, from which every interval on errors and labels is made.
The centre of an arm's seeds is the geometric mean, which is the median wherever log errors are symmetric: the heavy
upper tail of one to three labels does not carry it away.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.intervals.uncertainty import Floats
from analysis.scores.overlap import dice_by_patient

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


@dataclass(frozen=True)
class CellErrors:
    """Errors (1 - mean foreground Dice) by cell and test patient, with the same patients in every cell.

    A patient without any structure in the reference masks has a score (0) in the cells that predict something there
    and none in the others. Such patients are left out of all cells alike: arms would else be tested on different
    patients. So are those of which a cell holds no score for another reason (``unscored``).
    """

    errors: Floats  # (cell, patient); NaN in all patients for a cell without any; one column without patients
    patients: tuple[str, ...]  # empty where no patient is known, and ``errors`` holds whole cells
    left_out: tuple[str, ...] = ()
    unscored: tuple[str, ...] = ()  # those left out that have a structure: cells hold no rows of them
    num_unscored: int = 0  # cells that lack rows of one of these
    num_scored: int = 0  # cells that have a score of a patient without any structure
    num_without_patients: int = 0  # cells that hold no test patient

    @property
    def without_structures(self) -> tuple[str, ...]:
        """Return the patients that are left out since no structure is in their reference masks."""
        return tuple(name for name in self.left_out if name not in self.unscored)

    @property
    def means(self) -> Floats:
        """Return each cell's mean over patients."""
        means: Floats = self.errors.mean(axis=1)
        return means


def cell_errors(cells: pd.DataFrame, cases: pd.DataFrame) -> CellErrors:
    """Return the errors of all cells on the patients that all of them score; of whole cells where there are none."""
    whole = CellErrors(cells["error"].to_numpy(dtype=np.float64)[:, None], ())
    if cases.empty:
        return whole
    scores = dice_by_patient(cases).unstack("patient").reindex(cells["cell_id"])
    has_any = scores.index.isin(cases["cell_id"].unique())
    reference = (cases["true_positives"] + cases["false_negatives"]).groupby(cases["patient"].to_numpy()).sum()
    has_structures = (reference.reindex(scores.columns) > 0).to_numpy()
    is_whole = has_structures & scores[has_any].notna().all().to_numpy()
    kept, unscored = scores.loc[:, is_whole], scores.loc[has_any, has_structures & ~is_whole]
    return CellErrors(
        1.0 - kept.to_numpy(dtype=np.float64) if is_whole.any() else whole.errors,
        tuple(map(str, kept.columns)),
        tuple(map(str, scores.columns[~is_whole])),
        tuple(map(str, unscored.columns)),
        int(unscored.isna().any(axis=1).sum()),
        int(scores.loc[:, ~has_structures].notna().any(axis=1).sum()),
        int((~has_any).sum()),
    )


def error_curves(
    cells: pd.DataFrame, errors: CellErrors, seeds: Sequence[str], label_counts: Floats
) -> dict[str, ErrorCurve]:
    """Return every variant's errors with a common seed and patient axis; runs of one seed are averaged."""
    is_known = ~np.isnan(errors.means)
    rows = pd.Index(seeds).get_indexer(pd.Index(cells["seed"]))
    columns = pd.Index(label_counts.astype(int)).get_indexer(pd.Index(cells["label_count"]))
    names = cells["variant"].to_numpy()
    found = {}
    for name in dict.fromkeys(sorted(names)):
        chosen = (names == name) & is_known
        sums = np.zeros((len(seeds), len(label_counts), errors.errors.shape[1]))
        numbers = np.zeros((len(seeds), len(label_counts), 1))
        np.add.at(sums, (rows[chosen], columns[chosen]), errors.errors[chosen])
        np.add.at(numbers, (rows[chosen], columns[chosen]), 1.0)
        means = np.divide(sums, numbers, out=np.full_like(sums, np.nan), where=numbers > 0)
        found[str(name)] = ErrorCurve(label_counts, means.transpose(0, 2, 1))
    return found

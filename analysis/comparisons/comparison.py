"""Paired comparison of two arms on the same seeds and the same test patients, and adjustments for many of them.

In: errors per seed, or per seed and patient. Out: differences with intervals and p-values.
Sources: ``crossed_effects``; Holm (1979) step-down and Hochberg (1988) step-up adjustment.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.intervals.crossed_effects import crossed_mean
from analysis.intervals.uncertainty import UNKNOWN, Estimate, Floats
from analysis.scores.error_curve import ErrorCurve


@dataclass(frozen=True)
class PairedDifference:
    """The mean difference between two arms over the seeds that both have, with its two-sided t test.

    Of log errors, as ``compare_at`` takes them, ``ratio`` is that of the arms' geometric mean errors.

    ``seed_error`` and ``patient_error`` are the parts of its standard error that more seeds and more test patients
    would shrink.
    """

    estimate: Estimate
    p_value: float
    seed_error: float = math.nan
    patient_error: float = math.nan

    @property
    def ratio(self) -> Estimate:
        """Return the ratio whose logarithm the difference is: below 1 the arm is better."""
        return self.estimate.exponential()


def paired_difference(values: Floats, reference: Floats, confidence: float) -> PairedDifference:
    """Return mean(values - reference); both (seed,) or (seed, patient) in the same order, NaN where a seed is missing.

    Note: pairing removes what the subset of labelled slices and the hardness of a patient add to both arms; it assumes
    differences that are roughly normal. Differences that are all equal give an interval of width 0, a sign of too few
    distinct seeds.
    """
    differences = np.atleast_2d((values - reference).T).T  # (seed, patient)
    differences = differences[~np.isnan(differences).any(axis=1)]
    if len(differences) == 0:
        return PairedDifference(UNKNOWN, math.nan)
    result = crossed_mean(differences)
    estimate = result.estimate(confidence)
    if len(differences) == 1:
        return PairedDifference(estimate, math.nan)
    parts = math.sqrt(float(result.from_seeds)), math.sqrt(float(result.from_patients))
    return PairedDifference(estimate, float(result.p_value()), *parts)


def compare_at(column: int, curve: ErrorCurve, other: ErrorCurve, confidence: float) -> PairedDifference:
    """Return the paired difference of two arms' log errors at one of the label counts; below 0 the first is better."""
    return paired_difference(curve.logs.values[:, :, column], other.logs.values[:, :, column], confidence)


def holm(p_values: Sequence[float]) -> Floats:
    """Adjust p-values for the number of comparisons, step down; NaN stays NaN and is no comparison."""
    values = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full_like(values, np.nan)
    known = np.flatnonzero(~np.isnan(values))
    running = 0.0
    for rank, index in enumerate(known[np.argsort(values[known], kind="stable")]):
        running = max(running, min(1.0, (len(known) - rank) * float(values[index])))
        adjusted[index] = running
    return adjusted


def hochberg(p_values: Sequence[float]) -> Floats:
    """Adjust p-values for the number of comparisons, step up; NaN stays NaN and is no comparison.

    The largest stands as it is, so all are significant exactly where an intersection-union test of them is.
    Note: unlike Holm's it asks that the tests do not depend on each other negatively, as comparisons with one and the
    same arm do not.
    """
    values = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full_like(values, np.nan)
    known = np.flatnonzero(~np.isnan(values))
    running = 1.0
    for rank, index in enumerate(known[np.argsort(-values[known], kind="stable")]):
        running = min(running, (rank + 1) * float(values[index]))
        adjusted[index] = running
    return adjusted

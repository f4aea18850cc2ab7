"""The mean over seeds and test patients, both random and crossed, with what each adds to its uncertainty.

In: one number per seed and patient, (..., seed, patient). Out: means, variance parts, t intervals.
Model: value = mean + seed + patient + seed x patient, no replication: every seed is tested on the same patients. This
is the multi-reader multi-case design of imaging studies, seeds for readers and patients for cases.
Sources: Dorfman, Berbaum & Metz (1992); degrees of freedom after Hillis (2007) and Satterthwaite (1946).
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr, stdtrit  # what stats.t calls, without its checks: tens of thousands are asked for

from analysis.uncertainty import Estimate, Floats


@dataclass(frozen=True)
class CrossedMean:
    """Means with their variances; every field has the leading axes of the values.

    Note: ``from_patients`` of test patients that are all alike, or of a single one, is 0: the interval then speaks of
    those patients alone. Variance parts of three seeds are themselves known to a factor of about three.
    """

    mean: Floats
    from_seeds: Floats  # the part of the mean's variance that more seeds would shrink
    from_patients: Floats  # the part that more test patients would shrink
    degrees: Floats
    num_seeds: int

    @property
    def standard_error(self) -> Floats:
        """Return the standard error of the mean over new seeds and new patients."""
        return np.asarray(np.sqrt(self.from_seeds + self.from_patients))

    def interval(self, confidence: float) -> tuple[Floats, Floats]:
        """Return the two-sided t interval; NaN with one seed."""
        half = stdtrit(self.degrees, 0.5 + confidence / 2) * self.standard_error
        return self.mean - half, self.mean + half

    def estimate(self, confidence: float) -> Estimate:
        """Return a single mean with its interval."""
        low, high = self.interval(confidence)
        return Estimate(float(self.mean), float(low), float(high), self.num_seeds)

    def p_value(self) -> Floats:
        """Return the two-sided p-value of a mean of 0; where there is no spread, 0 or 1."""
        below = self.p_below(0.0)
        return np.asarray(np.minimum(1.0, 2 * np.minimum(below, 1 - below)))

    def p_below(self, number: float) -> Floats:
        """Return the one-sided p-value of "the mean is ``number`` or more" against "it is below"."""
        error, gap = self.standard_error, self.mean - number
        with np.errstate(divide="ignore", invalid="ignore"):
            p_values = stdtr(self.degrees, gap / error)
        certain = np.where(gap == 0, 0.5, gap > 0)
        return np.asarray(np.where(error == 0, certain, p_values), dtype=np.float64)


def crossed_mean(values: Floats) -> CrossedMean:
    """Return the mean over the last two axes, seed and patient; NaN nowhere.

    The seed's mean square holds the seed x patient rest already, so the patients add only what exceeds it:
    var(mean) = (MS_seed + max(MS_patient - MS_rest, 0)) / (seeds x patients).
    """
    num_seeds, num_patients = values.shape[-2:]
    mean = values.mean(axis=(-2, -1))
    if num_seeds < 2:
        unknown = np.full(mean.shape, np.nan)
        return CrossedMean(mean, unknown, unknown, unknown, num_seeds)
    by_seed, by_patient = values.mean(axis=-1), values.mean(axis=-2)
    seed_square = num_patients * by_seed.var(axis=-1, ddof=1)
    if num_patients == 1:
        degrees = np.full(mean.shape, num_seeds - 1.0)
        return CrossedMean(mean, seed_square / num_seeds, np.zeros(mean.shape), degrees, num_seeds)
    rest = values - by_seed[..., None] - by_patient[..., None, :] + mean[..., None, None]
    rest_square = (rest**2).sum(axis=(-2, -1)) / ((num_seeds - 1) * (num_patients - 1))
    patient_square = num_seeds * by_patient.var(axis=-1, ddof=1)
    excess = np.maximum(patient_square - rest_square, 0.0)
    degrees = _degrees(seed_square, patient_square, rest_square, num_seeds, num_patients)
    size = num_seeds * num_patients
    return CrossedMean(mean, seed_square / size, excess / size, degrees, num_seeds)


def _degrees(seed: Floats, patient: Floats, rest: Floats, num_seeds: int, num_patients: int) -> Floats:
    """Return Satterthwaite's degrees of freedom of MS_seed + max(MS_patient - MS_rest, 0), of one factor's at least.

    Where the difference of mean squares is small against both, the formula goes towards 0 and the interval towards all
    numbers, though no single mean square is known that badly.
    """
    excess = np.maximum(patient - rest, 0.0)
    spread = patient**2 / (num_patients - 1) + rest**2 / ((num_seeds - 1) * (num_patients - 1))
    spread = seed**2 / (num_seeds - 1) + np.where(excess > 0, spread, 0.0)
    degrees = np.full(np.shape(seed), num_seeds - 1.0)
    np.divide((seed + excess) ** 2, spread, out=degrees, where=spread > 0)
    return np.asarray(np.maximum(degrees, min(num_seeds, num_patients) - 1.0))

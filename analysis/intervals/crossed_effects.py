"""The mean over seeds and test patients, both random and crossed, with what each adds to its uncertainty.

In: one number per seed and patient, (..., seed, patient). Out: means, variance parts, t intervals.
Model: value = mean + seed + patient + seed x patient, no replication: every seed is tested on the same patients. This
is the multi-reader multi-case design of imaging studies, seeds for readers and patients for cases.
Sources: Dorfman, Berbaum & Metz (1992) and Hillis (2007) for the design and its variance; ``cochran_t`` for intervals.
"""

from dataclasses import dataclass

import numpy as np

from analysis.intervals import cochran_t
from analysis.intervals.uncertainty import Estimate, Floats


@dataclass(frozen=True)
class CrossedMean:
    """Means with their variances; every field has the leading axes of the values.

    The seed x patient rest stands with the factor that has fewer levels, mostly the seed.
    Note: ``from_patients`` of test patients that are all alike, or of a single one, is 0: the interval then speaks of
    those patients alone. Variance parts of three seeds are themselves known to a factor of about three.
    """

    mean: Floats
    from_seeds: Floats  # the part of the mean's variance that more seeds would shrink
    from_patients: Floats  # the part that more test patients would shrink
    num_seeds: int
    num_patients: int

    @property
    def parts(self) -> Floats:
        """Return both parts of the mean's variance, (..., part)."""
        return np.stack([self.from_seeds, self.from_patients], axis=-1)

    @property
    def degrees(self) -> Floats:
        """Return the degrees of freedom of the parts."""
        return np.array([self.num_seeds - 1.0, max(self.num_patients - 1.0, 1.0)])

    @property
    def standard_error(self) -> Floats:
        """Return the standard error of the mean over new seeds and new patients."""
        return np.asarray(np.sqrt(self.from_seeds + self.from_patients))

    def interval(self, confidence: float) -> tuple[Floats, Floats]:
        """Return the two-sided t interval; NaN with one seed."""
        half = cochran_t.half_width(self.parts, self.degrees, confidence)
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
        return cochran_t.p_below(np.asarray(self.mean - number), self.parts, self.degrees)


def crossed_mean(values: Floats) -> CrossedMean:
    """Return the mean over the last two axes, seed and patient; NaN nowhere."""
    num_seeds, num_patients = values.shape[-2:]
    mean = values.mean(axis=(-2, -1))
    if num_seeds < 2:
        unknown = np.full(mean.shape, np.nan)
        return CrossedMean(mean, unknown, unknown, num_seeds, num_patients)
    by_seed, by_patient = values.mean(axis=-1), values.mean(axis=-2)
    seed_square = num_patients * by_seed.var(axis=-1, ddof=1)
    if num_patients == 1:
        return CrossedMean(mean, seed_square / num_seeds, np.zeros(mean.shape), num_seeds, num_patients)
    rest = values - by_seed[..., None] - by_patient[..., None, :] + mean[..., None, None]
    rest_square = (rest**2).sum(axis=(-2, -1)) / ((num_seeds - 1) * (num_patients - 1))
    patient_square = num_seeds * by_patient.var(axis=-1, ddof=1)
    return from_squares(mean, seed_square, patient_square, rest_square, num_seeds, num_patients)


def from_squares(
    mean: Floats, seed: Floats, patient: Floats, rest: Floats, num_seeds: int, num_patients: int
) -> CrossedMean:
    """Return a mean whose variance follows from the mean squares of seeds, patients and the rest.

    The mean square of the factor with fewer levels holds the rest already, so the other adds only what exceeds it:
    var(mean) = (MS_seed + max(MS_patient - MS_rest, 0)) / (seeds x patients), and with fewer patients than seeds
    (MS_patient + max(MS_seed - MS_rest, 0)) / (seeds x patients). Both expect the same; but a difference of mean
    squares comes out too small by chance less often in the factor of many levels.
    """
    if num_patients < num_seeds:
        seed = np.maximum(seed - rest, 0.0)
    else:
        patient = np.maximum(patient - rest, 0.0)
    size = num_seeds * num_patients
    return CrossedMean(mean, seed / size, patient / size, num_seeds, num_patients)

"""How wide an interval over seeds and test patients would be with more of either.

In: a contrast (seed, patient), whose mean is in question. Out: its half-width now, and what to expect of another number
of seeds or patients.
Formula: the mean's variance is a/n + b/p with n seeds and p patients (a: the seed's variance, b: the patient's; their
interaction, averaged over the other, is in that of which there are fewer), so the half-width is
(t(n - 1) a/n + t(p - 1) b/p) / sqrt(a/n + b/p). a and b are estimated from the cells that are there.
Sources: Hillis, Obuchowski & Berbaum (2011), sizing of multi-reader multi-case studies; ``cochran_t``.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analysis.intervals.cochran_t import half_width
from analysis.intervals.crossed_effects import crossed_mean
from analysis.intervals.uncertainty import Floats

Whole = npt.NDArray[np.int64]
MOST_SEEDS, MOST_PATIENTS = 50, 2000


@dataclass(frozen=True)
class Spread:
    """What a contrast's mean and variance parts are, from the seeds and patients that were run.

    Note: from three seeds ``seed_variance`` is known to a factor of about three, and with it every number of seeds
    that is asked for; look again after half of them.
    """

    mean: float
    seed_variance: float  # a: of one seed's mean, over these patients where seeds are fewer
    patient_variance: float  # b: of one patient's mean
    num_seeds: int
    num_patients: int

    def half_width(self, num_seeds: int, num_patients: int, confidence: float) -> float:
        """Return the expected half-width of the t interval with other numbers of seeds and patients."""
        return float(self._half_widths(np.array([num_seeds]), np.array([num_patients]), confidence)[0])

    def seeds_for(self, half_width: float, confidence: float) -> int | None:
        """Return the fewest seeds that are expected to reach a half-width with the patients there are; None if none."""
        numbers = np.arange(max(2, self.num_seeds), MOST_SEEDS + 1)
        return _first(numbers, self._half_widths(numbers, np.array([self.num_patients]), confidence) <= half_width)

    def patients_for(self, half_width: float, confidence: float) -> int | None:
        """Return the fewest test patients that are expected to reach a half-width with the seeds there are."""
        if self.num_patients < 2 or self.num_seeds < 2:
            return None
        numbers = np.arange(self.num_patients, MOST_PATIENTS + 1)
        return _first(numbers, self._half_widths(np.array([self.num_seeds]), numbers, confidence) <= half_width)

    def _half_widths(self, num_seeds: Whole, num_patients: Whole, confidence: float) -> Floats:
        """Return the half-widths of many numbers at once; one patient has no variance part of its own."""
        numbers = np.stack(np.broadcast_arrays(num_seeds, num_patients), axis=-1)
        parts = np.array([self.seed_variance, self.patient_variance]) / numbers
        parts[..., 1] *= numbers[..., 1] > 1
        return half_width(parts, np.maximum(numbers - 1.0, 1.0), confidence)


def _first(numbers: Whole, is_enough: npt.NDArray[np.bool_]) -> int | None:
    return int(numbers[is_enough.argmax()]) if is_enough.any() else None


def spread(contrast: Floats) -> Spread | None:
    """Return the variance parts of (seed, patient) differences, NaN where a seed is missing; None below two seeds."""
    known = contrast[~np.isnan(contrast).any(axis=1)]
    num_seeds, num_patients = known.shape
    if num_seeds < 2:
        return None
    result = crossed_mean(known)
    parts = float(result.from_seeds) * num_seeds, float(result.from_patients) * num_patients
    return Spread(float(result.mean), *parts, num_seeds, num_patients)

"""How many labels of the reference arm an arm with n labels is worth.

In: seed x label-count error matrices of both arms, seeds in the same order. Out: one equivalence per label
count.
Method: both median curves are made falling; the reference's is inverted at the arm's error. Never
extrapolated.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.median_curve import falling, labels_at
from analysis.uncertainty import Floats, is_replicated, median_over_seeds, percentile_interval


@dataclass(frozen=True)
class LabelEquivalence:
    """An arm with ``label_count`` labels does as well as the reference with ``labels`` (0: fewer, inf: more
    than measured).

    Note: where the reference's curve is flat, many label counts share one error and the fewest of them is
    reported; the interval is then wide. With fewer than 5 seeds the bootstrap interval is too narrow.
    """

    label_count: float
    labels: float
    low: float
    high: float


def label_equivalence(
    label_counts: Floats, errors: Floats, reference: Floats, draws: NDArray[np.intp], confidence: float
) -> list[LabelEquivalence]:
    """Invert the reference's curve at the arm's error: both (seed, label count), ``draws`` (resample,
    seed).
    """
    arm_known = ~np.isnan(errors).all(axis=0)
    reference_known = ~np.isnan(reference).all(axis=0)
    if not (arm_known.any() and reference_known.any()):
        return []
    arm_curves = _curves(errors[:, arm_known], draws)
    reference_curves = _curves(reference[:, reference_known], draws)
    counts = label_counts[reference_known]
    known = is_replicated(errors) and is_replicated(reference)
    found = []
    for index, label_count in enumerate(label_counts[arm_known]):
        worth = labels_at(counts, reference_curves, arm_curves[:, index])
        low, high = percentile_interval(worth[1:], confidence) if known else (np.nan, np.nan)
        found.append(LabelEquivalence(float(label_count), float(worth[0]), low, high))
    return found


def _curves(errors: Floats, draws: NDArray[np.intp]) -> Floats:
    """Return falling median curves: row 0 of all seeds, then one of each resample, (1 + resample, label
    count).
    """
    medians = np.concatenate([median_over_seeds(errors)[None], median_over_seeds(errors[draws])])
    return falling(medians)

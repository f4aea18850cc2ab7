"""How many pretraining epochs are enough: the smallest number that is shown to be no worse than the best by a margin.

In: the log of one positive measure (error, or steps to the target) per seed, patient and number of epochs. Out: each
number of epochs against the best, as a ratio with interval, and a non-inferiority test of it.
Method: "worse by the margin or more" is the hypothesis to be rejected, by a one-sided paired t test, Holm-adjusted over
the numbers of epochs. That nothing differs significantly is no evidence that nothing differs.
Source: Schuirmann (1987), one side of two one-sided tests; ``crossed_effects`` for the t test.
"""

from dataclasses import dataclass

import numpy as np

from analysis.comparison import holm
from analysis.crossed_effects import crossed_mean
from analysis.uncertainty import Estimate, Floats


@dataclass(frozen=True)
class Saturation:
    """Ratios to the best number of epochs (above 1 is worse), and the smallest shown to be within the margin.

    Note: the best number is picked from the same data, which favours it by chance: ratios look slightly too high, and
    more epochs than needed may be asked for. A ``sufficient_epochs`` of None means that a single seed cannot tell.
    """

    epochs: tuple[int, ...]
    best_epochs: int
    ratios: tuple[Estimate, ...]
    p_values: tuple[float, ...]  # of "worse by the margin or more", Holm-adjusted; NaN for the best
    sufficient_epochs: int | None
    verdicts: tuple[str, ...]  # enough | not enough | cannot tell


def saturation(epochs: list[int], logs: Floats, margin: float, confidence: float) -> Saturation | None:
    """Compare numbers of epochs on (seed, patient, epochs) logs; None with fewer than two that have values."""
    known = [index for index in range(len(epochs)) if not np.isnan(logs[:, 0, index]).all()]
    if len(known) < 2:
        return None
    epochs, logs = [epochs[index] for index in known], logs[:, :, known]
    complete = logs[~np.isnan(logs).any(axis=(1, 2))]
    if len(complete) == 0:
        return None
    best = int(np.argmin(complete.mean(axis=(0, 1))))
    results = [crossed_mean(complete[:, :, i] - complete[:, :, best]) for i in range(len(epochs))]
    raw = [np.nan if i == best else float(result.p_below(np.log1p(margin))) for i, result in enumerate(results)]
    p_values = tuple(map(float, holm(raw)))
    ratios = tuple(result.estimate(confidence).exponential() for result in results)
    verdicts = tuple(
        "enough" if i == best else _verdict(ratio, p_value, margin, confidence)
        for i, (ratio, p_value) in enumerate(zip(ratios, p_values, strict=True))
    )
    enough = [number for number, verdict in zip(epochs, verdicts, strict=True) if verdict == "enough"]
    return Saturation(
        tuple(epochs), epochs[best], ratios, p_values, min(enough) if len(complete) > 1 else None, verdicts
    )


def _verdict(ratio: Estimate, p_value: float, margin: float, confidence: float) -> str:
    """Judge one number of epochs; the best is enough by definition."""
    if p_value < 1 - confidence:
        return "enough"
    return "not enough" if ratio.is_known and ratio.low > 1 + margin else "cannot tell"

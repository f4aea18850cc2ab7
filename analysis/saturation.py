"""How many pretraining epochs are enough: the smallest number whose loss against the best is within a margin.

In: one positive number per seed and number of epochs (error, or steps to the target). Out: each number of
epochs against the best one, paired by seed, as a ratio with a t interval on its log.
"""

from dataclasses import dataclass

import numpy as np

from analysis.uncertainty import Estimate, Floats, t_interval


@dataclass(frozen=True)
class Saturation:
    """Ratios to the best number of epochs (above 1 is worse), and the smallest that is surely within the
    margin.

    Note: the best number is picked from the same data, which favours it by chance: ratios look slightly too
    high. A ``sufficient_epochs`` of None with an interval that reaches into the margin means that the data
    cannot tell.
    """

    epochs: tuple[int, ...]
    best_epochs: int
    ratios: tuple[Estimate, ...]
    sufficient_epochs: int | None
    verdicts: tuple[str, ...]  # enough | not enough | cannot tell


def saturation(epochs: list[int], values: Floats, margin: float, confidence: float) -> Saturation | None:
    """Compare numbers of epochs on (seed, epochs) values; None with fewer than two numbers of epochs that
    have values.
    """
    known = [index for index in range(len(epochs)) if not np.isnan(values[:, index]).all()]
    if len(known) < 2:
        return None
    epochs, logs = [epochs[index] for index in known], np.log(np.maximum(values[:, known], 1e-12))
    complete = logs[~np.isnan(logs).any(axis=1)]
    if len(complete) == 0:
        return None
    best = int(np.argmin(complete.mean(axis=0)))
    ratios = tuple(t_interval(complete[:, i] - complete[:, best], confidence).exponential() for i in range(len(epochs)))
    verdicts = tuple(_verdict(ratio, margin, i == best) for i, ratio in enumerate(ratios))
    enough = [number for number, verdict in zip(epochs, verdicts, strict=True) if verdict == "enough"]
    return Saturation(
        tuple(epochs), epochs[best], ratios, min(enough) if len(complete) > 1 and enough else None, verdicts
    )


def _verdict(ratio: Estimate, margin: float, is_best: bool) -> str:
    """Judge one number of epochs; the best is enough by definition."""
    if is_best:
        return "enough"
    if not ratio.is_known:
        return "cannot tell"
    if ratio.high <= 1 + margin:
        return "enough"
    return "not enough" if ratio.low > 1 + margin else "cannot tell"

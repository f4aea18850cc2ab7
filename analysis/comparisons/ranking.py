"""The arms at one label count from the lowest mean error up, and the comparisons of the first with each of the others.

In: ErrorCurves of paired arms. Out: a Ranking. Arms are ranked by what is tested, mean log errors, on the seeds that
all of them have; two arms are compared on the seeds that both have, as the report's table of differences does.
Sources: Gutmann & Maymin (1987), is the selected population the best?; Berger (1982), the intersection-union test.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.comparisons.comparison import PairedDifference, compare_at
from analysis.intervals.uncertainty import ROUNDING
from analysis.scores.error_curve import ErrorCurve


@dataclass(frozen=True)
class Ranking:
    """The arm with the lowest mean log error, and its differences from all others in rising order of their means."""

    best: str
    pairs: Mapping[str, PairedDifference]
    shared: NDArray[np.bool_]  # seeds that all arms have

    @property
    def p_values(self) -> dict[str, float]:
        """Return the p-values of "the best is no better than this one", two-sided since it was picked from the data.

        They are 1 where the best is not the lower one on the seeds that both have, or equal there up to rounding, and
        NaN where one seed alone tells.
        """
        return {
            name: 1.0 if pair.estimate.value > -ROUNDING and not math.isnan(pair.p_value) else pair.p_value
            for name, pair in self.pairs.items()
        }

    @property
    def equals(self) -> tuple[str, ...]:
        """Return the arms whose mean is that of the best, up to rounding, on the seeds that both have."""
        return tuple(name for name, pair in self.pairs.items() if abs(pair.estimate.value) <= ROUNDING)

    @property
    def p_value(self) -> float:
        """Return the p-value of "some other arm is as good": the largest, NaN if one is unknown."""
        return float(np.max(list(self.p_values.values())))


def rank_arms(curves: Mapping[str, ErrorCurve], column: int, confidence: float) -> Ranking | None:
    """Rank the arms that have results at one of the label counts; None with fewer than two."""
    logs = {name: curve.logs.by_seed[:, column] for name, curve in curves.items()}
    logs = {name: values for name, values in logs.items() if not np.isnan(values).all()}
    if len(logs) < 2:
        return None
    shared = np.asarray(~np.isnan(np.stack([*logs.values()])).any(axis=0))
    used = shared if shared.any() else np.ones_like(shared)
    best, *others = sorted(logs, key=lambda name: float(np.nanmean(np.where(used, logs[name], np.nan))))
    pairs = {name: compare_at(column, curves[best], curves[name], confidence) for name in others}
    return Ranking(best, pairs, shared)

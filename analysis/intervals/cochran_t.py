"""Student's t for an estimate whose variance is a sum of parts, each estimated with its own degrees of freedom.

In: the parts and their degrees of freedom, (..., part). Out: half-widths of intervals, p-values that agree with them.
The quantile is the mean of the parts' t quantiles, weighted by the parts: half-width = sum v t(f) / sqrt(sum v). Where
one part is all, it is Student's; between, it errs to the wide side. Satterthwaite's single number of degrees of freedom
errs to the narrow side where a part of two degrees comes out small by chance beside one of many: the quantile is then
that of the many (docs/validation.md has the rates of both).
Sources: Cochran & Cox (1950) Experimental Designs; Cochran (1964) Biometrics 20:191-195.
"""

import numpy as np
from scipy.special import stdtr, stdtrit  # what stats.t calls, without its checks: tens of thousands are asked for

from analysis.intervals.uncertainty import Floats

ROUNDS = 60  # at most
CLOSE = 1e-10  # of the logarithm of a statistic


def half_width(variances: Floats, degrees: Floats, confidence: float) -> Floats:
    """Return the half-width of the two-sided interval; 0 without variance, NaN where it is unknown."""
    return np.asarray(_quantile(variances, degrees, np.asarray(0.5 + confidence / 2)) * np.sqrt(variances.sum(axis=-1)))


def p_below(gap: Floats, variances: Floats, degrees: Floats) -> Floats:
    """Return the one-sided p-value of "the gap is 0 or more" against "it is below", the inverse of ``half_width``.

    Without variance it is 0 or 1, and 0.5 for a gap of 0.
    """
    error = np.sqrt(variances.sum(axis=-1))
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = np.asarray(gap / error)
    tail = _tail(np.abs(statistic), variances, degrees)
    certain = np.where(gap == 0, 0.5, gap > 0)
    return np.asarray(np.where(error == 0, certain, np.where(statistic > 0, 1 - tail, tail)), dtype=np.float64)


def _tail(statistic: Floats, variances: Floats, degrees: Floats) -> Floats:
    """Return the probability of each tail beyond a statistic of 0 or more, which lies between those of the parts.

    By the Illinois rule on logarithms of both, between which a tail of t is nearly a line: of an end that stays twice
    the distance counts half. Source: Dowell & Jarratt (1971) BIT 11:168-174.
    """
    ends = stdtr(np.broadcast_to(degrees, variances.shape), -statistic[..., None])
    low, high = np.log(np.maximum(ends.min(axis=-1), 1e-300)), np.log(np.maximum(ends.max(axis=-1), 1e-300))

    def distance(probability: Floats) -> Floats:
        return np.asarray(np.log(-_quantile(variances, degrees, np.exp(probability))) - np.log(statistic))

    with np.errstate(divide="ignore", invalid="ignore"):  # a statistic of 0, where both ends are one
        middle, above, below = (low + high) / 2, distance(low), distance(high)
        was_beyond = np.full(middle.shape, -1)
        for _ in range(ROUNDS):
            step = (high - low) * above / (above - below)
            middle = np.where(np.isfinite(step), low + step, (low + high) / 2)
            found = distance(middle)
            if not (np.abs(found) > CLOSE).any():
                break
            is_beyond = found > 0
            low, high = np.where(is_beyond, middle, low), np.where(is_beyond, high, middle)
            stays = np.where(was_beyond == is_beyond, 0.5, 1.0)
            above, below = np.where(is_beyond, found, above * stays), np.where(is_beyond, below * stays, found)
            was_beyond = is_beyond
    return np.asarray(np.exp(middle))


def _quantile(variances: Floats, degrees: Floats, probability: Floats) -> Floats:
    """Return the mean of the parts' t quantiles, weighted by the parts; where all are 0, of the first part."""
    quantiles = stdtrit(degrees, probability[..., None])
    with np.errstate(invalid="ignore"):  # a part of 0 has no say, however far its quantile is
        weighted = np.where(variances == 0, 0.0, variances * quantiles).sum(axis=-1)
    total = variances.sum(axis=-1)
    first = np.broadcast_to(quantiles[..., 0], total.shape).copy()
    return np.asarray(np.divide(weighted, total, out=first, where=total != 0))

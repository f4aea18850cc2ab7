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

from analysis.uncertainty import Floats

BISECTIONS = 40  # of the logarithm of a p-value


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
    """Return the probability of each tail beyond a statistic of 0 or more, which lies between those of the parts."""
    ends = stdtr(np.broadcast_to(degrees, variances.shape), -statistic[..., None])
    low, high = np.log(np.maximum(ends.min(axis=-1), 1e-300)), np.log(np.maximum(ends.max(axis=-1), 1e-300))
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        is_beyond = -_quantile(variances, degrees, np.exp(middle)) > statistic
        low, high = np.where(is_beyond, middle, low), np.where(is_beyond, high, middle)
    return np.asarray(np.exp((low + high) / 2))


def _quantile(variances: Floats, degrees: Floats, probability: Floats) -> Floats:
    """Return the mean of the parts' t quantiles, weighted by the parts; where all are 0, of the first part."""
    quantiles = stdtrit(degrees, probability[..., None])
    with np.errstate(invalid="ignore"):  # a part of 0 has no say, however far its quantile is
        weighted = np.where(variances == 0, 0.0, variances * quantiles).sum(axis=-1)
    total = variances.sum(axis=-1)
    first = np.broadcast_to(quantiles[..., 0], total.shape).copy()
    return np.asarray(np.divide(weighted, total, out=first, where=total != 0))

"""p-values where a variance has parts of different degrees of freedom: the inverse of the interval."""

import numpy as np
import numpy.typing as npt
import pytest
from scipy import optimize, stats

from analysis.intervals.cochran_t import half_width, p_below

Floats = npt.NDArray[np.float64]
DEGREES = np.array([2.0, 9.0, 50.0])


def drawn(size: int, seed: int = 0) -> tuple[Floats, Floats]:
    """Gaps from far below to far above 0 in standard errors, and parts of a variance, some of them 0."""
    generator = np.random.default_rng(seed)
    variances = generator.gamma(0.5, 1.0, (size, 3)) * generator.choice([0.0, 1e-6, 1.0, 1.0], (size, 3))
    variances[:, 0] += 1e-3
    return generator.normal(size=size) * 10.0 ** generator.uniform(-3, 1.3, size), variances


def expected_tail(statistic: float, shares: Floats) -> float:
    """The p at which the parts' t quantiles, weighted by the parts, are the statistic."""

    def missed(log_p: float) -> float:
        return float(shares @ stats.t.isf(np.exp(log_p), DEGREES)) - statistic

    return float(np.exp(optimize.brentq(missed, np.log(1e-200), np.log(0.5), xtol=1e-13)))


def test_p_values_are_those_of_the_weighted_quantile():
    gaps, variances = drawn(150)
    found = p_below(gaps, variances, DEGREES)
    for p, gap, parts in zip(found, gaps, variances, strict=True):
        tail = expected_tail(abs(gap) / np.sqrt(parts.sum()), parts / parts.sum())
        assert p == pytest.approx(tail if gap < 0 else 1 - tail, rel=1e-7)


@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.9999])
def test_an_interval_that_just_reaches_0_has_the_p_value_of_its_confidence(confidence: float):
    _, variances = drawn(40)
    found = p_below(-half_width(variances, DEGREES, confidence), variances, DEGREES)
    np.testing.assert_allclose(found, (1 - confidence) / 2, rtol=1e-7)


def test_many_at_once_are_what_each_is_alone():
    gaps, variances = drawn(60, seed=1)
    alone = [float(p_below(gap, parts, DEGREES)) for gap, parts in zip(gaps, variances, strict=True)]
    np.testing.assert_allclose(p_below(gaps, variances, DEGREES), alone, rtol=1e-7)


def test_without_a_gap_or_without_variance_it_is_certain_or_even():
    _, variances = drawn(1)
    nothing = np.zeros(3)
    assert p_below(np.array(0.0), variances[0], DEGREES) == 0.5
    assert [float(p_below(np.array(gap), nothing, DEGREES)) for gap in (-1.0, 0.0, 1.0)] == [0.0, 0.5, 1.0]

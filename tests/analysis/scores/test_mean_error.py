"""An arm's mean error and its interval, on the scale of errors."""

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from analysis.scores.error_curve import LogCurve
from analysis.scores.mean_error import mean_error_ends, mean_errors


def curve(*errors: float) -> LogCurve:
    """Errors of as many seeds on one patient at one label count."""
    logs: npt.NDArray[np.float64] = np.log(np.array(errors)).reshape(-1, 1, 1)
    return LogCurve(np.array([4.0]), logs)


def test_the_mean_is_geometric_and_its_interval_is_of_logarithms():
    errors = (0.20, 0.22, 0.21, 0.24)
    (found,) = mean_errors(curve(*errors), 0.95)
    logs = np.log(errors)
    half = stats.t.ppf(0.975, 3) * stats.sem(logs)
    assert found.value == pytest.approx(stats.gmean(errors))
    assert (found.low, found.high) == pytest.approx((np.exp(logs.mean() - half), np.exp(logs.mean() + half)))


def test_no_interval_goes_beyond_the_largest_error_there_is():
    (found,) = mean_errors(curve(0.3, 0.9), 0.95)
    half = stats.t.ppf(0.975, 1) * stats.sem(np.log([0.3, 0.9]))
    assert found.high == 1.0  # by itself it would end at 558
    assert found.low == pytest.approx(np.exp(np.log([0.3, 0.9]).mean() - half))


def test_one_seed_has_no_interval_and_none_no_mean():
    (alone,) = mean_errors(curve(0.3), 0.95)
    assert alone.value == pytest.approx(0.3)
    assert not alone.is_known
    means, lows, highs = mean_error_ends(curve(float("nan")), 0.95)
    assert np.isnan([means, lows, highs]).all()

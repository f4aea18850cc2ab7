"""The centre of an arm's errors at each label count with its interval: what figures and tables show as its error.

In: the LogCurve of an arm. Out: estimates on the scale of errors, by label count.
"""

from dataclasses import replace

import numpy as np

from analysis.intervals.crossed_effects import crossed_mean
from analysis.intervals.uncertainty import UNKNOWN, Estimate, Floats
from analysis.scores.error_curve import LogCurve

LARGEST = 1.0


def mean_errors(logs: LogCurve, confidence: float) -> list[Estimate]:
    """Return the geometric mean over seeds with its t interval over seeds and patients, one for each label count.

    Note: at few seeds the interval of a logarithm is lopsided on the scale of errors, and wide upwards; it ends at 1,
    beyond which no error is.
    """
    found = []
    for index in range(len(logs.label_counts)):
        values = logs.values[:, :, index]
        values = values[~np.isnan(values[:, 0])]
        estimate = crossed_mean(values).estimate(confidence).exponential() if len(values) else UNKNOWN
        found.append(replace(estimate, high=min(estimate.high, LARGEST)))  # NaN stays NaN
    return found


def mean_error_ends(logs: LogCurve, confidence: float) -> tuple[Floats, Floats, Floats]:
    """Return these means and both ends of their intervals, (label count,) each."""
    means, lows, highs = np.array([(each.value, each.low, each.high) for each in mean_errors(logs, confidence)]).T
    return means, lows, highs

"""The mean error curve over label counts, made monotone, and its inverse: how many labels reach an error.

In: errors of shape (..., label count) at rising label counts. Out: label counts, with codes at the edges: 0
where even the fewest labels are better than the target, infinity where the most labels do not reach it.
Nothing is extrapolated.
Source: isotonic regression by its min-max formula (Robertson, Wright & Dykstra 1988).
"""

import numpy as np

from analysis.intervals.uncertainty import Floats

FEWER_THAN_MEASURED = 0.0
MORE_THAN_MEASURED = np.inf


def falling(errors: Floats) -> Floats:
    """Return the least-squares fit that never rises along the last axis; NaN anywhere in a curve makes it
    all NaN.
    """
    size = errors.shape[-1]
    sums = np.concatenate([np.zeros((*errors.shape[:-1], 1)), np.cumsum(errors, axis=-1)], axis=-1)
    starts, ends = np.arange(size)[:, None], np.arange(size)
    lengths = np.maximum(ends - starts + 1, 1)
    means = (sums[..., None, 1:] - sums[..., :-1, None]) / lengths  # (..., start of a block, its end)
    means = np.where(ends < starts, -np.inf, means)
    highest = np.maximum.accumulate(means[..., ::-1], axis=-1)[..., ::-1]  # of all blocks that end there or later
    fitted = np.where(ends < starts, np.inf, highest).min(axis=-2)
    return np.where(np.isnan(errors).any(axis=-1, keepdims=True), np.nan, fitted)


def labels_at(label_counts: Floats, errors: Floats, target: Floats) -> Floats:
    """Return the smallest label count at which falling curves reach ``target``: (..., label count), (...) ->
    (...).

    Between measured counts the error is taken as linear in log(label count).
    """
    tolerance = 1e-9
    reached = errors <= target[..., None] + tolerance
    first = reached.argmax(axis=-1)
    after, before = first[..., None], np.maximum(first - 1, 0)[..., None]
    low, high = np.take_along_axis(errors, after, -1)[..., 0], np.take_along_axis(errors, before, -1)[..., 0]
    drop = high - low
    share = np.divide(high - target, drop, out=np.ones_like(drop), where=drop > 0).clip(0.0, 1.0)
    logs = np.log(label_counts)
    between = np.exp(logs[before[..., 0]] + share * (logs[first] - logs[before[..., 0]]))
    below = errors[..., 0] < target - tolerance
    found = np.where(first > 0, between, np.where(below, FEWER_THAN_MEASURED, label_counts[0]))
    result = np.where(reached.any(axis=-1), found, MORE_THAN_MEASURED)
    return np.where(np.isnan(errors[..., 0]) | np.isnan(target), np.nan, result)


def describe_labels(number: float, label_counts: Floats, fewest: str = "or fewer") -> str:
    """Say a label count in words: ``36``, ``4 or fewer``, ``more than 224``, ``unknown``."""
    if np.isnan(number):
        return "unknown"
    if number == FEWER_THAN_MEASURED:
        first = f"{label_counts[0]:.0f}"
        return f"{first} or fewer" if fewest == "or fewer" else f"fewer than {first}"
    if number == MORE_THAN_MEASURED:
        return f"more than {label_counts[-1]:.0f}"
    return f"{number:.0f}" if number >= 10 else f"{number:.2g}"


def describe_labels_interval(low: float, high: float, label_counts: Floats, fewest: str = "or fewer") -> str:
    """Say an interval of label counts in words; both ends beyond the same edge are said once."""
    ends = [describe_labels(end, label_counts, fewest) for end in (low, high)]
    return ends[0] if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"

"""How many labels bring an arm to an error, and how many labels of one arm another arm's are worth.

In: LogCurves of paired arms. Out: label counts with intervals, coded at the edges as in ``falling_curve``.
Method: an arm's gap to its goal is followed along the label counts, each seed and patient apart, interpolated linearly
in log error against log labels. The answer is where the mean gap, made falling, reaches 0. Its interval holds every
label count at which the t interval of the gap holds 0: it inverts the test "this many labels reach the goal", and so
covers as often as that t interval does, at three seeds too. Nothing is resampled, nothing extrapolated.
Source: Fieller (1954) and the inversion of tests in general; ``crossed_effects`` for the t interval.
"""

import itertools
from dataclasses import dataclass

import numpy as np

from analysis.intervals.crossed_effects import crossed_mean
from analysis.intervals.uncertainty import ROUNDING, Floats
from analysis.labels.falling_curve import FEWER_THAN_MEASURED, MORE_THAN_MEASURED, falling, labels_at
from analysis.labels.law_fit import LawFit
from analysis.scores.error_curve import LogCurve

NO_OVERLAP = 1.0  # the error of a network that segments nothing
STEPS = 24  # of the grid between two measured label counts
CURVE_STEPS = 8  # of an equivalence curve between two measured label counts
EXTRAPOLATION = 10.0  # times the most labels measured
LAW_POINTS = 16  # of the law's grid, between which it is interpolated


@dataclass(frozen=True)
class LabelCount:
    """A label count with its interval: 0 stands for the fewest measured or fewer, infinity for more than the most.

    Note: where the curve is flat many label counts share one error; the fewest is reported and the interval is wide.
    """

    labels: float
    low: float  # NaN where a single seed leaves the interval unknown
    high: float

    @property
    def verdict(self) -> str:
        """Say ``reached``, ``not reached`` (significantly off the goal at every count) or ``cannot tell``."""
        if self.low == MORE_THAN_MEASURED:
            return "not reached"
        return "reached" if self.high < MORE_THAN_MEASURED else "cannot tell"


UNKNOWN_COUNT = LabelCount(np.nan, np.nan, np.nan)


@dataclass(frozen=True)
class LabelsNeeded:
    """The fewest labels that reach ``target_error``.

    The error is NaN where the goal arm has no result at the most labels; of an error of 1 or more, which networks reach
    that segment nothing, the count is unknown.
    """

    target_error: float
    count: LabelCount


@dataclass(frozen=True)
class LabelEquivalence:
    """An arm with ``label_count`` labels does as well as the reference with ``worth`` (0: fewer, inf: more)."""

    label_count: float
    worth: LabelCount


@dataclass(frozen=True)
class Crossing:
    """Where the sign of two arms' difference changes; ``is_certain`` where they differ significantly on both sides.

    Note: an interval without certainty says where a crossing would be, if there were one.
    """

    labels: float  # NaN where the means never change sign
    low: float
    high: float
    is_certain: bool


def labels_for_error(curve: LogCurve, target_error: float, confidence: float) -> LabelsNeeded | None:
    """Return the labels that reach a fixed error; None without results."""
    if not curve.is_known.any():
        return None
    return LabelsNeeded(target_error, _reach(curve, np.asarray(np.log(target_error)), confidence))


def labels_near_full(curve: LogCurve, goal: LogCurve, margin: float, confidence: float) -> LabelsNeeded | None:
    """Return the labels that come within ``margin`` of the goal arm's error at the sweep's most labels.

    None without results; unknown where the goal arm has none at the most labels: its error at fewer is another goal. So
    it is where networks that segment nothing come as near.
    Note: with its own error as the goal an arm that learns nothing needs few labels: read it beside that error.
    """
    if not curve.is_known.any() or not goal.is_known.any():
        return None
    if not goal.is_known[-1]:
        return LabelsNeeded(np.nan, UNKNOWN_COUNT)
    logs = goal.values[:, :, -1] + np.log1p(margin)  # (seed, patient)
    target = float(np.exp(np.nanmean(logs.mean(axis=1))))
    return LabelsNeeded(target, _reach(curve, logs, confidence) if target < NO_OVERLAP else UNKNOWN_COUNT)


def labels_by_law(fit: LawFit, target_error: float, confidence: float) -> LabelCount:
    """Return the labels at which a fitted law reaches an error, up to ten times the most measured.

    Unknown for an error of 1 or more. The interval spans those of the law's rivals. Beyond the measured counts it is an
    extrapolation, and must be marked.
    """
    if not target_error < NO_OVERLAP:
        return UNKNOWN_COUNT
    ends = fit.label_counts[0], EXTRAPOLATION * fit.label_counts[-1]
    grid, goal = np.geomspace(*ends, LAW_POINTS), np.asarray(np.log(target_error))
    own, *rivals = (_reach(each.logs(grid), goal, confidence) for each in (fit, *fit.rivals))
    counts = (own, *rivals)
    return LabelCount(own.labels, min(count.low for count in counts), max(count.high for count in counts))


def label_equivalence(curve: LogCurve, reference: LogCurve, confidence: float) -> list[LabelEquivalence]:
    """Return for each label count of an arm how many labels of the reference reach its error."""
    if not reference.is_known.any():
        return []
    return [
        LabelEquivalence(float(curve.label_counts[i]), _reach(reference, curve.values[:, :, i], confidence))
        for i in np.flatnonzero(curve.is_known)
    ]


def equivalence_curve(curve: LogCurve, reference: LogCurve, confidence: float) -> list[LabelEquivalence]:
    """Return the same at the measured label counts and on a grid between them, for a curve with a pointwise band.

    Between neighbouring counts the arm's log error of each seed and patient is interpolated linearly in log labels, as
    the reference's is; a seed that lacks one of the two counts is left out between them.
    """
    known = np.flatnonzero(curve.is_known)
    found = label_equivalence(curve, reference, confidence)
    if not found:
        return []
    for first, second in itertools.pairwise(known):
        ends = np.log(curve.label_counts[[first, second]])
        for share in np.arange(1, CURVE_STEPS) / CURVE_STEPS:
            values = (1 - share) * curve.values[:, :, first] + share * curve.values[:, :, second]
            place = float(np.exp((1 - share) * ends[0] + share * ends[1]))
            found.append(LabelEquivalence(place, _reach(reference, values, confidence)))
    return sorted(found, key=lambda item: item.label_count)


def crossing(curve: LogCurve, other: LogCurve, confidence: float) -> Crossing:
    """Return the last place where the better of two arms changes; NaN where the means never cross."""
    found = crossings(curve, other, confidence)
    return found[-1] if found else Crossing(np.nan, np.nan, np.nan, False)


def crossings(curve: LogCurve, other: LogCurve, confidence: float) -> list[Crossing]:
    """Return all places where the better of two arms changes, both measured at the same label counts."""
    gap = _follow(curve.label_counts, curve.values - other.values, confidence)
    signed = np.flatnonzero(np.abs(np.nan_to_num(gap.mean)) > ROUNDING)  # a mean of 0 is on neither side
    changes = signed[:-1][gap.mean[signed[:-1]] * gap.mean[signed[1:]] < 0]
    return [_crossing_at(gap, int(place)) for place in changes]


def _crossing_at(gap: "_Gap", place: int) -> Crossing:
    """Put an interval on a change of sign: from the last count before it to the first after it that are certain."""
    labels = float(np.exp(_zero(gap.log_labels, gap.mean, place)))
    told = np.flatnonzero((gap.high < 0) | (gap.low > 0))
    before, after = told[told <= place], told[told > place]
    is_certain = len(before) > 0 and len(after) > 0 and bool(gap.mean[before[-1]] * gap.mean[after[0]] < 0)
    low = float(np.exp(gap.log_labels[before[-1]])) if len(before) else FEWER_THAN_MEASURED
    high = float(np.exp(gap.log_labels[after[0]])) if len(after) else MORE_THAN_MEASURED
    return Crossing(labels, low, high, is_certain)


@dataclass(frozen=True)
class _Gap:
    """The gap to the goal on a fine grid of label counts, with its interval."""

    log_labels: Floats
    mean: Floats
    low: Floats
    high: Floats


def _reach(curve: LogCurve, goal: Floats, confidence: float) -> LabelCount:
    """Find where the curve's log error falls to the goal, a number or (seed, patient)."""
    gaps = LogCurve(curve.label_counts, curve.values - (goal[:, :, None] if goal.ndim else goal))
    known = gaps.is_known
    if not known.any():
        return UNKNOWN_COUNT
    labels = float(labels_at(curve.label_counts[known], falling(gaps.mean()[known]), np.asarray(0.0)))
    gap = _follow(curve.label_counts, gaps.values, confidence)
    if np.isinf(gap.high).all():
        return LabelCount(labels, np.nan, np.nan)
    return LabelCount(labels, min(labels, _low_end(gap)), max(labels, _high_end(gap)))


def _low_end(gap: _Gap) -> float:
    """Return the fewest labels of which it is not certain that they fall short."""
    possible = np.flatnonzero(gap.low <= ROUNDING)
    if len(possible) == 0:
        return MORE_THAN_MEASURED
    if possible[0] == 0:
        return FEWER_THAN_MEASURED if gap.low[0] < -ROUNDING else float(np.exp(gap.log_labels[0]))
    return float(np.exp(_zero(gap.log_labels, gap.low, int(possible[0]) - 1)))


def _high_end(gap: _Gap) -> float:
    """Return the fewest labels from which on it is certain that they suffice."""
    doubtful = np.flatnonzero(gap.high > ROUNDING)
    if len(doubtful) == 0:
        return FEWER_THAN_MEASURED if gap.high[0] < -ROUNDING else float(np.exp(gap.log_labels[0]))
    if doubtful[-1] == len(gap.high) - 1:
        return MORE_THAN_MEASURED
    return float(np.exp(_zero(gap.log_labels, gap.high, int(doubtful[-1]))))


def _zero(places: Floats, values: Floats, index: int) -> float:
    """Return where the line from ``index`` to the next point crosses 0; the farther one of an infinite value."""
    before, after = values[index], values[index + 1]
    if not np.isfinite(before):
        return float(places[index + 1])
    if not np.isfinite(after) or before == after:
        return float(places[index])
    return float(places[index] + (places[index + 1] - places[index]) * before / (before - after))


def _follow(label_counts: Floats, gaps: Floats, confidence: float) -> _Gap:
    """Interpolate (seed, patient, label count) gaps between neighbouring counts and put a t interval on each place.

    Seeds that lack one of two neighbouring counts are left out between them.
    """
    present = ~np.isnan(gaps.mean(axis=1))  # (seed, label count)
    known = np.flatnonzero(present.any(axis=0))
    if len(known) == 0:
        return _Gap(*[np.zeros(0)] * 4)
    first, second = (known[:-1], known[1:]) if len(known) > 1 else (known, known)
    logs, paired = np.log(label_counts), present[:, first] & present[:, second]  # (seed, pair)
    parts = [np.empty((len(first), STEPS + 1)) for _ in range(3)]
    for seeds in np.unique(paired.T, axis=0):  # pairs of counts that the same seeds have, at once
        same = (paired == seeds[:, None]).all(axis=0)
        before, after = (np.moveaxis(gaps[seeds][:, :, place[same]], -1, 0) for place in (first, second))
        for part, found in zip(parts, _between(before, after, confidence), strict=True):
            part[same] = found
    places = np.linspace(logs[first], logs[second], STEPS + 1, axis=-1)
    return _Gap(places.ravel(), *(part.ravel() for part in parts))


def _between(first: Floats, second: Floats, confidence: float) -> tuple[Floats, Floats, Floats]:
    """Return means and interval ends of (pair, seed, patient) gaps on the way from one measured count to the next."""
    if first.shape[1] == 0:
        unknown = np.full((len(first), STEPS + 1), np.inf)
        return unknown * np.nan, -unknown, unknown
    shares = np.linspace(0.0, 1.0, STEPS + 1)[:, None, None]
    result = crossed_mean(first[:, None] + shares * (second - first)[:, None])  # (pair, share)
    low, high = result.interval(confidence)
    return result.mean, np.where(np.isnan(low), -np.inf, low), np.where(np.isnan(high), np.inf, high)

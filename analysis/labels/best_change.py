"""Which arm is best at each label count, and at how many labels another one takes its place.

In: ErrorCurves of paired arms, resamples of seeds and patients. Out: the best arm of each label count with the share of
resamples in which it is, and the label counts at which the best arm changes, with intervals.
Method: arms are ranked and compared as in ``ranking``. That the best one is better than every other is an
intersection-union test, its p-value the largest of the paired t tests, Holm-adjusted over the label counts. Between
neighbouring counts means are linear in log labels, and the arm with the lowest follows the lower envelope of lines. The
interval of a change is that of the crossing of the two arms (``labels_needed``). Where a third arm lies lowest between
two counts at which different arms are significantly best, these two change places where they cross.
Where an arm has no result at a label count, none is said to be better than all others there, and changes are looked for
between the other counts: an arm that was not run has lost no place.
Sources: ``ranking``; Holm (1979); ``bootstrap`` for the shares.
"""

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from analysis.comparisons.comparison import holm
from analysis.comparisons.ranking import Ranking, rank_arms
from analysis.intervals.bootstrap import TwoLevelDraws
from analysis.intervals.uncertainty import ROUNDING, Floats
from analysis.labels.falling_curve import FEWER_THAN_MEASURED, MORE_THAN_MEASURED
from analysis.labels.labels_needed import crossings
from analysis.scores.error_curve import ErrorCurve


@dataclass(frozen=True)
class BestAt:
    """The arm with the lowest mean log error at one label count.

    Note: ``share`` is no probability of being the best, and of three seeds it knows ten distinct draws.
    ``p_value`` says whether the arm is significantly better than all others.
    """

    label_count: float
    arm: str
    runner_up: str
    share: float  # of resamples of seeds and patients in which the arm has the lowest mean; equal arms divide one
    p_value: float  # of "some other arm is as good", Holm-adjusted over label counts; NaN as ``p_value_alone``
    p_value_alone: float  # the same at this label count alone; NaN with one seed, or where an arm has no result


@dataclass(frozen=True)
class BestChange:
    """The label count at which one arm takes another's place as the best, with the interval of the two arms' crossing.

    ``is_decided`` where the first is significantly better than all others at a smaller count and the second at the next
    larger one at which any arm is.
    Note: without that, the interval says where the two would cross, if they do.
    """

    before: str
    after: str
    labels: float
    low: float
    high: float
    is_decided: bool


def best_arms(curves: Mapping[str, ErrorCurve], draws: TwoLevelDraws) -> list[BestAt]:
    """Return the best arm at each label count at which two arms or more have results."""
    counts, found = next(iter(curves.values())).label_counts, []
    for column, count in enumerate(counts):
        ranking = rank_arms(curves, column, 0.95)  # a level that no p-value depends on
        if ranking and ranking.shared.any():
            shared = {name: curves[name].errors[ranking.shared, :, column] for name in (ranking.best, *ranking.pairs)}
            best = _best_at(float(count), ranking, shared, draws)
            found.append(best if _has_all_arms(curves, column) else replace(best, p_value=np.nan, p_value_alone=np.nan))
    adjusted = holm([best.p_value for best in found])
    return [replace(best, p_value=float(p_value)) for best, p_value in zip(found, adjusted, strict=True)]


def _has_all_arms(curves: Mapping[str, ErrorCurve], column: int) -> bool:
    """Return whether every arm that has any result has one at this label count."""
    known = [curve.logs.is_known for curve in curves.values()]
    return all(bool(each[column]) for each in known if each.any())


def best_changes(curves: Mapping[str, ErrorCurve], best: list[BestAt], confidence: float) -> list[BestChange]:
    """Return where the best arm changes along ``best``, in rising order.

    These are the changes between neighbouring counts at which all arms have results, and one between arms that are
    significantly best at two counts between which a third arm lies lowest without being so.
    """
    columns = {float(count): column for column, count in enumerate(next(iter(curves.values())).label_counts)}
    counts = [item.label_count for item in best if _has_all_arms(curves, columns[item.label_count])]
    told = [item for item in best if item.p_value < 1 - confidence]
    spans = [pair for pair in itertools.pairwise(told) if pair[0].arm != pair[1].arm]
    changes, decided, through = list(_envelope(curves, counts)), set(), []
    for span in spans:
        direct = [change for change in changes if _is_within(span, *change)]
        if len(direct) == 1:
            decided |= {direct[0]}
        else:
            through.append((span[0].arm, span[1].arm, _meeting_within(curves, span, confidence)))
    found = [_change(curves, *change, change in decided, confidence) for change in changes]
    found += [_change(curves, *change, True, confidence) for change in through]
    return sorted(found, key=lambda change: change.labels)


def _meeting_within(curves: Mapping[str, ErrorCurve], span: tuple[BestAt, BestAt], confidence: float) -> float:
    """Return where two arms cross between the counts at which each is significantly best, near the middle."""
    first, last = span
    middle = math.sqrt(first.label_count * last.label_count)
    met = [each.labels for each in crossings(curves[first.arm].logs, curves[last.arm].logs, confidence)]
    within = [labels for labels in met if first.label_count <= labels <= last.label_count]
    return min(within, key=lambda each: abs(math.log(each / middle)), default=middle)


def _is_within(span: tuple[BestAt, BestAt], before: str, after: str, labels: float) -> bool:
    """Return whether a change is the one between two counts at which its arms are significantly best."""
    first, last = span
    return (first.arm, last.arm) == (before, after) and first.label_count <= labels <= last.label_count


def _change(
    curves: Mapping[str, ErrorCurve], before: str, after: str, labels: float, is_decided: bool, confidence: float
) -> BestChange:
    """Put the interval of the two arms' nearest crossing on a change."""
    pair = crossings(curves[before].logs, curves[after].logs, confidence)
    place = min(pair, key=lambda each: abs(np.log(each.labels / labels)), default=None)
    ends = (place.low, place.high) if place else (FEWER_THAN_MEASURED, MORE_THAN_MEASURED)
    return BestChange(before, after, labels, min(ends[0], labels), max(ends[1], labels), is_decided)


def _best_at(count: float, ranking: Ranking, errors: Mapping[str, Floats], draws: TwoLevelDraws) -> BestAt:
    """Add to a ranking how often its first arm is lowest in resamples of (seed, patient) errors without gaps."""
    names, patients = list(errors), draws.patients / draws.patients.sum(axis=1, keepdims=True)
    means = np.log(np.einsum("rp,asp->ras", patients, np.stack([errors[name] for name in names])).clip(1e-12))
    sums = np.einsum("rs,ras->ra", draws.seeds[:, ranking.shared], means)
    known = draws.seeds[:, ranking.shared].any(axis=1)
    is_lowest = sums[known] <= sums[known].min(axis=1, keepdims=True) + ROUNDING  # (resample, arm)
    share = float((is_lowest[:, names.index(ranking.best)] / is_lowest.sum(axis=1)).mean())
    return BestAt(count, ranking.best, next(iter(ranking.pairs)), share, ranking.p_value, ranking.p_value)


def _envelope(curves: Mapping[str, ErrorCurve], counts: list[float]) -> Iterator[tuple[str, str, float]]:
    """Yield each change of the lowest line: the arm before it, the arm after it and the labels at which they meet."""
    columns = [int(np.flatnonzero(next(iter(curves.values())).label_counts == count)[0]) for count in counts]
    logs = {name: curve.logs.by_seed for name, curve in curves.items()}
    for (low, first), (high, second) in itertools.pairwise(zip(counts, columns, strict=True)):
        ends = {name: np.stack([values[:, first], values[:, second]]) for name, values in logs.items()}
        ends = {name: values for name, values in ends.items() if not np.isnan(values).all(axis=1).any()}
        if len(ends) < 2:
            continue
        shared = np.asarray(~np.isnan(np.stack([*ends.values()])).any(axis=0))  # (end, seed)
        lines = {
            name: [float(v[s].mean()) if s.any() else np.nan for v, s in zip(values, shared, strict=True)]
            for name, values in ends.items()
        }
        for before, after, share in _meetings(lines):
            yield before, after, float(np.exp((1 - share) * np.log(low) + share * np.log(high)))


def _meetings(lines: Mapping[str, list[float]]) -> Iterator[tuple[str, str, float]]:
    """Yield where the lowest of straight lines over 0 to 1 changes."""
    own, share = min(lines, key=lambda name: lines[name][0]), 0.0
    while True:
        ahead = []
        for name, (start, end) in lines.items():
            fall = (lines[own][1] - lines[own][0]) - (end - start)  # how fast it gains on the lowest
            meets = (start - lines[own][0]) / fall if fall > 0 else np.inf
            if name != own and share <= meets < 1:
                ahead.append((meets, end, name))
        if not ahead:
            return
        share, _, name = min(ahead)
        yield own, name, share
        own = name

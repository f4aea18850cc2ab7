"""Where the best arm changes with labels, in words: the answer's point.

In: Findings. Out: a Point, or none where no two arms are significantly best anywhere; label counts in words.
"""

import itertools
import math

from analysis.answers.answer import CANNOT_TELL, Point, percent
from analysis.findings import Findings
from analysis.labels.best_change import BestAt
from analysis.labels.falling_curve import describe_labels, describe_labels_interval

QUESTION_OF_CHANGE = "Does the best arm change with labels?"


def best_change(findings: Findings) -> Point | None:
    """Say at how many labels another arm becomes the best; nothing where no two are significantly best anywhere.

    An arm is said to be the best at the label counts at which it is significantly better than all others.
    """
    decided = [change for change in findings.best_changes if change.is_decided]
    alpha = 1 - findings.results.options.confidence
    if not decided:
        return _change_untold(findings, [best for best in findings.best_arms if best.p_value_alone < alpha])
    unit, counts = findings.results.label_unit, findings.label_counts
    level, places = percent(findings.results.options.confidence), []
    for change in decided:
        interval = describe_labels_interval(change.low, change.high, counts)
        places.append(f"at about {describe_labels(change.labels, counts)} ({level} interval {interval})")
    told = [best for best in findings.best_arms if best.p_value < alpha]
    (first, where), *later = _arms_with_counts(findings, told)
    words = f"Significantly better than all others: {first} with {where} labelled {unit}"
    words += "".join(f", then {arm} with {where}" for arm, where in later)
    words += f"; they change places {' and '.join(places)}."
    if weaker := [best for best in findings.best_arms if best.p_value_alone < alpha <= best.p_value]:
        words += f" Taken alone {_in_sentence(findings, weaker)} would be, too, but not {_adjusted(findings)}."
    return Point(QUESTION_OF_CHANGE, _best_words(findings, told), words)


def _change_untold(findings: Findings, alone: list[BestAt]) -> Point | None:
    """Say that a change between arms, each best at a label count taken alone, is not certain over all counts."""
    if len({best.arm for best in alone}) < 2:
        return None
    words = "Whether the best arm changes with labels the data cannot tell: taken alone "
    words += (
        f"{_in_sentence(findings, alone)} labelled {findings.results.label_unit} would be significantly better than "
    )
    words += f"all others, but not all of these are {_adjusted(findings)}."
    return Point(QUESTION_OF_CHANGE, CANNOT_TELL, words)


def _adjusted(findings: Findings) -> str:
    number = sum(not math.isnan(best.p_value) for best in findings.best_arms)
    return f"after adjusting for the {number} label counts"


def _best_words(findings: Findings, told: list[BestAt]) -> str:
    return "; ".join(f"{arm} with {where}" for arm, where in _arms_with_counts(findings, told))


def _in_sentence(findings: Findings, told: list[BestAt]) -> str:
    return " and ".join(f"{arm} with {where}" for arm, where in _arms_with_counts(findings, told))


def _arms_with_counts(findings: Findings, told: list[BestAt]) -> list[tuple[str, str]]:
    """Return the arms in rising order of labels, each with its label counts in words."""
    counts = list(findings.label_counts)
    runs = itertools.groupby(told, key=lambda best: best.arm)
    return [(arm, counts_words(counts, [counts.index(best.label_count) for best in run])) for arm, run in runs]


def counts_words(counts: list[float], places: list[int]) -> str:
    """List some of the measured label counts; three or more without a gap by the first and the last."""
    if len(places) > 2 and places[-1] - places[0] == len(places) - 1:
        return f"{counts[places[0]]:.0f} to {counts[places[-1]]:.0f}"
    *others, last = (f"{counts[place]:.0f}" for place in places)
    return f"{', '.join(others)} and {last}" if others else last

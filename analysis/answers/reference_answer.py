"""Which arms differ significantly from the reference at any label count, in words: the answer's point.

In: Findings. Out: a Point that names every comparison of the table of differences that its adjustment leaves, so that a
harm or a gain away from the fewest labels is not overlooked.
"""

import math
from collections.abc import Sequence

from analysis.answers.answer import Point, percent
from analysis.answers.change_answer import counts_words
from analysis.findings import Difference, Findings


def differences_point(findings: Findings) -> Point | None:
    """Say which paired differences from the reference are significant, Holm-adjusted over all; none without any."""
    known = [item for item in findings.differences if not math.isnan(item.adjusted_p_value)]
    if not known:
        return None
    alpha = 1 - findings.results.options.confidence
    told = [item for item in known if item.adjusted_p_value < alpha]
    number = f"{len(told) or 'none'} of {len(known)} comparison{'s' * (len(known) != 1)}"
    head = f"Of {len(known)} comparison{'s' * (len(known) != 1)} with {findings.reference}, all label counts together, "
    words = f"{head}{len(told) or 'none'} {'is' if len(told) < 2 else 'are'} significant after adjusting for all (Holm)"
    clauses = [
        _clause(findings, variant, lower, items)
        for variant in dict.fromkeys(item.variant for item in told)
        for lower in (True, False)
        if (items := [each for each in told if each.variant == variant and _is_lower(each) == lower])
    ]
    question = f"What differs from {findings.reference}?"
    return Point(question, f"{number} significant", f"{words}{': ' * bool(clauses)}{'; '.join(clauses)}.")


def _is_lower(item: Difference) -> bool:
    return item.difference.estimate.value < 0


def _clause(findings: Findings, variant: str, lower: bool, items: Sequence[Difference]) -> str:
    """Say one variant's told differences of one sign: the ratio with its interval, or of several their range."""
    counts = [int(count) for count in findings.label_counts]
    where = counts_words(list(findings.label_counts), [counts.index(item.label_count) for item in items])
    ratios = [item.difference.ratio for item in items]
    if len(ratios) == 1:
        level = percent(findings.results.options.confidence)
        found = f"ratio of errors {ratios[0].value:.2f}, {level} interval {ratios[0].low:.2f} to {ratios[0].high:.2f}"
    else:
        values = sorted(ratio.value for ratio in ratios)
        found = f"ratios of errors {values[0]:.2f} to {values[-1]:.2f}"
    unit = findings.results.label_unit
    return f"{variant} has a {'lower' if lower else 'higher'} error with {where} labelled {unit} ({found})"

"""The variant with the lowest mean error at one label count, and whether it is significantly better than the others.

In: Findings. Out: a BestVariant. Method: ``ranking``, with Hochberg's adjustment over all comparisons with the best, so
that it is better than all others exactly where ``best_change`` finds so before adjusting for the label counts.
Source: Hochberg (1988), whose step-up holds for comparisons with one and the same arm.
"""

from dataclasses import dataclass

import numpy as np

from analysis.comparisons.comparison import hochberg
from analysis.comparisons.ranking import rank_arms
from analysis.findings import Findings
from analysis.intervals.uncertainty import Estimate
from analysis.scores.mean_error import mean_errors


@dataclass(frozen=True)
class BestVariant:
    """The headline variant with the lowest geometric mean error at one label count, against its rival.

    The rival is the reference, or the best of the others where the reference itself is the best. ``p_value`` is
    Hochberg-adjusted over all comparisons with the best.
    """

    variant: str
    rival: str
    label_count: int
    mean_error: Estimate  # over the arm's own seeds, as figures and tables show it
    ratio: Estimate  # of the best arm's error to the rival's
    p_value: float
    ties: tuple[str, ...]  # headline variants not significantly worse than the best, in rising order of mean error
    equals: tuple[str, ...] = ()  # those of the ties whose mean error is the same, up to rounding
    untested: tuple[str, ...] = ()  # those of the ties that no two seeds compare with the best
    missing: tuple[str, ...] = ()  # headline variants without results there


def best_variant(findings: Findings, label_count: int) -> BestVariant | None:
    """Return the best headline variant at a label count; None with fewer than two variants that have results
    there.
    """
    column = int(np.flatnonzero(findings.label_counts == label_count)[0])
    curves = {name: findings.curves[name] for name in findings.headline}
    confidence = findings.results.options.confidence
    ranking = rank_arms(curves, column, confidence)
    if ranking is None:
        return None
    others = list(ranking.pairs)
    adjusted = dict(zip(others, hochberg([ranking.p_values[name] for name in others]), strict=True))
    rival = findings.reference if findings.reference in others else others[0]
    return BestVariant(
        ranking.best,
        rival,
        label_count,
        mean_errors(curves[ranking.best].logs, confidence)[column],
        ranking.pairs[rival].ratio,
        float(adjusted[rival]),
        tuple(name for name in others if not adjusted[name] < 1 - confidence),
        tuple(name for name in ranking.equals if not adjusted[name] < 1 - confidence),
        tuple(name for name in others if np.isnan(adjusted[name])),
        tuple(name for name in findings.headline if name != ranking.best and name not in others),
    )


def best_at_fewest(findings: Findings) -> BestVariant | None:
    """Return the best headline variant at the fewest labels at which two of them have results; None without any."""
    at_each = (best_variant(findings, int(count)) for count in findings.label_counts)
    return next((best for best in at_each if best is not None), None)


def untested_words(best: BestVariant) -> str:
    """Name the arms that could not be tested against the best."""
    if not best.untested:
        return ""
    return f" Not tested against it, without two seeds in common: {', '.join(best.untested)}."


def lowest_words(best: BestVariant) -> str:
    """Say which arm has the lowest mean error, or which arms share it."""
    *others, last = (best.variant, *best.equals)
    return (
        f"{', '.join(others)} and {last} share the lowest mean error" if others else f"{last} has the lowest mean error"
    )


def missing_words(best: BestVariant) -> str:
    """Name the arms that may be better, but were not run there."""
    *others, last = best.missing or ("",)
    names = f"{', '.join(others)} and {last}" if others else last
    return f" {names} {'have' if others else 'has'} no result there." if last else ""

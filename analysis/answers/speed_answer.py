"""How much faster an arm converges, in words: the answer's point, and ratios of steps for those who need them.

In: Findings and SpeedUps. Out: a Point, phrases. A run ends with its budget of steps: what it did not reach within the
steps that all runs have is not said to be out of its reach.
"""

import math

from analysis.answers.answer import CANNOT_TELL, Point, percent
from analysis.convergence.survival import SpeedUp
from analysis.findings import Findings
from analysis.intervals.uncertainty import Estimate

NOT_REACHED = "did not reach the target"


def fastest(findings: Findings) -> str:
    """Return the headline variant with the highest speed-up over its label counts, the reference left out."""
    ratios = {
        name: findings.convergence.overall_speed_up(name).ratio.value
        for name in findings.headline
        if name != findings.reference
    }
    return max(ratios, key=lambda name: -math.inf if math.isnan(ratios[name]) else ratios[name])


def speed_point(findings: Findings, variant: str) -> Point:
    """Say the speed-up of a variant over the label counts that it shares with the reference."""
    question, study = "Does fine-tuning converge faster?", findings.convergence
    if not findings.results.cells["validation_slices"].any():
        words = "How fast the arms converge was not measured, since no validation slices are labelled."
        return Point(question, "not measured", words)
    result = study.overall_speed_up(variant)
    ratio, level = result.ratio, percent(findings.results.options.confidence)
    if math.isnan(ratio.value):
        return Point(question, CANNOT_TELL, "How fast the arms converge cannot be compared.")
    if not result.uncut.excludes(1.0):  # a run that ends before the target hides how far the ratio goes
        doubt = f"whether {variant} converges faster or slower than {findings.reference}{_over_some(result, findings)}"
        return Point(question, CANNOT_TELL, f"The data cannot tell {doubt} ({_why_no_speed(result, findings)}).")
    word, shown = ("faster", ratio)
    if ratio.value < 1:
        word, shown = ("slower", Estimate(1 / ratio.value, 1 / ratio.high, 1 / ratio.low, ratio.num_seeds))
    is_bound = result.bound != "exact"  # and, since it excludes 1, a lower one of the factor
    factor = f"{'at least ' * is_bound}{shown.value:.1f} times {word}"
    interval = f"from {shown.low:.1f} upwards" if is_bound else f"{shown.low:.1f} to {shown.high:.1f}"
    sentence = (
        f"Over {findings.over_labels(result.label_counts)} {variant} reaches the target Dice {factor} than "
        f"{findings.reference} ({level} interval {interval}{_censoring(result, findings)})."
    )
    return Point(question, f"{variant}: {factor}", sentence)


def _over_some(result: SpeedUp, findings: Findings) -> str:
    """Name the label counts of a mean where they are not all of the sweep's."""
    words = findings.over_labels(result.label_counts)
    return "" if words == findings.over_labels(()) else f" over {words}"


def _why_no_speed(result: SpeedUp, findings: Findings) -> str:
    """Say what leaves open which of two arms is faster: no interval, a wide one, or runs that end before the target.

    An interval of runs that were cut at their last step is not shown: runs that all end there would look equal.
    """
    ratio, level = result.ratio, percent(findings.results.options.confidence)
    whose = [(result.num_censored, "of its runs"), (result.num_reference_censored, "of the reference's runs")]
    cut = " and ".join(f"{count} {name}" for count, name in whose if count)
    missed = f"{cut} {NOT_REACHED} {findings.convergence.within()}"
    if not ratio.is_known:
        return f"no interval, and {missed}" if cut else "no interval"
    if result.bound == "exact":
        return f"ratio {ratio.value:.2g}, {level} interval {ratio.low:.2g} to {ratio.high:.2g}"
    if result.bound == "unbounded":
        return f"{missed}, so the ratio may be any"
    end = f"from {ratio.low:.2g} upwards" if result.bound == "at least" else f"up to {ratio.high:.2g}"
    return f"ratio {result.bound} {ratio.value:.2g}, {level} interval {end}: {missed}"


def _censoring(result: SpeedUp, findings: Findings) -> str:
    """Say that runs of the slower arm which did not reach the target make a factor of at least 1 a lower bound."""
    if result.bound == "exact":
        return ""
    is_slower = result.bound == "at most"
    count = result.num_censored if is_slower else result.num_reference_censored
    whose = "of its runs" if is_slower else "of the reference's runs"
    missed = f"{NOT_REACHED} {findings.convergence.within()}"
    return f"; {count} {whose} {missed}, so the factor is a lower bound"


def ratio_words(result: SpeedUp, findings: Findings) -> str:
    """Say a speed-up; runs that did not reach the target leave its interval open on their side."""
    ratio = result.ratio
    if result.bound == "unbounded":
        return f"an unknown number of times as fast (runs of both {NOT_REACHED} {findings.convergence.within()})"
    interval = interval_words(ratio, findings, ".2g")
    if result.bound != "exact" and ratio.is_known:
        end = f"from {ratio.low:.2g} upwards" if result.bound == "at least" else f"up to {ratio.high:.2g}"
        interval = f"{percent(findings.results.options.confidence)} interval {end}"
    return f"{f'{result.bound} ' * (result.bound != 'exact')}{ratio.value:.2g} times as fast ({interval})"


def steps_words(ratio: Estimate, bound: str, findings: Findings) -> str:
    """Say a ratio of steps; runs that did not reach the target leave its upper end, or all of it, unknown."""
    if bound == "unbounded":
        return f"an unknown number of times the steps (too many runs {NOT_REACHED} {findings.convergence.within()})"
    interval = interval_words(ratio, findings, ".2f")
    if bound == "at least" and ratio.is_known:
        interval = f"{percent(findings.results.options.confidence)} interval from {ratio.low:.2f} upwards"
    return f"{'at least ' * (bound == 'at least')}{ratio.value:.2f} times the steps ({interval})"


def interval_words(estimate: Estimate, findings: Findings, style: str) -> str:
    """Say an interval with its level, or that there is none."""
    if not estimate.is_known:
        return "no interval"
    level = percent(findings.results.options.confidence)
    return f"{level} interval {estimate.low:{style}} to {estimate.high:{style}}"

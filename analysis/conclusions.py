"""Put the findings into a few sentences that say no more than the intervals allow.

In: Findings. Out: the answer, point by point, and its caveats. What the data leave open is worded as "cannot tell".
"""

import math
from dataclasses import dataclass

import numpy as np

from analysis.arm_cost import arm_costs, cost_words, short_cost
from analysis.best_variant import BestVariant, best_variant
from analysis.caveats import caveats
from analysis.comparison import holm, paired_difference
from analysis.convergence import SpeedUp
from analysis.falling_curve import MORE_THAN_MEASURED, describe_labels, describe_labels_interval
from analysis.findings import EpochsStudy, Findings, epoch_ladder
from analysis.labels_needed import LabelsNeeded
from analysis.law_choice import is_falling
from analysis.uncertainty import Estimate

NO_PRETRAINING = "random"
CANNOT_TELL = "cannot tell"


@dataclass(frozen=True)
class Point:
    """One question that a reader has, its answer in a few words, and the sentence that these rest on."""

    question: str
    short: str
    sentence: str


@dataclass(frozen=True)
class Answer:
    """The answer point by point, and what limits it."""

    points: tuple[Point, ...]
    caveats: tuple[str, ...]

    @property
    def text(self) -> str:
        """Return the sentences alone."""
        return " ".join(point.sentence for point in self.points)


def conclude(findings: Findings) -> Answer:
    """Answer which pretraining, how many epochs and how many labels, or say that the data cannot tell."""
    best = best_variant(findings, int(findings.label_counts[0]))
    if best is None:
        words = f"Only {findings.reference} has finished cells, so nothing can be compared yet."
        only = Point("Which pretraining?", "one arm so far", words)
        alone = only, _cost(findings, findings.reference), _labels(findings, findings.reference)
        return Answer(alone, caveats(findings))
    rival = _fastest(findings) if best.variant == findings.reference else best.variant
    epochs = dict(zip(findings.variants["variant"], findings.variants["pretraining_epochs"], strict=True))
    subject = next((name for name in (best.variant, _fastest(findings)) if epochs[name]), best.variant)
    points: list[Point | None] = [_best(findings, best), _cost(findings, best.variant), _speed(findings, rival)]
    points += [_labels(findings, best.variant), best_change(findings), _epochs(findings, subject)]
    points.append(gain_over_random(findings, best.label_count))
    return Answer(tuple(point for point in points if point), caveats(findings))


def best_change(findings: Findings) -> Point | None:
    """Say at how many labels another arm becomes the best; nothing where no such change is decided."""
    decided = [change for change in findings.best_changes if change.is_decided]
    if not decided:
        return None
    unit, counts = findings.results.label_unit, findings.label_counts
    level, places = percent(findings.results.options.confidence), []
    for change in decided:
        labels = describe_labels(change.labels, counts)
        places.append((labels, f"({level} interval {describe_labels_interval(change.low, change.high, counts)})"))
    (labels, interval), *later = places
    words = f"Below about {labels} labelled {unit} {interval} {decided[0].before} does best, "
    for change, (labels, interval) in zip(decided, later, strict=False):
        words += f"then {change.after} up to about {labels} {interval}, "
    words += f"above it {decided[-1].after}."
    short = f"from about {describe_labels(decided[-1].labels, counts)} on {decided[-1].after}"
    return Point("Does the best arm change with labels?", short, words)


def gain_over_random(findings: Findings, label_count: int) -> Point | None:
    """Say whether any pretraining helps at a label count: paired differences from ``random``, Holm-adjusted.

    Returns None where the sweep has no such arm, or where it is the reference and has been compared already.
    """
    column = int(np.flatnonzero(findings.label_counts == label_count)[0])
    others = [name for name in findings.headline if name != NO_PRETRAINING]
    if NO_PRETRAINING not in findings.headline or findings.reference == NO_PRETRAINING:
        return None
    confidence = findings.results.options.confidence
    curves = findings.curves
    base = curves[NO_PRETRAINING].errors[:, :, column]
    pairs = {name: paired_difference(curves[name].errors[:, :, column], base, confidence) for name in others}
    pairs = {name: pair for name, pair in pairs.items() if pair.estimate.is_known}
    if not pairs:
        return None
    adjusted = dict(zip(pairs, holm([pair.p_value for pair in pairs.values()]), strict=True))
    best = min(pairs, key=lambda name: pairs[name].estimate.value)
    lower = sum(pair.estimate.value < 0 for pair in pairs.values())
    told = sum(pairs[name].estimate.value < 0 and adjusted[name] < 1 - confidence for name in pairs)
    gap = pairs[best].estimate
    unit, level = findings.results.label_unit, percent(confidence)
    words = (
        f"Against no pretraining (random) with {label_count} labelled {unit}, {lower} of {len(pairs)} pretrained arms "
        f"have a lower mean error, {told or 'none'} of them told apart after adjusting for all; the largest change is "
        f"that of {best} ({gap.value:+.3f}, {level} interval {gap.low:+.3f} to {gap.high:+.3f})."
    )
    return Point("Better than no pretraining?", f"{told or 'none'} of {len(pairs)} arms told apart", words)


def percent(confidence: float) -> str:
    """Say a confidence level, such as ``95%``."""
    return f"{100 * confidence:g}%"


def _best(findings: Findings, best: BestVariant) -> Point:
    undecided = not best.difference.is_known or best.rival in best.ties
    short = CANNOT_TELL if undecided else best.variant + (", not told from all" if best.ties else "")
    unit = findings.results.label_unit
    return Point(f"Which pretraining, with {best.label_count} labelled {unit}?", short, _best_sentence(findings, best))


def _best_sentence(findings: Findings, best: BestVariant) -> str:
    unit, level = findings.results.label_unit, percent(findings.results.options.confidence)
    head = f"With {best.label_count} labelled {unit}"
    scores = _scores(best, level)
    if not best.difference.is_known:
        return (
            f"{head} the data cannot tell which pretraining is best: {best.variant} has the lowest mean error "
            f"({scores}), but without a second seed there is no interval."
        )
    interval = f"{best.difference.low:+.3f} to {best.difference.high:+.3f}"
    difference = f"paired difference {best.difference.value:+.3f}, {level} interval {interval}"
    against = f"against {best.rival}" + (" (the next best)" if best.rival != findings.reference else "")
    if best.rival in best.ties:
        return (
            f"{head} the data cannot tell which pretraining is best: {best.variant} has the lowest mean error "
            f"({scores}), but {against} its {difference} is compatible with no difference"
            + ("" if best.difference.low <= 0 <= best.difference.high else " after adjusting for all arms compared")
            + "."
        )
    evidence = f"({scores}; {against}: {difference})"
    if best.ties:
        tie = " or ".join(best.ties)
        return f"{head} {best.variant} beats {best.rival} {evidence}, but cannot be told from {tie}."
    return f"{head} {best.variant} does best {evidence}."


def _scores(best: BestVariant, level: str) -> str:
    """Say the mean that the figure of errors shows, and whose is the lowest where it is another arm's."""
    mean, other = best.mean_error, best.lowest_geometric
    interval = f", {level} interval {mean.low:.3f} to {mean.high:.3f}" if mean.is_known else ""
    lowest = f", the lowest geometric mean is that of {other}" if other != best.variant else ""
    return f"geometric mean {mean.value:.3f}{interval}{lowest}"


def _cost(findings: Findings, variant: str) -> Point:
    """Say what one run of the arm with the lowest mean error has cost, and all of it."""
    cost = arm_costs(findings.results)[variant]
    return Point(f"What did {variant} cost?", short_cost(cost), cost_words(variant, cost))


def _fastest(findings: Findings) -> str:
    """Return the headline variant with the highest speed-up over all label counts, the reference left out."""
    ratios = {
        name: findings.convergence.overall_speed_up(name).ratio.value
        for name in findings.headline
        if name != findings.reference
    }
    return max(ratios, key=lambda name: -math.inf if math.isnan(ratios[name]) else ratios[name])


def _speed(findings: Findings, variant: str) -> Point:
    """Say the speed-up of a variant over all label counts."""
    question, study = "Does fine-tuning converge faster?", findings.convergence
    if not findings.results.cells["validation_slices"].any():
        words = "How fast the arms converge was not measured, since no validation slices are labelled."
        return Point(question, "not measured", words)
    result = study.overall_speed_up(variant)
    ratio, level = result.ratio, percent(findings.results.options.confidence)
    if math.isnan(ratio.value):
        return Point(question, CANNOT_TELL, "How fast the arms converge cannot be compared.")
    if not result.uncut.excludes(1.0):  # a run that never reached the target hides how far the ratio goes
        doubt = f"whether {variant} converges faster or slower than {findings.reference}"
        return Point(question, CANNOT_TELL, f"The data cannot tell {doubt} ({_why_no_speed(result, level)}).")
    word, shown = ("faster", ratio)
    if ratio.value < 1:
        word, shown = ("slower", Estimate(1 / ratio.value, 1 / ratio.high, 1 / ratio.low, ratio.num_seeds))
    is_bound = result.bound != "exact"  # and, since it excludes 1, a lower one of the factor
    factor = f"{'at least ' * is_bound}{shown.value:.1f} times {word}"
    interval = f"from {shown.low:.1f} upwards" if is_bound else f"{shown.low:.1f} to {shown.high:.1f}"
    sentence = (
        f"Over all label counts {variant} reaches the target Dice {factor} than {findings.reference} "
        f"({level} interval {interval}{_censoring(result)})."
    )
    return Point(question, f"{variant}: {factor}", sentence)


def _why_no_speed(result: SpeedUp, level: str) -> str:
    """Say what leaves open which of two arms is faster: no interval, a wide one, or runs that end before the target."""
    ratio = result.ratio
    if not ratio.is_known:
        return "no interval"
    known_as = f"ratio {ratio.value:.2g}, {level} interval {ratio.low:.2g} to {ratio.high:.2g}"
    if not ratio.excludes(1.0):
        return known_as
    whose = [(result.num_censored, "of its runs"), (result.num_reference_censored, "of the reference's runs")]
    cut = " and ".join(f"{count} {name}" for count, name in whose if count)
    return f"{known_as} where all are cut at the last step, but {cut} never reached the target"


def _censoring(result: SpeedUp) -> str:
    """Say that runs of the slower arm which never reached the target make a factor of at least 1 a lower bound."""
    if result.bound == "exact":
        return ""
    is_slower = result.bound == "at most"
    count = result.num_censored if is_slower else result.num_reference_censored
    whose = "of its runs" if is_slower else "of the reference's runs"
    return f"; {count} {whose} never reached the target, so the factor is a lower bound"


def _labels(findings: Findings, variant: str) -> Point:
    unit, counts = findings.results.label_unit, findings.label_counts
    question, needed = f"How many labelled {unit}?", findings.near_reference_minimum.get(variant)
    if reason := _why_no_labels(findings, needed):
        return Point(question, CANNOT_TELL, f"How many {unit} are needed cannot be told, since {reason}.")
    assert needed is not None
    goal, level = _labels_goal(findings, variant, needed), percent(findings.results.options.confidence)
    count, low = describe_labels(needed.count.labels, counts), needed.count.low
    interval = describe_labels_interval(low, needed.count.high, counts)
    known = "no interval" if math.isnan(low) else f"{level} interval {interval}"
    short = f"{count} ({variant})" if interval in (count, "unknown") else f"{count} ({interval}; {variant})"
    if needed.count.labels == MORE_THAN_MEASURED:
        sentence = f"To come {goal}, {variant} needs more labels than were measured ({known})."
    elif not math.isnan(low) and low <= counts[0] and needed.count.verdict == "cannot tell":
        short = CANNOT_TELL
        sentence = f"The data cannot tell how many labelled {unit} {variant} needs to come {goal}."
    else:
        about = "about " * math.isnan(low)
        sentence = f"To come {goal}, {variant} needs {about}{count} labelled {unit} ({known})."
    return Point(question, short, sentence)


def _why_no_labels(findings: Findings, needed: LabelsNeeded | None) -> str:
    """Say why no number of labels can be given; nothing where one can."""
    if len(findings.label_counts) == 1:
        return "only one label count was run"
    falls = is_falling(findings.label_counts, findings.medians(findings.reference))
    if needed is None or math.isnan(needed.target_error) or not falls:
        return f"the error of {findings.reference} does not fall with labels"
    return ""


def _labels_goal(findings: Findings, variant: str, needed: LabelsNeeded) -> str:
    margin, error = percent(findings.results.options.near_minimum), needed.target_error
    whose = "its own error" if variant == findings.reference else f"the error of {findings.reference}"
    most = f"{findings.label_counts[-1]:.0f} {findings.results.label_unit}"
    return f"within {margin} of {whose} at {most} (target error {error:.3f}, a Dice of {1 - error:.2f})"


def _epochs(findings: Findings, variant: str) -> Point:
    question, rows = "How many pretraining epochs?", findings.variants.set_index("variant")
    arm = str(rows.loc[variant, "arm"])
    if int(str(rows.loc[variant, "pretraining_epochs"])) == 0:
        return Point(question, "none to choose", f"There are no pretraining epochs to choose for {variant}.")
    study = epochs_study(findings, arm, "error")
    ladder = [number for number in epoch_ladder(findings.variants, arm) if number]
    if len(ladder) < 2 or study is None:
        words = f"Only {ladder[-1]} pretraining epochs were run, so how many suffice cannot be told."
        return Point(question, CANNOT_TELL, words)
    enough, margin = study.result.sufficient_epochs, percent(findings.results.options.near_minimum)
    unclear = [e for e, v in zip(study.result.epochs, study.result.verdicts, strict=True) if v == "cannot tell"]
    if enough is None:
        doubt = f"none is shown to be within {margin} of every other for {study.arm}"
        words = f"How many pretraining epochs suffice cannot be told: {doubt}"
        return Point(question, CANNOT_TELL, f"{words} ({study.result.best_epochs} have the lowest mean error).")
    fewer = [number for number in unclear if number < enough]
    doubt = f", and whether {fewer[0]} would do the data cannot tell" if fewer else ""
    own = f"{enough} pretraining epoch{' is' if enough == 1 else 's are'} enough for {study.arm}"
    short = f"{enough}{', perhaps fewer' * bool(fewer)} ({study.arm})"
    return Point(question, short, f"{own} to be within {margin} of the error of every other number{doubt}.")


def epochs_study(findings: Findings, arm: str, measure: str, label_count: int | None = None) -> EpochsStudy | None:
    """Return the study of one arm's epochs, over all label counts unless one is given."""
    for study in findings.epochs:
        if (study.arm, study.measure, study.label_count) == (arm, measure, label_count):
            return study
    return None

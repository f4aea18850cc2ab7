"""Put the findings into a few sentences that say no more than the intervals allow.

In: Findings. Out: the answer, point by point, and its caveats. What the data leave open is worded as "cannot tell".
"""

from collections.abc import Mapping, Sequence

import numpy as np

from analysis.answers.answer import CANNOT_TELL, Answer, Point, percent
from analysis.answers.best_variant import (
    BestVariant,
    best_at_fewest,
    best_variant,
    lowest_words,
    missing_words,
    untested_words,
)
from analysis.answers.caveats import caveats
from analysis.answers.change_answer import best_change
from analysis.answers.labels_answer import labels_point
from analysis.answers.reference_answer import differences_point
from analysis.answers.speed_answer import fastest, speed_point
from analysis.comparisons.comparison import PairedDifference, compare_at, hochberg
from analysis.counted import labels, number
from analysis.findings import Findings
from analysis.intervals.uncertainty import ROUNDING, Estimate
from analysis.pretraining.arm_cost import arm_costs, cost_words, short_cost
from analysis.pretraining.epochs_study import EpochsStudy, epoch_ladder

NO_PRETRAINING = "random"


def conclude(findings: Findings) -> Answer:
    """Answer which pretraining, how many epochs and how many labels, or say that the data cannot tell."""
    best = best_at_fewest(findings)
    points = _uncompared(findings) if best is None else _compared(findings, best)
    return Answer(tuple(point for point in points if point), caveats(findings))


def _uncompared(findings: Findings) -> list[Point | None]:
    """Answer what can be answered of one arm, or of arms that share no label count."""
    names, arm = findings.headline, findings.variants.set_index("variant")["arm"]
    epochs = [_epochs(findings, names[0])] if len(findings.variants) > 1 else []
    short, words = "one arm so far", f"Only {names[0]} has finished cells, so nothing can be compared yet."
    if len(names) > 1:
        short, words = CANNOT_TELL, "No two arms have results at one and the same label count yet."
    elif epochs:
        words = f"Of all arms only {arm[names[0]]} has finished cells, so no other can be compared with it yet."
    head = Point("Which pretraining?", short, words), _cost(findings, names[0])
    return [*head, labels_point(findings, names[0]), *epochs]


def _compared(findings: Findings, best: BestVariant) -> list[Point | None]:
    """Answer all questions where two arms or more can be compared."""
    rival = fastest(findings) if best.variant == findings.reference else best.variant
    epochs = dict(zip(findings.variants["variant"], findings.variants["pretraining_epochs"], strict=True))
    subject = next((name for name in (best.variant, fastest(findings)) if epochs[name]), best.variant)
    points: list[Point | None] = [_best(findings, best), _cost(findings, best.variant), speed_point(findings, rival)]
    points += [labels_point(findings, best.variant), best_change(findings), _epochs(findings, subject)]
    points += [gain_over_random(findings, best.label_count), differences_point(findings)]
    return points


def gain_over_random(findings: Findings, label_count: int) -> Point | None:
    """Say whether any pretraining helps at a label count: paired differences from ``random``, Hochberg-adjusted.

    Returns None where the sweep has no such arm, or where it is the reference and has been compared already.
    """
    column = int(np.flatnonzero(findings.label_counts == label_count)[0])
    others = [name for name in findings.headline if name != NO_PRETRAINING]
    if NO_PRETRAINING not in findings.headline or findings.reference == NO_PRETRAINING:
        return None
    confidence = findings.results.options.confidence
    curves = findings.curves
    pairs = {name: compare_at(column, curves[name], curves[NO_PRETRAINING], confidence) for name in others}
    pairs = {name: pair for name, pair in pairs.items() if pair.estimate.is_known}
    if not pairs:
        return None
    adjusted = dict(zip(pairs, hochberg([pair.p_value for pair in pairs.values()]), strict=True))
    told = [name for name in pairs if adjusted[name] < 1 - confidence and abs(pairs[name].estimate.value) > ROUNDING]
    better, worse = _lower_and_higher([pairs[name] for name in told])
    where, level = labels(label_count, findings.results.label_unit), percent(confidence)
    words = (
        f"Against no pretraining (random) with {where}, {_numbers_words(list(pairs.values()))}; after adjusting for "
        f"comparisons with random, {_told_words(better, worse)}{_largest_words(pairs, level)}."
    )
    best = best_variant(findings, label_count)
    if best and best.variant in pairs and NO_PRETRAINING not in best.ties and best.variant not in told:
        words += f" As the arm with the lowest mean, tested against all others, {best.variant} is better than random."
    short = f"{better or 'none'} of {len(pairs)} arms significantly better" + f", {worse} worse" * bool(worse)
    return Point("Better than no pretraining?", short, words)


def _lower_and_higher(pairs: Sequence[PairedDifference]) -> tuple[int, int]:
    """Count the arms with a lower and with a higher mean error; equal ones up to rounding are neither."""
    values = [pair.estimate.value for pair in pairs]
    return sum(value < -ROUNDING for value in values), sum(value > ROUNDING for value in values)


def _numbers_words(pairs: Sequence[PairedDifference]) -> str:
    """Say how many arms have a lower, a higher and the same mean error."""
    lower, higher = _lower_and_higher(pairs)
    counts = {"a lower mean error": lower, "a higher one": higher, "the same one": len(pairs) - lower - higher}
    first, *others = [(number, words) for words, number in counts.items() if number or words == "a lower mean error"]
    *between, last = [f"{number} {words}" for number, words in others] or [""]
    rest = "".join(f", {each}" for each in between) + f" and {last}" * bool(last)
    return f"{lower} of {len(pairs)} pretrained arms {'has' if lower == 1 else 'have'} {first[1]}{rest}"


def _largest_words(pairs: Mapping[str, PairedDifference], level: str) -> str:
    """Say which arm differs most; nothing where all are equal."""
    largest = max(pairs, key=lambda name: abs(pairs[name].estimate.value))
    if abs(pairs[largest].estimate.value) <= ROUNDING:
        return ""
    ratio = ratio_of_errors(pairs[largest].ratio, level)
    return f"; the largest change is that of {largest} (ratio of errors {ratio})"


def _told_words(better: int, worse: int) -> str:
    if not better and not worse:
        return "none differs significantly from it"
    return f"{better or 'none'} {'is' if better < 2 else 'are'} significantly better and {worse or 'none'} worse"


def _best(findings: Findings, best: BestVariant) -> Point:
    undecided = not best.ratio.is_known or best.rival in best.ties
    short = CANNOT_TELL if undecided else best.variant + (", not distinguishable from all" if best.ties else "")
    where = labels(best.label_count, findings.results.label_unit)
    return Point(f"Which pretraining, with {where}?", short, _best_sentence(findings, best) + missing_words(best))


def _best_sentence(findings: Findings, best: BestVariant) -> str:
    level = percent(findings.results.options.confidence)
    head = f"With {labels(best.label_count, findings.results.label_unit)}"
    if best.label_count > findings.label_counts[0]:
        head += ", the fewest at which two arms have results,"
    scores = _scores(best, level)
    if not best.ratio.is_known:
        return (
            f"{head} the data cannot tell which pretraining is best: {lowest_words(best)} "
            f"({scores}), but {_why_no_ratio(best)}."
        )
    if best.rival in best.equals:
        return f"{head} the data cannot tell which pretraining is best: {lowest_words(best)} ({scores})."
    ratio = f"paired ratio of errors {ratio_of_errors(best.ratio, level)}"
    against = f"against {best.rival}" + (" (the next best)" if best.rival != findings.reference else "")
    if best.rival in best.ties:
        return (
            f"{head} the data cannot tell which pretraining is best: {lowest_words(best)} "
            f"({scores}), but {against} its {ratio} {_why_untold(best)}."
        )
    evidence = f"({scores}; {against}: {ratio})"
    if best.ties:
        tie = " or ".join(name for name in best.ties if name not in best.untested)
        doubt = f", but cannot be distinguished from {tie}" if tie else ""
        return f"{head} {best.variant} beats {best.rival} {evidence}{doubt}.{untested_words(best)}"
    return f"{head} {best.variant} does best {evidence}."


def _why_no_ratio(best: BestVariant) -> str:
    if best.mean_error.is_known:
        return f"it and {best.rival} have no two seeds in common yet, which a comparison needs"
    return "without a second seed there is no interval"


def _why_untold(best: BestVariant) -> str:
    if best.ratio.low > 1:
        return "on the seeds that both have is not below 1"
    if best.ratio.high < 1:
        return "is compatible with no difference after adjusting for all arms compared"
    return "is compatible with no difference"


def _scores(best: BestVariant, level: str) -> str:
    """Say the mean that the figure of errors shows."""
    mean = best.mean_error
    interval = f", {level} interval {mean.low:.3f} to {mean.high:.3f}" if mean.is_known else ""
    return f"geometric mean {mean.value:.3f}{interval}"


def ratio_of_errors(ratio: Estimate, level: str) -> str:
    """Say a ratio of two arms' mean errors with its interval."""
    return f"{ratio.value:.2f}, {level} interval {ratio.low:.2f} to {ratio.high:.2f}"


def _cost(findings: Findings, variant: str) -> Point:
    """Say what one run of the arm with the lowest mean error has cost, and all of it."""
    cost = arm_costs(findings.results)[variant]
    return Point(f"What did {variant} cost?", short_cost(cost), cost_words(variant, cost))


def _epochs(findings: Findings, variant: str) -> Point:
    question, rows = "How many pretraining epochs?", findings.variants.set_index("variant")
    arm = str(rows.loc[variant, "arm"])
    if int(str(rows.loc[variant, "pretraining_epochs"])) == 0:
        if arm_costs(findings.results)[variant].num_pretraining_runs:
            words = f"{variant} was pretrained for one number of epochs (its stage has no milestones)"
            return Point(question, CANNOT_TELL, f"How many pretraining epochs suffice cannot be determined: {words}.")
        return Point(question, "none to choose", f"There are no pretraining epochs to choose for {variant}.")
    study = findings.epochs_study(arm, "error")
    ladder = [epochs for epochs in epoch_ladder(findings.variants, arm) if epochs]
    if len(ladder) < 2 or study is None:
        words = f"Only one number of pretraining epochs was run ({ladder[-1]}), so it cannot be said how many suffice."
        return Point(question, CANNOT_TELL, words)
    enough, margin = study.result.sufficient_epochs, percent(findings.results.options.near_minimum)
    unclear = [e for e, v in zip(study.result.epochs, study.result.verdicts, strict=True) if v == "cannot tell"]
    if enough is None:
        doubt = f"none is shown to be within {margin} of every other for {study.arm}"
        words = f"How many pretraining epochs suffice cannot be determined: {doubt}"
        return Point(question, CANNOT_TELL, f"{words} ({_lowest_epochs(study)}).")
    fewer = [epochs for epochs in unclear if epochs < enough]
    doubt = f", and whether {fewer[0]} would do the data cannot tell" if fewer else ""
    over = f"over {findings.over_labels(study.label_counts)}"
    own = f"{enough} pretraining epoch{' is' if enough == 1 else 's are'} enough for {study.arm}"
    short = f"{enough}{', perhaps fewer' * bool(fewer)} ({study.arm})"
    return Point(question, short, f"{own} to be within {margin} of the error of every other number, {over}{doubt}.")


def _lowest_epochs(study: EpochsStudy) -> str:
    """Say which number of epochs has the lowest mean error, or which numbers share it."""
    ratios = zip(study.result.epochs, study.result.ratios, strict=True)
    *others, last = [epochs for epochs, ratio in ratios if abs(ratio.value - 1.0) <= ROUNDING]
    if others:
        return f"{', '.join(map(str, others))} and {last} epochs share the lowest mean error"
    return f"{number(last, 'epoch')} {'has' if last == 1 else 'have'} the lowest mean error"

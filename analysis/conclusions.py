"""Put the findings into one or two sentences that say no more than the intervals allow.

In: Findings. Out: the answer and its caveats. An interval that includes "no difference" is worded as "cannot
tell".
"""

import math
from dataclasses import dataclass

import numpy as np

from analysis.comparison import holm, paired_difference
from analysis.convergence import SpeedUp
from analysis.falling_curve import MORE_THAN_MEASURED, describe_labels, describe_labels_interval
from analysis.findings import EpochsStudy, Findings, epoch_ladder
from analysis.law_choice import is_falling
from analysis.uncertainty import FEW_SEEDS, Estimate

NO_PRETRAINING = "random"


@dataclass(frozen=True)
class Answer:
    """The answer in at most two sentences, and what limits it."""

    text: str
    caveats: tuple[str, ...]


@dataclass(frozen=True)
class BestVariant:
    """The headline variant with the lowest mean error at one label count, against its rival.

    Arms are ranked on the seeds that all of them have. The rival is the reference, or the best of the others
    where the reference itself is the best. ``p_value`` is Holm-adjusted over all comparisons with the best.
    """

    variant: str
    rival: str
    label_count: int
    median_error: float
    difference: Estimate  # error of the best minus error of the rival
    p_value: float
    ties: tuple[str, ...]  # headline variants that cannot be told from the best


def conclude(findings: Findings) -> Answer:
    """Answer which pretraining, how many epochs and how many labels, or say that the data cannot tell."""
    best = best_variant(findings, int(findings.label_counts[0]))
    if best is None:
        only = f"Only {findings.reference} has finished cells, so nothing can be compared yet"
        return Answer(f"{only}; {_labels_clause(findings, findings.reference)}.", _caveats(findings))
    rival = _fastest(findings) if best.variant == findings.reference else best.variant
    first = f"{_best_clause(findings, best)}; {_speed_clause(findings, rival)}."
    labels = _labels_clause(findings, best.variant)
    epochs = dict(zip(findings.variants["variant"], findings.variants["pretraining_epochs"], strict=True))
    subject = next((name for name in (best.variant, _fastest(findings)) if epochs[name]), best.variant)
    second = f"{labels[0].upper()}{labels[1:]}; {_epochs_clause(findings, subject)}."
    gain = gain_over_random(findings, best.label_count)
    return Answer(" ".join([first, second, *([gain] if gain else [])]), _caveats(findings))


def gain_over_random(findings: Findings, label_count: int) -> str:
    """Say whether any pretraining helps at a label count: paired differences from ``random``, Holm-adjusted.

    Returns nothing where the sweep has no such arm, or where it is the reference and has been compared already.
    """
    column = int(np.flatnonzero(findings.label_counts == label_count)[0])
    others = [name for name in findings.headline if name != NO_PRETRAINING]
    if NO_PRETRAINING not in findings.headline or findings.reference == NO_PRETRAINING:
        return ""
    confidence = findings.results.options.confidence
    curves = findings.curves
    base = curves[NO_PRETRAINING].errors[:, :, column]
    pairs = {name: paired_difference(curves[name].errors[:, :, column], base, confidence) for name in others}
    pairs = {name: pair for name, pair in pairs.items() if pair.estimate.is_known}
    if not pairs:
        return ""
    adjusted = dict(zip(pairs, holm([pair.p_value for pair in pairs.values()]), strict=True))
    best = min(pairs, key=lambda name: pairs[name].estimate.value)
    lower = sum(pair.estimate.value < 0 for pair in pairs.values())
    told = sum(pairs[name].estimate.value < 0 and adjusted[name] < 1 - confidence for name in pairs)
    gap = pairs[best].estimate
    unit, level = findings.results.label_unit, percent(confidence)
    return (
        f"Against no pretraining (random) with {label_count} labelled {unit}, {lower} of {len(pairs)} pretrained arms "
        f"have a lower mean error, {told or 'none'} of them told apart after adjusting for all; the largest change is "
        f"that of {best} ({gap.value:+.3f}, {level} interval {gap.low:+.3f} to {gap.high:+.3f})."
    )


def best_variant(findings: Findings, label_count: int) -> BestVariant | None:
    """Return the best headline variant at a label count; None with fewer than two variants that have results
    there.
    """
    column = int(np.flatnonzero(findings.label_counts == label_count)[0])
    errors = {name: findings.errors[name][:, column] for name in findings.headline}
    errors = {name: values for name, values in errors.items() if not np.isnan(values).all()}
    if len(errors) < 2:
        return None
    shared = ~np.isnan(np.stack(list(errors.values()))).any(axis=0)  # seeds that all of them have
    shared = shared if shared.any() else np.ones_like(shared)
    order = sorted(errors, key=lambda name: float(np.nanmean(np.where(shared, errors[name], np.nan))))
    best, others = order[0], order[1:]
    confidence = findings.results.options.confidence
    curves = findings.curves
    pairs = {
        name: paired_difference(curves[best].errors[:, :, column], curves[name].errors[:, :, column], confidence)
        for name in others
    }
    adjusted = dict(zip(others, holm([pairs[name].p_value for name in others]), strict=True))
    rival = findings.reference if findings.reference in others else others[0]
    return BestVariant(
        best,
        rival,
        label_count,
        float(np.nanmedian(errors[best])),
        pairs[rival].estimate,
        float(adjusted[rival]),
        tuple(name for name in others if not adjusted[name] < 1 - confidence),
    )


def percent(confidence: float) -> str:
    """Say a confidence level, such as ``95%``."""
    return f"{100 * confidence:g}%"


def _best_clause(findings: Findings, best: BestVariant) -> str:
    unit, level = findings.results.label_unit, percent(findings.results.options.confidence)
    head = f"With {best.label_count} labelled {unit}"
    scores = f"median {best.median_error:.3f}"
    if not best.difference.is_known:
        return (
            f"{head} the data cannot tell which pretraining is best: {best.variant} has the lowest mean error "
            f"({scores}), but without a second seed there is no interval"
        )
    interval = f"{best.difference.low:+.3f} to {best.difference.high:+.3f}"
    difference = f"paired difference {best.difference.value:+.3f}, {level} interval {interval}"
    against = f"against {best.rival}" + (" (the next best)" if best.rival != findings.reference else "")
    if best.rival in best.ties:
        return (
            f"{head} the data cannot tell which pretraining is best: {best.variant} has the lowest mean error "
            f"({scores}), but {against} its {difference} is compatible with no difference"
            + ("" if best.difference.low <= 0 <= best.difference.high else " after adjusting for all arms compared")
        )
    evidence = f"({scores}; {against}: {difference})"
    if best.ties:
        tie = " or ".join(best.ties)
        return f"{head} {best.variant} beats {best.rival} {evidence}, but cannot be told from {tie}"
    return f"{head} {best.variant} does best {evidence}"


def _fastest(findings: Findings) -> str:
    """Return the headline variant with the highest speed-up over all label counts, the reference left out."""
    ratios = {
        name: findings.convergence.overall_speed_up(name).ratio.value
        for name in findings.headline
        if name != findings.reference
    }
    return max(ratios, key=lambda name: -math.inf if math.isnan(ratios[name]) else ratios[name])


def _speed_clause(findings: Findings, variant: str) -> str:
    """Say the speed-up of a variant over all label counts."""
    study = findings.convergence
    if not findings.results.cells["validation_slices"].any():
        return "how fast the arms converge was not measured, since no validation slices are labelled"
    if math.isnan(study.overall_speed_up(variant).ratio.value):
        return "how fast the arms converge cannot be compared"
    result = study.overall_speed_up(variant)
    ratio, level = result.ratio, percent(findings.results.options.confidence)
    if not ratio.excludes(1.0):
        known_as = f"ratio {ratio.value:.2g}, {level} interval {ratio.low:.2g} to {ratio.high:.2g}"
        reason = known_as if ratio.is_known else "no interval"
        question = f"whether {variant} converges faster or slower than {findings.reference}"
        return f"the data cannot tell {question} ({reason})"
    word, shown = ("faster", ratio)
    if ratio.value < 1:
        word, shown = ("slower", Estimate(1 / ratio.value, 1 / ratio.high, 1 / ratio.low, ratio.num_seeds))
    return (
        f"{variant} reaches the target Dice {shown.value:.1f} times {word} than {findings.reference} "
        f"({level} interval {shown.low:.1f} to {shown.high:.1f}{_censoring(result)})"
    )


def _censoring(result: SpeedUp) -> str:
    """Say what runs that never reached the target make of a factor of at least 1, faster or slower."""
    if result.bound == "exact":
        return ""
    if result.bound == "unbounded":
        return "; runs of both arms never reached the target, so the factor is rough"
    arm_is_censored = result.bound == "at most"
    count = result.num_censored if arm_is_censored else result.num_reference_censored
    whose = "of its runs" if arm_is_censored else "of the reference's runs"
    side = "a lower" if arm_is_censored == (result.ratio.value < 1) else "an upper"
    return f"; {count} {whose} never reached the target, so the factor is {side} bound"


def _labels_clause(findings: Findings, variant: str) -> str:
    margin, unit = percent(findings.results.options.near_minimum), findings.results.label_unit
    needed, counts = findings.near_reference_minimum.get(variant), findings.label_counts
    if len(counts) == 1:
        return f"how many {unit} are needed cannot be told, since only one label count was run"
    if (
        needed is None
        or math.isnan(needed.target_error)
        or not is_falling(counts, findings.medians(findings.reference))
    ):
        reason = f"the error of {findings.reference} does not fall with labels"
        return f"how many {unit} are needed cannot be told, since {reason}"
    whose = "its own error" if variant == findings.reference else f"the error of {findings.reference}"
    goal = f"within {margin} of {whose} at {counts[-1]:.0f} {unit} (target {needed.target_error:.3f})"
    interval = describe_labels_interval(needed.count.low, needed.count.high, counts)
    level = percent(findings.results.options.confidence)
    if needed.count.labels == MORE_THAN_MEASURED:
        shown = "no interval" if math.isnan(needed.count.low) else f"{level} interval {interval}"
        return f"to come {goal}, {variant} needs more labels than were measured ({shown})"
    count = describe_labels(needed.count.labels, counts)
    if math.isnan(needed.count.low):
        return f"to come {goal}, {variant} needs about {count} labelled {unit} (no interval)"
    if needed.count.low <= counts[0] and needed.count.verdict == "cannot tell":
        return f"the data cannot tell how many labelled {unit} {variant} needs to come {goal}"
    return f"to come {goal}, {variant} needs {count} labelled {unit} ({level} interval {interval})"


def _epochs_clause(findings: Findings, variant: str) -> str:
    rows = findings.variants.set_index("variant")
    arm = str(rows.loc[variant, "arm"])
    if int(str(rows.loc[variant, "pretraining_epochs"])) == 0:
        return f"{variant} has no pretraining epochs to choose"
    study = epochs_study(findings, arm, "error")
    ladder = [number for number in epoch_ladder(findings.variants, arm) if number]
    if len(ladder) < 2 or study is None:
        return f"only {ladder[-1]} pretraining epochs were run, so how many suffice cannot be told"
    enough, margin = study.result.sufficient_epochs, percent(findings.results.options.near_minimum)
    unclear = [e for e, v in zip(study.result.epochs, study.result.verdicts, strict=True) if v == "cannot tell"]
    fewer = [number for number in unclear if enough is None or number < enough]
    if enough is None:
        return "how many pretraining epochs suffice cannot be told"
    doubt = f", and whether {fewer[0]} would do the data cannot tell" if fewer else ""
    own = f"{enough} pretraining epoch{' is' if enough == 1 else 's are'} enough for {study.arm}"
    return f"{own} to be within {margin} of its best error{doubt}"


def epochs_study(findings: Findings, arm: str, measure: str, label_count: int | None = None) -> EpochsStudy | None:
    """Return the study of one arm's epochs, over all label counts unless one is given."""
    for study in findings.epochs:
        if (study.arm, study.measure, study.label_count) == (arm, measure, label_count):
            return study
    return None


def _caveats(findings: Findings) -> tuple[str, ...]:
    caveats, num_seeds = [], len(findings.seeds)
    if num_seeds == 1:
        caveats.append("One seed: there are no intervals, and no difference between arms can be told from chance.")
    elif num_seeds < FEW_SEEDS:
        factor = {2: 12.7, 3: 4.3, 4: 3.2}[num_seeds]
        caveats.append(
            f"Only {num_seeds} seeds: t intervals are wide (95% is ±{factor} standard errors, 2.3 with ten "
            "seeds), so real differences can go unseen. At least 5 seeds, better 10, would settle more."
        )
    cells = findings.results.cells
    pretrained = cells[cells["pretraining_schedule"] != "none"]
    if (num_runs := pretrained["pretraining_seed"].nunique()) == 1:
        caveats.append(
            "One pretraining run per stage: intervals cover the choice of labelled images and the "
            "fine-tuning, not what another pretraining run would have given."
        )
    elif 1 < num_runs < num_seeds:
        caveats.append(
            f"{num_runs} pretraining runs per stage serve {num_seeds} seeds: seeds that share a run are more alike "
            "than others, so intervals are somewhat too narrow for what another pretraining run would have given."
        )
    if (slices := int(cells["validation_slices"].max())) > 0:
        caveats.append(
            f"Beside the labels counted here, {slices} slices of {cells['validation_patients'].max()} patients are "
            "labelled for the validation curves. They choose nothing: the last network of each run is tested."
        )
    if len(findings.results.missing):
        num_missing, num_planned = len(findings.results.missing), len(findings.results.planned)
        unfinished = (
            " Until they are there, arms may stand on different seeds." if num_missing > 0.1 * num_planned else ""
        )
        caveats.append(f"{num_missing} of {num_planned} planned cells are missing.{unfinished}")
    return tuple(caveats)

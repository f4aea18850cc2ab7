"""Check the claims of arXiv 2209.00314 on this sweep: supported, not supported, cannot tell or not tested.

In: Findings. Out: one verdict per claim with the figure and interval it rests on. The rule of each verdict
is part of it.
Note: the sweep may use other data, models and step budgets than the paper; a verdict is about this sweep
alone.
"""

from dataclasses import dataclass

import numpy as np

from analysis.answers.answer import CANNOT_TELL, percent
from analysis.answers.best_variant import best_variant, lowest_words, missing_words, untested_words
from analysis.answers.labels_answer import no_goal_words
from analysis.answers.speed_answer import interval_words, ratio_words, steps_words
from analysis.counted import labels
from analysis.findings import Findings
from analysis.intervals.uncertainty import Estimate
from analysis.labels.falling_curve import MORE_THAN_MEASURED, describe_labels_interval
from analysis.labels.labels_needed import NO_OVERLAP
from analysis.labels.law_choice import is_falling
from analysis.pretraining.epochs_study import epoch_ladder
from analysis.pretraining.saturation import Saturation

HIERARCHICAL = "byol-natural+byol-domain"
SUPERVISED = "supervised-natural"
SUPPORTED, NOT_SUPPORTED = "supported", "not supported"
NOT_TESTED = "not tested"  # the sweep lacks the arms, epochs or labels that the claim is about
CLAIMED_SPEED_UP = 4.0
CLAIMED_EPOCHS = 5
CLAIMED_SLICES = 100.0


@dataclass(frozen=True)
class Claim:
    """A claim, its verdict on this sweep, the evidence in words and the rule that turned one into the
    other.
    """

    name: str
    statement: str
    verdict: str
    evidence: str
    rule: str


def check_claims(findings: Findings) -> list[Claim]:
    """Check all claims of the paper."""
    return [_speed(findings), _epochs(findings), _few_labels(findings), _near_minimal(findings)]


def _speed(findings: Findings) -> Claim:
    verdict, evidence = _judge_speed(findings)
    return Claim(
        "Convergence speed",
        f"{HIERARCHICAL} converges 4 to 5 times faster than {SUPERVISED}.",
        verdict,
        evidence,
        "Supported: at least 4 times at the most labels, with the interval wholly above 2. Not supported: "
        "the interval ends below 4.",
    )


def _judge_speed(findings: Findings) -> tuple[str, str]:
    variant = _headline(findings, HIERARCHICAL)
    if variant is None or not findings.reference.startswith(SUPERVISED):
        return (
            NOT_TESTED,
            f"This needs finished cells of {HIERARCHICAL}, with {SUPERVISED} as the reference arm.",
        )
    count = int(findings.label_counts[-1])
    result = findings.convergence.speed_up(variant, count)
    ratio, overall = result.ratio, findings.convergence.overall_speed_up(variant)
    if not ratio.is_known:
        return CANNOT_TELL, f"Fewer than two pairs of seeds have runs at {count} labels."
    evidence = f"{variant}: {ratio_words(result, findings)} at {count} labels; "
    evidence += f"{ratio_words(overall, findings)} over {findings.over_labels(overall.label_counts)}."
    if result.num_censored or result.num_reference_censored:
        evidence += (
            f" Not at the target {findings.convergence.within(count)} at {count} labels: {result.num_censored} of its "
            f"runs and {result.num_reference_censored} of the reference's ({result.bound})."
        )
    if ratio.high < CLAIMED_SPEED_UP and result.bound in ("exact", "at most"):
        return NOT_SUPPORTED, f"{evidence} {_speed_words(result.uncut)}"
    if not result.uncut.excludes(1.0):
        return CANNOT_TELL, evidence + " That there is no difference is not ruled out."
    if ratio.value >= CLAIMED_SPEED_UP and ratio.low > 2 and result.bound in ("exact", "at least"):
        return SUPPORTED, evidence
    return CANNOT_TELL, evidence + " It differs from the reference, but the factor is too uncertain."


def _speed_words(ratio: Estimate) -> str:
    """Say what a speed-up below the claimed one is instead."""
    if not ratio.excludes(1.0):
        return "A factor of four is ruled out; whether there is any difference is undecided."
    return "It is faster, but by less than claimed." if ratio.low > 1 else "The effect is not there: it is slower."


def _epochs(findings: Findings) -> Claim:
    verdict, evidence = _judge_epochs(findings)
    margin = percent(findings.results.options.near_minimum)
    return Claim(
        "Pretraining epochs",
        f"Fewer than five domain epochs of {HIERARCHICAL} are enough for its gain in convergence speed.",
        verdict,
        evidence,
        "Over the label counts that were run with every number of epochs. Supported: some number of epochs from 1 to 4 "
        f"is shown to need at most {margin} more steps to the target than every other number, and some number is "
        "significantly better than 0. Not supported: every number from 1 to 4 is shown to need more, or 0 are enough.",
    )


def _judge_epochs(findings: Findings) -> tuple[str, str]:
    variant, study = _headline(findings, HIERARCHICAL), findings.epochs_study(HIERARCHICAL, "steps")
    if variant is None or study is None:
        return _why_no_epochs(findings)
    result = study.result
    ratios = dict(zip(result.epochs, zip(result.ratios, result.bounds, strict=True), strict=True))
    verdicts = dict(zip(result.epochs, result.verdicts, strict=True))
    few = [number for number in result.epochs if 0 < number < CLAIMED_EPOCHS]
    if not few or max(result.epochs) < CLAIMED_EPOCHS:
        ran = ", ".join(map(str, (number for number in epoch_ladder(findings.variants, HIERARCHICAL) if number)))
        return NOT_TESTED, f"This needs numbers of epochs below and above five; the sweep has {ran}."
    others = [number for number in few if number != result.best_epochs]
    parts = [f"with {number} {steps_words(*ratios[number], findings)}" for number in others]
    evidence = f"Over {findings.over_labels(study.label_counts)}: fewest steps with {result.best_epochs} epochs"
    evidence += "".join(f"; {part}" for part in parts) + "."
    if 0 in ratios:
        evidence += f" Without domain epochs: {steps_words(*ratios[0], findings)}."
        if verdicts[0] == "enough":
            return NOT_SUPPORTED, evidence + " There is no gain from domain epochs beyond the margin in this sweep."
        if not _gains(result, findings.results.options.confidence):
            return CANNOT_TELL, evidence + " Whether domain epochs gain anything is undecided."
    judged = {verdicts[number] for number in few}
    if "enough" in judged:
        return SUPPORTED, evidence
    return (NOT_SUPPORTED if judged == {"not enough"} else CANNOT_TELL), evidence


def _why_no_epochs(findings: Findings) -> tuple[str, str]:
    """Say why the steps with numbers of epochs cannot be compared: these were not run, not validated or too slow."""
    if findings.epochs_study(HIERARCHICAL, "error") is None:
        return NOT_TESTED, f"This needs finished cells of {HIERARCHICAL} at two or more numbers of epochs."
    study = findings.convergence
    if not study.targets:
        return NOT_TESTED, "This needs validation curves, and no validation slices are labelled."
    return CANNOT_TELL, f"No run that could be compared reached the target {study.within()}, with any number of epochs."


def _gains(result: Saturation, confidence: float) -> bool:
    """Return whether some number of epochs is significantly better than the fewest."""
    better = [ratio.value < result.ratios[0].value for ratio in result.ratios]
    return any(lower and p_value < 1 - confidence for lower, p_value in zip(better, result.gains, strict=True))


def _few_labels(findings: Findings) -> Claim:
    verdict, evidence = _judge_few_labels(findings)
    return Claim(
        "Few labels",
        f"With few labels, {SUPERVISED} gives the lowest error.",
        verdict,
        evidence,
        "At the fewest labels. Supported: lowest mean error, and every other arm differs significantly from it "
        "(paired t tests, Hochberg). Not supported: another arm is significantly better.",
    )


def _judge_few_labels(findings: Findings) -> tuple[str, str]:
    own = _headline(findings, SUPERVISED)
    best = best_variant(findings, int(findings.label_counts[0]))
    if own is None or best is None or own in best.missing:
        return (
            NOT_TESTED,
            f"This needs finished cells of {SUPERVISED} and of another arm at the fewest labels.",
        )
    where = f"At {labels(best.label_count, findings.results.label_unit)}"
    rival = best.rival if best.variant == own else own
    evidence = f"{where} {lowest_words(best)}"
    if best.rival == rival and best.ratio.is_known:
        interval = interval_words(best.ratio, findings, ".2f")
        evidence += f"; over that of {rival} {best.ratio.value:.2f} ({interval}, adjusted p {best.p_value:.2g})"
    if best.variant == own:
        if best.ties:
            tested = ", ".join(name for name in best.ties if name not in best.untested)
            doubt = f" Not significantly different from it: {tested}." if tested else ""
            return CANNOT_TELL, f"{evidence}.{doubt}{untested_words(best)}"
        return SUPPORTED, f"{evidence}. Every other arm differs significantly from it.{missing_words(best)}"
    if own in best.untested:
        return CANNOT_TELL, f"{evidence}.{untested_words(best)}"
    if own in best.ties:
        return CANNOT_TELL, f"{evidence}. The two do not differ significantly."
    return NOT_SUPPORTED, f"{evidence}. The effect is not there: another arm is better."


def _near_minimal(findings: Findings) -> Claim:
    verdict, evidence = _judge_near_minimal(findings)
    margin = percent(findings.results.options.near_minimum)
    return Claim(
        "Fewer than 100 slices",
        f"Fewer than 100 labelled slices bring {SUPERVISED} near its minimal error.",
        verdict,
        evidence,
        f"Near is within {margin} of its error at the most labels. Supported: the interval of labels needed "
        "ends below 100 slices. Not supported: it begins above. A sweep with at most 100 slices cannot tell.",
    )


def _judge_near_minimal(findings: Findings) -> tuple[str, str]:
    own = _headline(findings, SUPERVISED)
    needed = findings.near_own_minimum.get(own) if own else None
    if own is None or needed is None:
        return NOT_TESTED, f"This needs finished cells of {SUPERVISED}."
    known = findings.measured_counts(own)
    if len(known) < 2:
        return NOT_TESTED, f"This needs two or more label counts; {own} was run at {known[0]:.0f} alone."
    if np.isnan(needed.target_error):
        most_labels = labels(int(findings.label_counts[-1]), findings.results.label_unit)
        return CANNOT_TELL, f"{own} has no result at {most_labels}, so its error at the most labels is unknown."
    if needed.target_error >= NO_OVERLAP:
        return CANNOT_TELL, f"There is no minimum to come near to: {no_goal_words(findings, own)}."
    if not is_falling(findings.label_counts, findings.mean_errors(own)):
        return (
            CANNOT_TELL,
            f"The error of {own} does not fall with labels, so there is no minimum to come near to.",
        )
    slices = np.array([findings.slices_at(count) for count in known])
    most = float(slices[-1])
    if most <= CLAIMED_SLICES:
        return (
            NOT_TESTED,
            f"The sweep goes up to {most:.0f} labelled slices, so its own minimum lies below 100.",
        )
    low, high = (_as_slices(end, known, slices) for end in (needed.count.low, needed.count.high))
    words = describe_labels_interval(low, high, slices)
    evidence = f"{own} needs {words} labelled slices ({percent(findings.results.options.confidence)} interval)"
    evidence += f" for an error of {needed.target_error:.3f}."
    if np.isnan(low):
        return CANNOT_TELL, "One seed gives no interval."
    if max(high, slices[0]) < CLAIMED_SLICES:  # an end at the fewest measured may lie anywhere below these
        return SUPPORTED, evidence
    return (NOT_SUPPORTED if low > CLAIMED_SLICES else CANNOT_TELL), evidence


def _headline(findings: Findings, arm: str) -> str | None:
    arms = dict(zip(findings.variants["variant"], findings.variants["arm"], strict=True))
    return next((name for name in findings.headline if arms[name] == arm), None)


def _as_slices(
    labels: float, label_counts: np.typing.NDArray[np.float64], slices: np.typing.NDArray[np.float64]
) -> float:
    """Turn a label count in any unit into slices; the edge codes stay."""
    if labels == MORE_THAN_MEASURED or labels == 0 or np.isnan(labels):
        return labels
    return float(np.exp(np.interp(np.log(labels), np.log(label_counts), np.log(slices))))

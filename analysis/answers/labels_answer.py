"""The answer to how many labels are needed, in no more words than the interval allows.

In: Findings and a variant. Out: a Point.
"""

import math

from analysis.answers.answer import CANNOT_TELL, Point, percent
from analysis.findings import Findings
from analysis.labels.falling_curve import MORE_THAN_MEASURED, describe_labels, describe_labels_interval
from analysis.labels.labels_needed import NO_OVERLAP, LabelsNeeded
from analysis.labels.law_choice import is_falling


def labels_point(findings: Findings, variant: str) -> Point:
    """Say how many labels bring a variant near the reference's error at the most labels."""
    unit, counts = findings.results.label_unit, findings.measured_counts(variant)
    question, needed = f"How many labelled {unit}?", findings.near_reference_minimum.get(variant)
    if reason := _why_no_labels(findings, needed):
        return Point(question, CANNOT_TELL, f"How many {unit} are needed cannot be determined, since {reason}.")
    assert needed is not None
    goal, level = _labels_goal(findings, variant, needed), percent(findings.results.options.confidence)
    count, low = describe_labels(needed.count.labels, counts), needed.count.low
    interval = describe_labels_interval(low, needed.count.high, counts)
    known = "no interval" if math.isnan(low) else f"{level} interval {interval}"
    short = f"{count} ({variant})" if interval in (count, "unknown") else f"{count} ({interval}; {variant})"
    if needed.count.verdict == "not reached":
        sentence = f"To come {goal}, {variant} needs more labels than were measured ({known})."
    elif needed.count.labels == MORE_THAN_MEASURED:
        short = CANNOT_TELL
        doubt = f"and there is {known}" if math.isnan(low) else f"but {describe_labels(low, counts)} may do ({known})"
        sentence = f"The data cannot tell how many labelled {unit} {variant} needs to come {goal}: its mean error does "
        sentence += f"not come there, {doubt}."
    elif not math.isnan(low) and low <= counts[0] and needed.count.verdict == "cannot tell":
        short = CANNOT_TELL
        sentence = f"The data cannot tell how many labelled {unit} {variant} needs to come {goal}."
    else:
        about = "about " * math.isnan(low)
        sentence = f"To come {goal}, {variant} needs {about}{count} labelled {unit} ({known})."
    return Point(question, short, sentence + _of_reference(findings, variant))


def _of_reference(findings: Findings, variant: str) -> str:
    """Say what the reference itself needs for the same error: fewer labels than that is what a variant saves."""
    own, counts = findings.near_reference_minimum.get(findings.reference), findings.measured_counts(findings.reference)
    if variant == findings.reference or own is None or math.isnan(own.count.labels):
        return ""
    needs = describe_labels(own.count.labels, counts)
    interval = describe_labels_interval(own.count.low, own.count.high, counts)
    known = " (no interval)" if math.isnan(own.count.low) else f" ({interval})" * (interval != needs)
    return f" {findings.reference} itself needs {needs}{known}."


def _why_no_labels(findings: Findings, needed: LabelsNeeded | None) -> str:
    """Say why no number of labels can be given; nothing where one can."""
    if len(findings.label_counts) == 1:
        return "only one label count was run"
    if needed is not None and math.isnan(needed.target_error):
        return f"{findings.reference} has no result at {_most_labels(findings)}"
    if needed is not None and needed.target_error >= NO_OVERLAP:
        return no_goal_words(findings, findings.reference)
    falls = is_falling(findings.label_counts, findings.mean_errors(findings.reference))
    if needed is None or not falls:
        return f"the error of {findings.reference} does not fall with labels"
    return ""


def no_goal_words(findings: Findings, variant: str) -> str:
    """Say that a network without any overlap comes near a variant's error at the most labels."""
    near, error = percent(findings.results.options.near_minimum), findings.mean_errors(variant)[-1]
    whose = f"the error of {variant} at {_most_labels(findings)} is {error:.3f}"
    return f"{whose}, and a network that segments nothing (error 1) comes within {near} of it"


def _labels_goal(findings: Findings, variant: str, needed: LabelsNeeded) -> str:
    margin, error = percent(findings.results.options.near_minimum), needed.target_error
    whose = "its own error" if variant == findings.reference else f"the error of {findings.reference}"
    return (
        f"within {margin} of {whose} at {_most_labels(findings)} (target error {error:.3f}, a Dice of {1 - error:.2f})"
    )


def _most_labels(findings: Findings) -> str:
    return f"{findings.label_counts[-1]:.0f} {findings.results.label_unit}"

"""How fast, how frugal and by which law the arms that two experiments share learn in each of them.

In: the findings of both. Out: two rows for each common variant, side by side. Nothing is tested here: each experiment
has its own reference, target and label counts, which ``comparison.md`` says.
"""

import numpy as np
import pandas as pd

from analysis.findings import Findings
from analysis.intervals.uncertainty import Floats
from analysis.labels.falling_curve import describe_labels, describe_labels_interval
from analysis.labels.labels_needed import LabelCount
from analysis.labels.law_fit import LawFit

COLUMNS = [
    *("variant", "experiment", "speed_up", "speed_up_low", "speed_up_high"),
    *("uncut_low", "uncut_high", "ratio_is", "label_counts"),
    *(
        "target_error",
        "labels",
        "labels_low",
        "labels_high",
        "labels_needed",
        "law",
        "floor",
        "floor_low",
        "floor_high",
    ),
]


def arms_table(first: Findings, second: Findings) -> pd.DataFrame:
    """List speed-up over ``label_counts``, labels needed and fitted law of every variant that both experiments have.

    ``labels`` come within the configured margin of the own reference's error at most labels; 0 means the fewest
    measured or fewer, inf more than the most measured. ``speed_up_low`` and ``speed_up_high`` are of steps cut at the
    horizon, ``uncut_low`` and ``uncut_high`` of all: 0 or infinite where censored runs hide it.
    """
    common = [name for name in first.variants["variant"] if name in set(second.variants["variant"])]
    sides = (("first", first), ("second", second))
    rows = [(name, which, *_row(findings, name)) for name in common for which, findings in sides]
    return pd.DataFrame(rows, columns=COLUMNS)


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table for reading: labels needed in words alone."""
    return table.drop(columns=["labels", "labels_low", "labels_high"])


def arms_note(first: Findings, second: Findings) -> str:
    """Say what the numbers of each side are relative to."""
    sides = [
        f"{which}: against {findings.reference}, target {findings.results.options.target_words(findings.reference)}, "
        f"labels needed to come within {100 * findings.results.options.near_minimum:g}% of its error at "
        f"{findings.label_counts[-1]:.0f} {findings.results.label_unit}"
        for which, findings in (("first", first), ("second", second))
    ]
    return (
        "Each experiment by its own measure, so differences between the two rows of an arm are not tested "
        f"({'; '.join(sides)}). A speed-up is over the label counts named beside it."
    )


def _row(findings: Findings, variant: str) -> tuple[object, ...]:
    speed, needed = findings.convergence.overall_speed_up(variant), findings.near_reference_minimum[variant]
    fit, unknown = findings.laws[variant], (np.nan,) * 3
    floor = unknown
    if isinstance(fit, LawFit) and fit.law.family.has_floor:
        found = fit.parameter("floor", findings.results.options.confidence)
        floor = found.value, found.low, found.high
    labels: tuple[object, ...] = (np.nan, *unknown, "cannot tell")
    if needed is not None:
        labels = _labels(findings.measured_counts(variant), needed.target_error, needed.count)
    law = f"{fit.law.family.name}: {fit.law.family.formula}" if isinstance(fit, LawFit) else f"none: {fit.reason}"
    ratio, uncut = speed.ratio, speed.uncut
    ends = ratio.value, ratio.low, ratio.high, uncut.low, uncut.high, speed.bound
    return *ends, ", ".join(map(str, speed.label_counts)), *labels, law, *floor


def _labels(counts: Floats, target: float, count: LabelCount) -> tuple[object, ...]:
    words = describe_labels(count.labels, counts)
    interval = describe_labels_interval(count.low, count.high, counts)
    words = words if interval in (words, "unknown") else f"{words} ({interval})"
    return target, count.labels, count.low, count.high, words

"""What the report shows of errors and labels as tables: one data frame per CSV file.

In: Findings. Out: data frames with plain column names, numbers unrounded; the page rounds them.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from analysis.findings import Findings
from analysis.intervals.bootstrap import BOOTSTRAP_SEED, median_intervals, two_level_draws
from analysis.intervals.robust_scores import interquartile_mean
from analysis.intervals.uncertainty import Estimate
from analysis.labels.falling_curve import describe_labels_interval
from analysis.labels.labels_needed import LabelCount, LabelsNeeded, labels_by_law
from analysis.labels.law_choice import falls_with_labels
from analysis.labels.law_fit import LawFit
from analysis.loading.replicates import mean_of_runs
from analysis.scores.mean_error import mean_errors

COLUMNS = ("error", "test_dice", "test_iou", "val_dice", "labelled_slices", "labelled_patients")
LAW_PARAMETERS = ("floor", "scale", "exponent", "transition")


def errors(findings: Findings) -> pd.DataFrame:
    """Summarise test error per variant and label count: centre and median with intervals, quartiles over seeds.

    ``error`` is the geometric mean over seeds with its t interval over seeds and patients, ``median_error`` stands with
    a two-level bootstrap interval, too narrow below five seeds. ``interquartile_mean`` is blank below four seeds. Runs
    of one seed are averaged first.
    """
    cells, tested = findings.results.cells, findings.cell_errors
    cells = cells.assign(error=tested.means) if tested.left_out and tested.patients else cells
    grouped = mean_of_runs(cells, COLUMNS).groupby(["variant", "label_count"], sort=True)
    table = grouped.agg(
        labelled_slices=("labelled_slices", "median"),
        labelled_patients=("labelled_patients", "median"),
        num_seeds=("seed", "nunique"),
        median_error=("error", "median"),
        median_test_dice=("test_dice", "median"),
        median_test_iou=("test_iou", "median"),
        median_val_dice=("val_dice", "median"),
    )
    place = list(table.columns).index("median_test_dice")
    for shift, name in enumerate(("quartile_1", "quartile_3")):
        table.insert(place + shift, name, grouped["error"].quantile(0.25 + 0.5 * shift))
    middle = grouped["error"].agg(lambda errors: interquartile_mean(errors.to_numpy(dtype=np.float64)))
    table.insert(place + 2, "interquartile_mean", middle)
    return table.join(_error_intervals(findings)).reset_index()


def _error_intervals(findings: Findings) -> pd.DataFrame:
    options, rows = findings.results.options, []
    draws = two_level_draws(
        len(findings.seeds), findings.num_patients, options.bootstrap_resamples, np.random.default_rng(BOOTSTRAP_SEED)
    )
    for variant, curve in findings.curves.items():
        ends = median_intervals(curve.errors, draws, options.confidence)
        means = mean_errors(curve.logs, options.confidence)
        for index, (label_count, mean) in enumerate(zip(findings.label_counts, means, strict=True)):
            if mean.num_seeds:
                centre = mean.value, mean.low, mean.high
                rows.append((variant, int(label_count), *centre, ends[0][index], ends[1][index]))
    columns = ["variant", "label_count", "error", "error_low", "error_high", "median_low", "median_high"]
    return pd.DataFrame(rows, columns=columns).set_index(["variant", "label_count"])


def laws(findings: Findings) -> pd.DataFrame:
    """List the fitted laws with their parameters' intervals, or why there is none."""
    rows = []
    for variant, fit in findings.laws.items():
        row: dict[str, object] = {"variant": variant}
        row["spearman"] = falls_with_labels(findings.label_counts, findings.mean_errors(variant))
        if isinstance(fit, LawFit):
            row |= _law_columns(fit, findings.results.options.confidence)
        else:
            row["refused_because"] = fit.reason
        rows.append(row)
    columns = ["variant", "spearman", "family", "formula", "not_told_from"]
    columns += [f"{name}{end}" for name in LAW_PARAMETERS for end in ("", "_low", "_high")]
    columns += ["rms_log_residual", "rms_log_extrapolation", "refused_because"]
    return pd.DataFrame(rows).reindex(columns=columns)


def labels_needed(findings: Findings) -> pd.DataFrame:
    """List the labels needed for each target: 0 means the fewest measured or fewer, inf more than the most measured."""
    rows = []
    for goal, margin, by_variant in _goals(findings):
        for variant, needed in by_variant.items():
            if needed:
                head = {"goal": goal, "margin": margin, "variant": variant}
                rows.append(head | _needed_columns(needed, findings, variant))
    return pd.DataFrame(rows)


def label_equivalence(findings: Findings) -> pd.DataFrame:
    """List how many labels of the reference an arm's labels are worth: 0 means fewer than measured, inf
    more.
    """
    rows = []
    for variant, items in findings.equivalences.items():
        for item in items:
            worth = item.worth
            counts = findings.measured_counts(findings.reference)
            words = describe_labels_interval(worth.low, worth.high, counts, "fewer than")
            head = {"variant": variant, "label_count": int(item.label_count), "reference_labels": worth.labels}
            rows.append(head | {"low": worth.low, "high": worth.high, "interval": words})
    return pd.DataFrame(rows)


def equivalence_curve(findings: Findings) -> pd.DataFrame:
    """List label equivalence on the measured label counts and between them, with a pointwise interval."""
    measured = set(findings.label_counts)
    rows = [
        (name, item.label_count, item.label_count in measured, item.worth.labels, item.worth.low, item.worth.high)
        for name, items in findings.equivalence_curves.items()
        for item in items
    ]
    return pd.DataFrame(rows, columns=["variant", "label_count", "is_measured", "reference_labels", "low", "high"])


def best_arms(findings: Findings) -> pd.DataFrame:
    """List the arm with the lowest mean log error at each label count, and whether it is significantly better than all.

    ``p_value`` is adjusted for the label counts; ``p_value_alone``, of each count by itself, is what the answer on the
    fewest labels goes by.
    Note: ``share_of_resamples`` in which it is lowest is no probability, and coarse with few seeds.
    """
    rows = [(int(b.label_count), b.arm, b.runner_up, b.share, b.p_value, b.p_value_alone) for b in findings.best_arms]
    columns = ["label_count", "best", "runner_up", "share_of_resamples", "p_value", "p_value_alone"]
    return pd.DataFrame(rows, columns=columns)


def best_changes(findings: Findings) -> pd.DataFrame:
    """List where another arm becomes the best: ``low`` 0 and ``high`` infinite are beyond the measured counts."""
    rows = [(c.before, c.after, c.labels, c.low, c.high, c.is_decided) for c in findings.best_changes]
    return pd.DataFrame(rows, columns=["best_below", "best_above", "labels", "low", "high", "is_decided"])


def crossings(findings: Findings) -> pd.DataFrame:
    """List where the better of an arm and the reference changes; blank labels mean that the means never cross.

    With several changes the last stands here.
    """
    rows = [(name, c.labels, c.low, c.high, c.is_certain) for name, c in findings.crossings.items()]
    return pd.DataFrame(rows, columns=["variant", "labels", "low", "high", "is_certain"])


def uncertainty(findings: Findings) -> pd.DataFrame:
    """List what seeds and test patients add to the standard error of each log ratio to the reference.

    Note: the larger part says whether more seeds or more test patients would narrow the interval.
    """
    rows = []
    for item in findings.differences:
        pair = item.difference
        if pair.estimate.is_known:
            helps = "test patients" if pair.patient_error > pair.seed_error else "seeds"
            rows.append((item.variant, item.label_count, pair.seed_error, pair.patient_error, helps))
    return pd.DataFrame(rows, columns=["variant", "label_count", "seed_error", "patient_error", "more_would_help_of"])


def _goals(findings: Findings) -> list[tuple[str, float, Mapping[str, LabelsNeeded | None]]]:
    """Return every target of labels: its name, its margin (NaN for the target error) and the answers by variant."""
    goals: list[tuple[str, float, Mapping[str, LabelsNeeded | None]]] = []
    for whose, by_margin in (("its own", findings.near_own), ("the reference's", findings.near_reference)):
        for margin, answers in by_margin.items():
            goals.append((f"within {100 * margin:g}% of {whose} error at most labels", margin, answers))
    if findings.reach_target_error:
        goals.append(("the target error", float("nan"), findings.reach_target_error))
    return goals


def _needed_columns(needed: LabelsNeeded, findings: Findings, variant: str) -> dict[str, object]:
    counts, count, fit = findings.measured_counts(variant), needed.count, findings.laws[variant]
    unknown = LabelCount(float("nan"), float("nan"), float("nan"))
    confidence = findings.results.options.confidence
    law = labels_by_law(fit, needed.target_error, confidence) if isinstance(fit, LawFit) else unknown
    return {
        "target_error": needed.target_error,
        "labels": count.labels,
        "low": count.low,
        "high": count.high,
        "interval": describe_labels_interval(count.low, count.high, counts),
        "verdict": count.verdict,
        "labels_by_law": law.labels,
        "by_law_low": law.low,
        "by_law_high": law.high,
        "is_extrapolated": bool(law.labels > counts[-1]),
    }


def _law_columns(fit: LawFit, confidence: float) -> dict[str, object]:
    row: dict[str, object] = {"family": fit.law.family.name, "formula": fit.law.family.formula}
    row["not_told_from"] = ", ".join(rival.law.family.name for rival in fit.rivals)
    names = fit.law.family.parameters
    found: dict[str, Estimate] = {
        name: fit.parameter(name, confidence) for name in ("floor", "exponent") if name in names
    }
    if "log_scale" in names:
        found["scale"] = fit.parameter("log_scale", confidence).exponential()
    if (place := fit.transition(confidence)) is not None:
        found["transition"] = place
    for name, estimate in found.items():
        row |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    scores = fit.scores.get(fit.law.family.name)
    return row | {"rms_log_residual": fit.residual, "rms_log_extrapolation": scores, "refused_because": ""}

"""The variant with the lowest mean error at one label count, and whether it can be told from the others.

In: Findings. Out: a BestVariant. Source: ``comparison``; Holm's adjustment over all comparisons with the best.
"""

from dataclasses import dataclass

import numpy as np

from analysis.comparison import holm, paired_difference
from analysis.findings import Findings
from analysis.mean_error import mean_errors
from analysis.uncertainty import Estimate


@dataclass(frozen=True)
class BestVariant:
    """The headline variant with the lowest mean error at one label count, against its rival.

    Arms are ranked by arithmetic means, whose differences are tested, on the seeds that all of them have. The rival is
    the reference, or the best of the others where the reference itself is the best. ``p_value`` is Holm-adjusted over
    all comparisons with the best.
    """

    variant: str
    rival: str
    label_count: int
    mean_error: Estimate  # the geometric mean that figures and tables show
    lowest_geometric: str  # the variant with the lowest of these, mostly the same
    difference: Estimate  # error of the best minus error of the rival
    p_value: float
    ties: tuple[str, ...]  # headline variants that cannot be told from the best


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
    means = {name: mean_errors(curves[name].logs, confidence)[column] for name in order}
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
        means[best],
        min(means, key=lambda name: means[name].value),
        pairs[rival].estimate,
        float(adjusted[rival]),
        tuple(name for name in others if not adjusted[name] < 1 - confidence),
    )

"""The variant with the lowest mean error at one label count, and whether it can be told from the others.

In: Findings. Out: a BestVariant. Source: ``comparison``; Holm's adjustment over all comparisons with the best.
"""

from dataclasses import dataclass

import numpy as np

from analysis.comparison import compare_at, holm
from analysis.findings import Findings
from analysis.mean_error import mean_errors
from analysis.uncertainty import Estimate


@dataclass(frozen=True)
class BestVariant:
    """The headline variant with the lowest geometric mean error at one label count, against its rival.

    Arms are ranked by the mean of what is tested, log errors, on the seeds that all of them have. The rival is the
    reference, or the best of the others where the reference itself is the best. ``p_value`` is Holm-adjusted over all
    comparisons with the best.
    """

    variant: str
    rival: str
    label_count: int
    mean_error: Estimate  # over the arm's own seeds, as figures and tables show it
    ratio: Estimate  # of the best arm's error to the rival's
    p_value: float
    ties: tuple[str, ...]  # headline variants that cannot be told from the best


def best_variant(findings: Findings, label_count: int) -> BestVariant | None:
    """Return the best headline variant at a label count; None with fewer than two variants that have results
    there.
    """
    column = int(np.flatnonzero(findings.label_counts == label_count)[0])
    curves = {name: findings.curves[name] for name in findings.headline}
    logs = {name: curve.logs.by_seed[:, column] for name, curve in curves.items()}
    logs = {name: values for name, values in logs.items() if not np.isnan(values).all()}
    if len(logs) < 2:
        return None
    shared = ~np.isnan(np.stack(list(logs.values()))).any(axis=0)  # seeds that all of them have
    shared = shared if shared.any() else np.ones_like(shared)
    best, *others = sorted(logs, key=lambda name: float(np.nanmean(np.where(shared, logs[name], np.nan))))
    confidence = findings.results.options.confidence
    pairs = {name: compare_at(column, curves[best], curves[name], confidence) for name in others}
    adjusted = dict(zip(others, holm([pairs[name].p_value for name in others]), strict=True))
    rival = findings.reference if findings.reference in others else others[0]
    return BestVariant(
        best,
        rival,
        label_count,
        mean_errors(curves[best].logs, confidence)[column],
        pairs[rival].ratio,
        float(adjusted[rival]),
        tuple(name for name in others if not adjusted[name] < 1 - confidence),
    )

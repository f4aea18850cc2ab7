"""What pretraining epochs bring to each arm of a sweep: its ladder of epochs, and the study of every rung.

In: variants, ErrorCurves, steps to the target. Out: EpochsStudy, one for each arm, measure and label count.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.convergence.time_to_target import ConvergenceStudy
from analysis.intervals.uncertainty import Floats, common_counts
from analysis.loading.options import ReportOptions
from analysis.pretraining.saturation import Saturation, saturation
from analysis.scores.error_curve import ErrorCurve


@dataclass(frozen=True)
class EpochsStudy:
    """What pretraining epochs bring to one arm; ``label_count`` None is the geometric mean over ``label_counts``."""

    arm: str
    measure: str  # error | steps
    label_count: int | None
    result: Saturation
    label_counts: tuple[int, ...]  # that the study rests on


def study_epochs(
    variants: pd.DataFrame,
    curves: Mapping[str, ErrorCurve],
    label_counts: Floats,
    convergence: ConvergenceStudy,
    options: ReportOptions,
) -> list[EpochsStudy]:
    """Study each arm's numbers of pretraining epochs, in error and in steps, at each label count and over all."""
    studies = []
    for arm in variants.loc[variants["pretraining_epochs"] > 0, "arm"].unique():
        ladder = epoch_ladder(variants, str(arm))
        names = list(ladder.values())
        steps, is_cut = _steps_by_epochs(convergence, names, label_counts)
        measured = {  # logs, (seed, patient, label count, epochs)
            "error": (np.stack([curves[name].logs.values for name in names], axis=-1), np.zeros_like(is_cut)),
            "steps": (np.log(steps)[:, None], is_cut),
        }
        for measure, (logs, cut) in measured.items():
            slabs = np.moveaxis(logs, 2, 0), np.moveaxis(cut, 1, 0)
            parts = [
                (count, slab, own, (count,)) for count, slab, own in zip(map(int, label_counts), *slabs, strict=True)
            ]
            averaged = tuple(map(int, label_counts[averaged_counts(logs)]))
            whole = None, over_labels(logs), _cut_anywhere(logs, cut), averaged
            for count, slab, own, counts in [*parts, whole]:
                result = saturation(list(ladder), slab, options.near_minimum, options.confidence, own)
                if result:
                    studies.append(EpochsStudy(str(arm), measure, count, result, counts))
    return studies


def _cut_anywhere(logs: Floats, is_cut: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return whether a seed's steps are cut at any label count that some seed ran with every number of epochs.

    Those that the mean leaves out are among them: what cut runs hide is not known for being left out.
    """
    ran = ~np.isnan(logs).any(axis=1) | is_cut  # (seed, label count, epochs)
    return np.asarray(is_cut[:, ran.all(axis=2).any(axis=0)].any(axis=1))


def _steps_by_epochs(
    convergence: ConvergenceStudy, variants: list[str], label_counts: Floats
) -> tuple[Floats, NDArray[np.bool_]]:
    """Return steps to the target and whether they are cut there, (seed, label count, epochs).

    Steps are NaN for a seed that did not get there: runs that all ended at the horizon would look equal, though nothing
    is known of how they compare. They are cut all the same.
    """
    counts = [int(count) for count in label_counts]
    steps = np.array([[convergence.steps(name, count) for name in variants] for count in counts])
    reached = np.array([[convergence.is_reached(name, count) for name in variants] for count in counts])
    known = np.where(reached.any(axis=1, keepdims=True), steps, np.nan)  # (label count, epochs, seed)
    is_cut = ~reached & ~np.isnan(steps)
    return np.asarray(known.transpose(2, 0, 1), dtype=np.float64), np.asarray(is_cut.transpose(2, 0, 1))


def over_labels(logs: Floats) -> Floats:
    """Return means over ``averaged_counts``, (seed, patient, epochs); NaN for a seed that lacks one of them."""
    known = averaged_counts(logs)
    if not known.any():
        return np.full((*logs.shape[:2], logs.shape[3]), np.nan)
    return np.asarray(logs[:, :, known].mean(axis=2))


def averaged_counts(logs: Floats) -> NDArray[np.bool_]:
    """Return which label counts such means are over, from (seed, patient, label count, epochs): ``common_counts`` of
    those that a seed has with every number of epochs.
    """
    return common_counts(np.asarray(~np.isnan(logs).any(axis=(1, 3)), dtype=np.bool_))


def epoch_ladder(variants: pd.DataFrame, arm: str) -> dict[int, str]:
    """Return an arm's variants by epochs, with the arm it starts from (at its longest) as 0 epochs where
    there is one.

    Cells of its own at 0 are of a plan without milestones, and pretrained: no number of epochs.
    """
    own = variants[(variants["arm"] == arm) & (variants["pretraining_epochs"] > 0)].sort_values("pretraining_epochs")
    ladder = dict(zip(own["pretraining_epochs"].astype(int), own["variant"].astype(str), strict=True))
    base = variants[variants["arm"] == own["base_arm"].iloc[0]].sort_values("pretraining_epochs")
    if base.empty or base["arm"].iloc[0] == arm:
        return ladder
    return {0: str(base["variant"].iloc[-1]), **ladder}

"""Run every statistic on one sweep: what the tables, figures and conclusions are made of.

In: ExperimentResults. Out: Findings, numbers without words. One draw of seeds serves all variants, so that
every bootstrap comparison between arms is paired.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.label_equivalence import LabelEquivalence, label_equivalence
from analysis.load import ExperimentResults
from analysis.sample_efficiency import (
    LabelsNeeded,
    LawFit,
    Refusal,
    fit_with_intervals,
    labels_needed,
    near_minimum_targets,
)
from analysis.saturation import Saturation, saturation
from analysis.time_to_target import ConvergenceStudy, study_convergence
from analysis.uncertainty import (
    Floats,
    PairedDifference,
    complete_counts,
    draw_seeds,
    holm,
    median_over_seeds,
    paired_difference,
)

BOOTSTRAP_SEED = 20220901  # any fixed number: the same results give the same page


@dataclass(frozen=True)
class Difference:
    """Error of a variant minus error of the reference at one label count; below 0 the variant is better."""

    variant: str
    label_count: int
    difference: PairedDifference
    adjusted_p_value: float  # Holm, over all comparisons of the table


@dataclass(frozen=True)
class EpochsStudy:
    """What pretraining epochs bring to one arm; ``label_count`` None is the geometric mean over all label
    counts.
    """

    arm: str
    measure: str  # error | steps
    label_count: int | None
    result: Saturation


@dataclass(frozen=True)
class Findings:
    """All statistics of a sweep. Matrices are (seed, label count), seeds in the order of ``seeds``."""

    results: ExperimentResults
    variants: pd.DataFrame  # variant, arm, base_arm, pretraining_epochs
    reference: str
    headline: tuple[str, ...]  # every arm at its largest number of pretraining epochs, the reference first
    label_counts: Floats
    seeds: tuple[str, ...]
    errors: Mapping[str, Floats]
    laws: Mapping[str, LawFit | Refusal]
    near_own_minimum: Mapping[str, LabelsNeeded | None]
    near_reference_minimum: Mapping[str, LabelsNeeded | None]
    reach_target_error: Mapping[str, LabelsNeeded | None]  # empty without a target error
    equivalences: Mapping[str, list[LabelEquivalence]]
    differences: list[Difference]
    convergence: ConvergenceStudy
    epochs: list[EpochsStudy]

    def medians(self, variant: str) -> Floats:
        """Return the median error at each label count, NaN where no cell has finished."""
        return median_over_seeds(self.errors[variant])

    def labels_at(self, label_count: float) -> str:
        """Say a label count in both units: the medians over cells of labelled slices and patients."""
        rows = self.results.cells[self.results.cells["label_count"] == label_count]
        slices, patients = rows["labelled_slices"].median(), rows["labelled_patients"].median()
        return f"{slices:g} slices of {patients:g} patients"

    def slices_at(self, label_count: float) -> float:
        """Return the median number of labelled slices behind a label count."""
        cells = self.results.cells
        return float(cells.loc[cells["label_count"] == label_count, "labelled_slices"].median())


def find(results: ExperimentResults) -> Findings:
    """Compute every statistic of the report."""
    cells, options = results.cells, results.options
    variants = _variants(cells)
    reference, headline = _reference_and_headline(variants, cells, results)
    label_counts = np.array(sorted(cells["label_count"].unique()), dtype=np.float64)
    seeds = sorted(cells["seed"].unique())
    draws = draw_seeds(len(seeds), options.bootstrap_resamples, np.random.default_rng(BOOTSTRAP_SEED))
    names = list(variants["variant"])
    errors = {name: _matrix(cells, name, label_counts, seeds) for name in names}
    convergence = study_convergence(cells, results.curves, reference, seeds, options)

    def needed(target: float | Floats | None) -> dict[str, LabelsNeeded | None]:
        return {
            name: labels_needed(label_counts, errors[name], draws, target, options.near_minimum, options.confidence)
            for name in names
        }

    near_reference = near_minimum_targets(errors[reference], draws, options.near_minimum)
    return Findings(
        results=results,
        variants=variants,
        reference=reference,
        headline=headline,
        label_counts=label_counts,
        seeds=tuple(seeds),
        errors=errors,
        laws={name: fit_with_intervals(label_counts, errors[name], draws) for name in names},
        near_own_minimum=needed(None),
        near_reference_minimum=needed(near_reference),
        reach_target_error=needed(options.target_error) if options.target_error is not None else {},
        equivalences={
            name: label_equivalence(label_counts, errors[name], errors[reference], draws, options.confidence)
            for name in names
        },
        differences=_differences(errors, reference, label_counts, options.confidence),
        convergence=convergence,
        epochs=_study_epochs(variants, errors, label_counts, convergence, results),
    )


def _variants(cells: pd.DataFrame) -> pd.DataFrame:
    columns = ["variant", "arm", "base_arm", "pretraining_epochs"]
    return cells[columns].drop_duplicates("variant").sort_values(["arm", "pretraining_epochs"]).reset_index(drop=True)


def _reference_and_headline(
    variants: pd.DataFrame, cells: pd.DataFrame, results: ExperimentResults
) -> tuple[str, tuple[str, ...]]:
    """Choose every arm's longest pretraining; where the reference arm has no finished cell, the fullest arm
    stands in.
    """
    longest = variants.groupby("arm")["pretraining_epochs"].transform("max") == variants["pretraining_epochs"]
    by_arm = dict(zip(variants["arm"][longest], variants["variant"][longest], strict=True))
    arm = results.options.reference_arm
    if arm not in by_arm:
        arm = str(cells["arm"].value_counts().index[0])
        results.warnings.append(
            f"The reference arm {results.options.reference_arm} has no finished cell: {arm} stands in for it."
        )
    others = [name for other, name in by_arm.items() if other != arm]
    return str(by_arm[arm]), (str(by_arm[arm]), *map(str, others))


def _matrix(cells: pd.DataFrame, variant: str, label_counts: Floats, seeds: list[str]) -> Floats:
    """Return errors as (seed, label count); several pretraining seeds of one cell are averaged."""
    chosen = cells[cells["variant"] == variant]
    table = chosen.pivot_table(index="seed", columns="label_count", values="error", aggfunc="mean")
    return table.reindex(index=seeds, columns=label_counts.astype(int)).to_numpy(dtype=np.float64)


def _differences(
    errors: Mapping[str, Floats], reference: str, label_counts: Floats, confidence: float
) -> list[Difference]:
    found = []
    for name, matrix in errors.items():
        for index, label_count in enumerate(label_counts):
            if name != reference:
                pairs = paired_difference(matrix[:, index], errors[reference][:, index], confidence)
                found.append((name, int(label_count), pairs))
    adjusted = holm([pairs.p_value for _, _, pairs in found])
    return [Difference(*item, float(p_value)) for item, p_value in zip(found, adjusted, strict=True)]


def _study_epochs(
    variants: pd.DataFrame,
    errors: Mapping[str, Floats],
    label_counts: Floats,
    convergence: ConvergenceStudy,
    results: ExperimentResults,
) -> list[EpochsStudy]:
    studies = []
    options = results.options
    for arm in variants.loc[variants["pretraining_epochs"] > 0, "arm"].unique():
        ladder = epoch_ladder(variants, str(arm))
        measured = {
            "error": np.stack([errors[name] for name in ladder.values()], axis=-1),
            "steps": _steps_by_epochs(convergence, list(ladder.values()), label_counts),
        }
        for measure, values in measured.items():  # (seed, label count, epochs)
            parts = [
                *zip(map(int, label_counts), values.swapaxes(0, 1), strict=True),
                (None, _over_labels(values)),
            ]
            for count, slab in parts:
                result = saturation(list(ladder), slab, options.near_minimum, options.confidence)
                if result:
                    studies.append(EpochsStudy(str(arm), measure, count, result))
    return studies


def _steps_by_epochs(convergence: ConvergenceStudy, variants: list[str], label_counts: Floats) -> Floats:
    """Return steps to the target as (seed, label count, epochs); NaN for a seed that never got there.

    Runs that all ended at the horizon would look equal, though nothing is known of how they compare.
    """
    counts = [int(count) for count in label_counts]
    steps = np.array([[convergence.steps(name, count) for name in variants] for count in counts])
    reached = np.array([[convergence.is_reached(name, count) for name in variants] for count in counts])
    known = np.where(reached.any(axis=1, keepdims=True), steps, np.nan)  # (label count, epochs, seed)
    return np.asarray(known.transpose(2, 0, 1), dtype=np.float64)


def epoch_ladder(variants: pd.DataFrame, arm: str) -> dict[int, str]:
    """Return an arm's variants by epochs, with the arm it starts from (at its longest) as 0 epochs where
    there is one.
    """
    own = variants[variants["arm"] == arm].sort_values("pretraining_epochs")
    ladder = dict(zip(own["pretraining_epochs"].astype(int), own["variant"].astype(str), strict=True))
    base = variants[variants["arm"] == own["base_arm"].iloc[0]].sort_values("pretraining_epochs")
    if 0 in ladder or base.empty or base["arm"].iloc[0] == arm:
        return ladder
    return {0: str(base["variant"].iloc[-1]), **ladder}


def _over_labels(values: Floats) -> Floats:
    """Return geometric means over the label counts that are complete for every number of epochs: (seed,
    epochs).
    """
    known = complete_counts(np.asarray(~np.isnan(values).any(axis=-1), dtype=np.bool_))
    if not known.any():
        return np.full((values.shape[0], values.shape[2]), np.nan)
    means: Floats = np.exp(np.log(np.maximum(values[:, known], 1e-12)).mean(axis=1))
    return means

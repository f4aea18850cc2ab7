"""Run every statistic on one sweep: what the tables, figures and conclusions are made of.

In: ExperimentResults. Out: Findings, numbers without words. All variants share their axes of seeds and test patients,
so that every comparison between arms is paired.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from analysis.comparisons.comparison import PairedDifference, compare_at, holm
from analysis.convergence.time_to_target import (
    ConvergenceStudy,
    Run,
    collect_runs,
    fixed_targets,
    partly_validated,
    study_convergence,
    targets_of_reference,
)
from analysis.counted import number
from analysis.intervals.bootstrap import BOOTSTRAP_SEED, TwoLevelDraws, two_level_draws
from analysis.intervals.uncertainty import Floats
from analysis.labels.best_change import BestAt, BestChange, best_arms, best_changes
from analysis.labels.labels_needed import (
    Crossing,
    LabelEquivalence,
    LabelsNeeded,
    crossing,
    equivalence_curve,
    label_equivalence,
    labels_for_error,
    labels_near_full,
)
from analysis.labels.law_fit import LawFit, Refusal, fit_law
from analysis.loading.load import ExperimentResults
from analysis.loading.options import ReportOptions
from analysis.loading.planned_seeds import Point, Seed, seeds_by_point
from analysis.loading.selection import NUM_NAMED
from analysis.pretraining.epochs_study import EpochsStudy, study_epochs
from analysis.scores.distances import patient_distances
from analysis.scores.error_curve import CellErrors, ErrorCurve, cell_errors, error_curves
from analysis.scores.volumes import case_volumes, ejection_fractions

TARGET_SHARES = (0.90, 0.95, 0.98, 0.99)  # of the reference's final validation Dice, beside the configured one
MARGINS = (0.05, 0.10, 0.25)  # of the error at most labels, beside the configured one


@dataclass(frozen=True)
class Difference:
    """Log error of a variant minus that of the reference at one label count; below 0 the variant is better."""

    variant: str
    label_count: int
    difference: PairedDifference
    adjusted_p_value: float  # Holm, over all comparisons of the table


@dataclass(frozen=True)
class Findings:
    """All statistics of a sweep. Matrices are (seed, label count), seeds in the order of ``seeds``."""

    results: ExperimentResults
    variants: pd.DataFrame  # variant, arm, base_arm, pretraining_epochs
    reference: str
    headline: tuple[str, ...]  # every arm at its largest number of pretraining epochs, the reference first
    label_counts: Floats
    seeds: tuple[str, ...]
    cell_errors: CellErrors
    curves: Mapping[str, ErrorCurve]
    laws: Mapping[str, LawFit | Refusal]
    near_own: Mapping[float, Mapping[str, LabelsNeeded | None]]  # by margin
    near_reference: Mapping[float, Mapping[str, LabelsNeeded | None]]
    reach_target_error: Mapping[str, LabelsNeeded | None]  # empty without a target error
    equivalences: Mapping[str, list[LabelEquivalence]]
    equivalence_curves: Mapping[str, list[LabelEquivalence]]  # between the counts too; headline variants alone
    crossings: Mapping[str, Crossing]  # the last with the reference; headline variants alone
    best_arms: list[BestAt]  # of the headline variants, at each label count
    best_changes: list[BestChange]
    differences: list[Difference]
    runs: list[Run]
    convergence: ConvergenceStudy  # times to the configured target
    convergence_by_share: Mapping[float, ConvergenceStudy]  # of the reference's median final validation Dice
    epochs: list[EpochsStudy]

    @cached_property
    def errors(self) -> dict[str, Floats]:
        """Return each variant's mean error over patients, (seed, label count)."""
        return {name: curve.by_seed for name, curve in self.curves.items()}

    @cached_property
    def distances(self) -> pd.DataFrame:
        """Return surface distances by cell, class and test patient; empty where no cell measured any."""
        return patient_distances(self.results.cells, self.results.cases)

    @cached_property
    def volumes(self) -> pd.DataFrame:
        """Return true and predicted volumes of every test case; empty where a voxel's volume is unknown."""
        return case_volumes(self.results.cells, self.results.cases)

    @cached_property
    def ejection_fractions(self) -> pd.DataFrame:
        """Return ejection fractions by cell, ventricle and test patient; empty for data without both phases."""
        return ejection_fractions(self.volumes)

    @cached_property
    def planned(self) -> pd.DataFrame:
        """Return the planned cells; the finished ones where results were copied without their plans."""
        return self.results.planned if len(self.results.planned) else self.results.cells

    @cached_property
    def planned_seeds(self) -> dict[Point, set[Seed]]:
        """Return the planned seeds by arm, pretraining epochs and label count."""
        return seeds_by_point(self.planned)

    @cached_property
    def seed_range(self) -> tuple[int, int]:
        """Return the fewest and the most seeds that a variant has in common with the reference at any label count.

        Seeds may be added at one label count alone, so that all of them together say little of a point.
        """
        known = ~np.isnan(self.errors[self.reference])
        numbers = np.stack([(known & ~np.isnan(errors)).sum(axis=0) for errors in self.errors.values()])
        paired = numbers[numbers > 0]
        return (int(paired.min()), int(paired.max())) if len(paired) else (len(self.seeds), len(self.seeds))

    @property
    def num_seeds_words(self) -> str:
        """Say these numbers, such as ``3 to 7 seeds``."""
        fewest, most = self.seed_range
        return f"{fewest} to {most} seeds" if fewest < most else f"{most} seed{'s' * (most != 1)}"

    @property
    def num_patients(self) -> int:
        """Return how many test patients the intervals know of; 1 where none were stored."""
        return int(next(iter(self.curves.values())).errors.shape[1])

    @property
    def near_own_minimum(self) -> Mapping[str, LabelsNeeded | None]:
        """Return the labels that come near the own error at most labels, by the configured margin."""
        return self.near_own[self.results.options.near_minimum]

    @property
    def near_reference_minimum(self) -> Mapping[str, LabelsNeeded | None]:
        """Return the labels that come near the reference's error at most labels, by the configured margin."""
        return self.near_reference[self.results.options.near_minimum]

    def mean_errors(self, variant: str) -> Floats:
        """Return the geometric mean error at each label count, NaN where no cell has finished."""
        return np.asarray(np.exp(self.curves[variant].logs.mean()))

    def measured_counts(self, variant: str) -> Floats:
        """Return the label counts at which a variant has results: beyond these nothing is known of it."""
        return self.label_counts[self.curves[variant].logs.is_known]

    def epochs_study(self, arm: str, measure: str, label_count: int | None = None) -> EpochsStudy | None:
        """Return the study of one arm's epochs, at one label count or, without any, over those that can be averaged."""
        for study in self.epochs:
            if (study.arm, study.measure, study.label_count) == (arm, measure, label_count):
                return study
        return None

    def labels_at(self, label_count: float) -> str:
        """Say a label count in both units: the medians over cells of labelled slices and patients."""
        rows = self.results.cells[self.results.cells["label_count"] == label_count]
        slices, patients = rows["labelled_slices"].median(), rows["labelled_patients"].median()
        return f"{number(slices, 'slice')} of {number(patients, 'patient')}"

    def over_labels(self, label_counts: Sequence[int]) -> str:
        """Say which label counts a mean is over: all that the sweep has, or these by number."""
        if not label_counts or len(label_counts) == len(self.label_counts):
            return "all label counts"
        *others, last = map(str, label_counts)
        return f"{', '.join(others)}{' and ' * bool(others)}{last} labelled {self.results.label_unit}"

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
    names, level = list(variants["variant"]), options.confidence
    tested = cell_errors(cells, results.cases)
    curves = error_curves(cells, tested, seeds, label_counts)
    logs = {name: curves[name].logs for name in names}
    runs = collect_runs(cells, results.curves)
    if lost := partly_validated(cells, results.curves):
        results.warnings.append(
            f"Left out of convergence: {len(lost)} of {len(cells)} cells have no validation Dice at their last step, "
            f"or none but that before training ({', '.join(lost[:NUM_NAMED])}{', ...' * (len(lost) > NUM_NAMED)})."
        )
    studies = {
        share: study_convergence(runs, targets_of_reference(cells, reference, share), reference, seeds, options)
        for share in sorted({*TARGET_SHARES, options.convergence_fraction})
    }
    convergence = studies[options.convergence_fraction]
    if options.convergence_dice is not None:
        targets = fixed_targets(runs, options.convergence_dice)
        convergence = study_convergence(runs, targets, reference, seeds, options)
    margins = sorted({*MARGINS, options.near_minimum})
    goal, target = logs[reference], options.target_error
    shown = {name: curves[name] for name in headline}
    best = best_arms(shown, _draws(shown, options))
    return Findings(
        results=results,
        variants=variants,
        reference=reference,
        headline=headline,
        label_counts=label_counts,
        seeds=tuple(seeds),
        cell_errors=tested,
        curves=curves,
        laws={name: fit_law(logs[name]) for name in names},
        near_own={
            margin: {name: labels_near_full(logs[name], logs[name], margin, level) for name in names}
            for margin in margins
        },
        near_reference={
            margin: {name: labels_near_full(logs[name], goal, margin, level) for name in names} for margin in margins
        },
        reach_target_error={name: labels_for_error(logs[name], target, level) for name in names if target is not None},
        equivalences={name: label_equivalence(logs[name], goal, level) for name in names},
        equivalence_curves={name: equivalence_curve(logs[name], goal, level) for name in headline if name != reference},
        crossings={name: crossing(logs[name], goal, level) for name in headline if name != reference},
        best_arms=best,
        best_changes=best_changes(shown, best, level),
        differences=_differences(curves, reference, label_counts, level),
        runs=runs,
        convergence=convergence,
        convergence_by_share=studies,
        epochs=study_epochs(variants, curves, label_counts, convergence, options),
    )


def _draws(curves: Mapping[str, ErrorCurve], options: ReportOptions) -> TwoLevelDraws:
    """Draw the resamples of the page: the same results give the same page."""
    num_seeds, num_patients, _ = next(iter(curves.values())).errors.shape
    generator = np.random.default_rng(BOOTSTRAP_SEED)
    return two_level_draws(num_seeds, num_patients, options.bootstrap_resamples, generator)


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


def _differences(
    curves: Mapping[str, ErrorCurve], reference: str, label_counts: Floats, confidence: float
) -> list[Difference]:
    found = []
    for name, curve in curves.items():
        for index, label_count in enumerate(label_counts):
            if name != reference:
                found.append((name, int(label_count), compare_at(index, curve, curves[reference], confidence)))
    adjusted = holm([pairs.p_value for _, _, pairs in found])
    return [Difference(*item, float(p_value)) for item, p_value in zip(found, adjusted, strict=True)]

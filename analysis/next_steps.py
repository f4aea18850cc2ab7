"""Which cells would settle what a sweep leaves open: the questions, and what more seeds or test patients would bring.

In: Findings. Out: one NextStep for each open question, those at the fewest labels first.
Three kinds of question are looked at: which arm is best at a label count, how many labels the best arm needs, and
whether fewer pretraining epochs would do. A question counts as settled where the interval's half-width falls to the
size of the difference that was seen, or to the margin of interest if that is larger: then the two are told apart, or
whatever difference there is is about as small as the margin.
Source: ``half_width``.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from analysis.best_variant import best_variant
from analysis.findings import EpochsStudy, Findings, epoch_ladder, over_labels
from analysis.half_width import spread
from analysis.uncertainty import FEW_SEEDS, Floats


@dataclass(frozen=True)
class OpenQuestion:
    """A contrast (seed, patient) whose interval does not decide, and the cells that it rests on."""

    words: str
    unit: str  # of the contrast: error | log error
    contrast: Floats
    goal: float  # the half-width that settles it
    variants: tuple[str, ...]
    label_counts: tuple[int, ...]
    with_epochs: bool = False  # whether the numbers of epochs below an arm's last are part of it


@dataclass(frozen=True)
class NextStep:
    """What would settle an open question. Half-widths are NaN where a single seed says nothing of them.

    ``seeds`` is None where no number of seeds would do; then ``patients`` is what the test set would need.
    """

    question: OpenQuestion
    half_width: float
    seeds_now: int
    seeds: int | None
    expected: float  # the half-width with ``seeds``
    patients_now: int
    patients: int | None
    settings: str  # key=value pairs for the sweep; empty where more seeds do not help
    num_cells: int  # that these add


def next_steps(findings: Findings) -> list[NextStep]:
    """Return what would settle each open question."""
    found = [*_best(findings), *_labels(findings), *_epochs(findings)]
    return [_step(findings, question) for question in found]


def _best(findings: Findings) -> Iterator[OpenQuestion]:
    """Ask which of the best and its rival is better, at each label count where they are not told apart."""
    for column, count in enumerate(map(int, findings.label_counts)):
        best = best_variant(findings, count)
        if best is None or (best.difference.is_known and best.rival not in best.ties):
            continue
        contrast = _errors(findings, best.variant, column) - _errors(findings, best.rival, column)
        reference = _mean(_errors(findings, findings.reference, column))
        goal = max(abs(_mean(contrast)), findings.results.options.near_minimum * reference)
        words = f"Which is better with {count} labelled {findings.results.label_unit}, {best.variant} or {best.rival}?"
        yield OpenQuestion(words, "error", contrast, goal, (best.variant, best.rival), (count,))


def _labels(findings: Findings) -> Iterator[OpenQuestion]:
    """Ask whether the best arm comes near the reference's error at most labels, where its interval is open there."""
    best = best_variant(findings, int(findings.label_counts[0]))
    needed = findings.near_reference_minimum.get(best.variant) if best else None
    if best is None or needed is None or needed.count.verdict != "cannot tell":
        return
    margin, most = findings.results.options.near_minimum, int(findings.label_counts[-1])
    arm, reference = (findings.curves[name].logs.values[:, :, -1] for name in (best.variant, findings.reference))
    contrast = arm - reference - np.log1p(margin)
    words = f"Does {best.variant} come within {100 * margin:g}% of {findings.reference}'s error with {most} labels?"
    variants = (best.variant, findings.reference)
    yield OpenQuestion(words, "log error", contrast, max(abs(_mean(contrast)), np.log1p(margin)), variants, (most,))


def _epochs(findings: Findings) -> Iterator[OpenQuestion]:
    """Ask whether the fewest undecided pretraining epochs of each arm would do, over all label counts."""
    for study in findings.epochs:
        undecided = [e for e, v in zip(study.result.epochs, study.result.verdicts, strict=True) if v == "cannot tell"]
        if study.measure == "error" and study.label_count is None and undecided:
            yield _epochs_question(findings, study, undecided[0])


def _epochs_question(findings: Findings, study: EpochsStudy, epochs: int) -> OpenQuestion:
    ladder = epoch_ladder(findings.variants, study.arm)
    pair = [findings.curves[ladder[number]].logs.values for number in (epochs, study.result.best_epochs)]
    both = np.stack(pair, axis=-1)  # (seed, patient, label count, 2)
    known = np.flatnonzero(~np.isnan(both).all(axis=(0, 1, 3)))
    logs = over_labels(both)
    margin = float(np.log1p(findings.results.options.near_minimum))
    contrast = logs[:, :, 0] - logs[:, :, 1]
    best = study.result.best_epochs
    words = f"Do {epochs} pretraining epochs do as well as {best} for {study.arm}?"
    counts = tuple(int(findings.label_counts[index]) for index in known)
    goal = abs(margin - _mean(contrast)) or margin
    return OpenQuestion(words, "log error", contrast, goal, tuple(ladder.values()), counts, with_epochs=True)


def _step(findings: Findings, question: OpenQuestion) -> NextStep:
    now, level = spread(question.contrast), findings.results.options.confidence
    num_known, num_patients = int((~np.isnan(question.contrast).any(axis=1)).sum()), question.contrast.shape[1]
    half_width = now.half_width(num_known, num_patients, level) if now else np.nan
    if _num_planned(findings, question) > num_known:  # what is planned already tells more than a forecast
        planned = _num_planned(findings, question)
        expected = now.half_width(planned, num_patients, level) if now else np.nan
        return NextStep(question, half_width, num_known, planned, expected, num_patients, None, "", 0)
    seeds = now.seeds_for(question.goal, level) if now else FEW_SEEDS
    expected = now.half_width(seeds, num_patients, level) if now and seeds else np.nan
    patients = now.patients_for(question.goal, level) if now and seeds is None else None
    settings, num_cells = ("", 0) if seeds is None else _settings(findings, question, seeds)
    return NextStep(question, half_width, num_known, seeds, expected, num_patients, patients, settings, num_cells)


def _num_planned(findings: Findings, question: OpenQuestion) -> int:
    """Return how many seeds the plan has at the question's label counts for the arms that it is about."""
    planned, rows = findings.results.planned, findings.variants
    arms = rows.loc[rows["variant"].isin(question.variants), "arm"]
    asked = planned[planned["arm"].isin(arms) & planned["label_count"].isin(question.label_counts)]
    return len(asked[["subset_seed", "train_seed"]].drop_duplicates())


def _settings(findings: Findings, question: OpenQuestion, num_seeds: int) -> tuple[str, int]:
    """Return the sweep's settings that run the question's cells with more seeds, and how many cells they add.

    The arms that the question's arms start from come along, since they are what 0 pretraining epochs would be, and the
    reference, which a sweep does not go without.
    """
    planned, grid = findings.results.planned, findings.results.config.get("grid") or {}
    there = sorted({*map(int, planned["subset_seed"] if len(planned) else findings.results.cells["subset_seed"])})
    num_train_seeds = len(grid.get("train_seeds") or [0])
    num_new = max(0, -(-num_seeds // num_train_seeds) - len(there))
    new = [seed for seed in range(max(there) + num_new + 1) if seed not in there][:num_new]
    rows = findings.variants[findings.variants["variant"].isin(question.variants)]
    arms = list(dict.fromkeys([*rows["base_arm"], *rows["arm"], *_reference_arm(findings)]))
    of_arms = findings.variants[findings.variants["arm"].isin(arms)]
    pairs = {"arms": arms, "label_counts": list(question.label_counts), "subset_seeds": [*there, *new]}
    if (of_arms["pretraining_epochs"] > 0).any():
        pairs["intermediate_label_counts"] = list(question.label_counts) if question.with_epochs else []
    text = " ".join(f"grid.{key}=[{','.join(map(str, values))}]" for key, values in pairs.items())
    if question.with_epochs and grid.get("intermediate_subset_seeds"):
        text += " grid.intermediate_subset_seeds=null"
    num_variants = len(of_arms) if question.with_epochs else len(arms)
    return text, len(new) * len(question.label_counts) * num_variants * num_train_seeds


def _reference_arm(findings: Findings) -> list[str]:
    """Return the arm that the sweep's report is configured to compare with, where it is planned or run at all."""
    arm = findings.results.options.reference_arm
    return [arm] if arm in {*findings.results.planned["arm"], *findings.variants["arm"]} else []


def _errors(findings: Findings, variant: str, column: int) -> Floats:
    return findings.curves[variant].errors[:, :, column]


def _mean(contrast: Floats) -> float:
    """Return the mean over the seeds that have the contrast; 0 without any."""
    known = contrast[~np.isnan(contrast).any(axis=1)]
    return float(known.mean()) if len(known) else 0.0

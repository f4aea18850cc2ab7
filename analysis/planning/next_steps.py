"""Which cells would settle what a sweep leaves open: the questions, and what more seeds or test patients would bring.

In: Findings. Out: one NextStep for each open question, those at the fewest labels first.
Three kinds of question are looked at: which arm is best at a label count, how many labels the best arm needs, and
whether fewer pretraining epochs would do. A question counts as settled where the interval's half-width falls to the
size of the difference that was seen, or to the margin of interest if that is larger: then the two differ
significantly, or whatever difference there is is about as small as the margin. Where several comparisons are judged
together, the interval is Bonferroni's: of arms over those not significantly worse than the best, since Hochberg's
adjustment (``best_variant``) asks no more of one of them while the others stay so; of epochs over all numbers.
Source: ``half_width``; the cells behind a question: ``open_question``.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from analysis.answers.best_variant import best_at_fewest, best_variant
from analysis.counted import labels
from analysis.findings import Findings
from analysis.intervals.uncertainty import FEW_SEEDS, Floats
from analysis.labels.labels_needed import NO_OVERLAP
from analysis.planning.half_width import spread
from analysis.planning.open_question import MoreSeeds, OpenQuestion, is_waiting, more_seeds, planned_seeds
from analysis.pretraining.epochs_study import EpochsStudy, averaged_counts, epoch_ladder, over_labels


@dataclass(frozen=True)
class NextStep:
    """What would settle an open question.

    Half-widths are adjusted for ``question.num_compared``, and NaN where a single seed says nothing of them.
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
    is_waiting: bool = False  # for planned cells that are missing


def next_steps(findings: Findings) -> list[NextStep]:
    """Return what would settle each open question."""
    found = [*_best(findings), *_labels(findings), *_epochs(findings)]
    return [_step(findings, question) for question in found]


def _best(findings: Findings) -> Iterator[OpenQuestion]:
    """Ask at each label count where no arm differs significantly from all others: is the best better than its rival?

    Where the rival is significantly worse, the arm with the lowest mean of those that are not takes the rival's place.
    """
    for column, count in enumerate(map(int, findings.label_counts)):
        best = best_variant(findings, count)
        if best is None or not best.ties:
            continue
        rival = best.rival if best.rival in best.ties else best.ties[0]
        contrast = _logs(findings, best.variant, column) - _logs(findings, rival, column)
        margin = float(np.log1p(findings.results.options.near_minimum))
        goal = max(abs(_mean(contrast)), margin)
        words = f"Which is better with {labels(count, findings.results.label_unit)}, {best.variant} or {rival}?"
        num_compared = len(best.ties) if goal > margin else 1
        pair = (best.variant, rival)
        yield OpenQuestion(words, "arms", contrast, goal, pair, (count,), num_compared=num_compared)


def _labels(findings: Findings) -> Iterator[OpenQuestion]:
    """Ask whether the arm that is best at the fewest labels comes near the reference's error at most labels, where its
    interval is open there.

    The reference itself comes near its own error there.
    """
    best = best_at_fewest(findings)
    needed = findings.near_reference_minimum.get(best.variant) if best else None
    if best is None or best.variant == findings.reference or needed is None or needed.count.verdict != "cannot tell":
        return
    if needed.target_error >= NO_OVERLAP:
        return
    margin, most = findings.results.options.near_minimum, int(findings.label_counts[-1])
    arm, reference = (_logs(findings, name, -1) for name in (best.variant, findings.reference))
    contrast = arm - reference - np.log1p(margin)
    words = f"Does {best.variant} come within {100 * margin:g}% of {findings.reference}'s error with {most} labels?"
    variants = (best.variant, findings.reference)
    yield OpenQuestion(words, "labels", contrast, max(abs(_mean(contrast)), np.log1p(margin)), variants, (most,))


def _epochs(findings: Findings) -> Iterator[OpenQuestion]:
    """Ask whether the fewest undecided pretraining epochs of each arm would do, over all label counts.

    Numbers above one that is shown to be enough are not asked for: the answer would not change.
    """
    for study in findings.epochs:
        verdicts, most = zip(study.result.epochs, study.result.verdicts, strict=True), study.result.sufficient_epochs
        undecided = [e for e, v in verdicts if v == "cannot tell" and (most is None or e < most)]
        if study.measure == "error" and study.label_count is None and undecided:
            yield _epochs_question(findings, study, undecided[0])


def _epochs_question(findings: Findings, study: EpochsStudy, epochs: int) -> OpenQuestion:
    """Compare a number of epochs with the one against which it is hardest to be shown enough."""
    ladder = epoch_ladder(findings.variants, study.arm)
    rival = dict(zip(study.result.epochs, study.result.rivals, strict=True))[epochs]
    pair = [findings.curves[ladder[number]].logs.values for number in (epochs, rival)]
    both = np.stack(pair, axis=-1)  # (seed, patient, label count, 2)
    known = np.flatnonzero(averaged_counts(both))
    logs = over_labels(both)
    margin = float(np.log1p(findings.results.options.near_minimum))
    contrast = logs[:, :, 0] - logs[:, :, 1]
    words = f"Do {epochs} pretraining epochs do as well as {rival} for {study.arm}?"
    counts = tuple(int(findings.label_counts[index]) for index in known)
    goal = abs(margin - _mean(contrast)) or margin
    variants, num_compared = (ladder[epochs], ladder[rival]), len(study.result.epochs) - 1
    return OpenQuestion(words, "epochs", contrast, goal, variants, counts, True, num_compared)


def _step(findings: Findings, question: OpenQuestion) -> NextStep:
    now, level = spread(question.contrast), 1 - (1 - findings.results.options.confidence) / question.num_compared
    num_known, num_patients = int((~np.isnan(question.contrast).any(axis=1)).sum()), question.contrast.shape[1]
    half_width = now.half_width(num_known, num_patients, level) if now else np.nan
    planned = len(planned_seeds(findings, question))
    if planned > num_known and is_waiting(findings, question):  # what is planned tells more than a forecast
        expected = now.half_width(planned, num_patients, level) if now else np.nan
        return NextStep(question, half_width, num_known, planned, expected, num_patients, None, "", 0, True)
    seeds = now.seeds_for(question.goal, level) if now else FEW_SEEDS
    expected = now.half_width(seeds, num_patients, level) if now and seeds else np.nan
    patients = now.patients_for(question.goal, level) if now and seeds is None else None
    is_new = seeds is not None and seeds > num_known
    more = more_seeds(findings, question, seeds) if seeds is not None and is_new else MoreSeeds("", 0)
    found = (half_width, num_known, seeds, expected, num_patients, patients)
    return NextStep(question, *found, more.settings, more.num_cells)


def _logs(findings: Findings, variant: str, column: int) -> Floats:
    return findings.curves[variant].logs.values[:, :, column]


def _mean(contrast: Floats) -> float:
    """Return the mean over the seeds that have the contrast; 0 without any."""
    known = contrast[~np.isnan(contrast).any(axis=1)]
    return float(known.mean()) if len(known) else 0.0

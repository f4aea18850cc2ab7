"""What limits the answer of a report, in sentences for those who act on it.

In: Findings. Out: caveats, the gravest kinds first; none where nothing is to be said.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from analysis.convergence.stopped_cells import may_stop, num_stopped, saved_words
from analysis.counted import number
from analysis.findings import Findings
from analysis.intervals.crossed_effects import crossed_mean
from analysis.intervals.uncertainty import FEW_SEEDS
from analysis.loading.load import ExperimentResults
from analysis.loading.replicates import is_one_subset

FEW_PATIENTS = 5  # below, intervals of errors span a factor of three; with 2, of a hundred
SHOWN = 5  # names in a list
WEAK_DICE = 0.5  # below it most of what is outlined is wrong, and arms may rank otherwise once networks work


def caveats(findings: Findings) -> tuple[str, ...]:
    """Say what limits the answer: images that are drawn, seeds, test patients, shared labels and pretraining, runs that
    were stopped, other labels, weak networks, gaps.
    """
    cells = findings.results.cells
    found = [_missing(findings.results), *_drawn(findings.results), *_left_out(findings), _weak(findings)]
    found += [_seeds(findings), *_patients(findings), _one_subset(findings)]
    found += [_pretraining_runs(cells, len(findings.seeds)), _snapshots(cells)]
    found += [_stopped(findings), _validation(findings.results)]
    return tuple(caveat for caveat in found if caveat)


def _missing(results: ExperimentResults) -> str:
    num_missing, num_planned = len(results.missing), len(results.planned)
    if not num_missing:
        return ""
    many = num_missing > 0.1 * num_planned
    unfinished = " Until they are there, arms may stand on different seeds." if many else ""
    return f"{num_missing} of {num_planned} planned cells are missing.{unfinished}"


def draws_natural_images(results: ExperimentResults) -> bool:
    """Return whether the stages on natural images learned from what the program drew instead of photographs."""
    is_used = (results.pretraining["data"] == "natural").any()
    return bool(is_used) and results.settings("natural").get("source") == "procedural"


def _drawn(results: ExperimentResults) -> Iterator[str]:
    """Say which images the program drew itself."""
    if results.settings("data").get("root", "unknown") is None:
        yield "The labelled images are synthetic (data.root is not set): the answer is about them, not about patients."
    if draws_natural_images(results):
        yield (
            "The natural images are drawn by the program (natural.source: procedural): arms that learned from them "
            "stand for no pretraining on photographs, such as ImageNet's."
        )


def _left_out(findings: Findings) -> Iterator[str]:
    """Say which test patients or cells the errors leave out, so that all cells are tested on the same patients."""
    tested, num_cells = findings.cell_errors, len(findings.results.cells)
    if names := tested.without_structures:
        yield (
            f"{_patients_left_out(names)}, since no structure is in the reference masks there: {tested.num_scored} of "
            f"{num_cells} cells predict something there, which counts against none of them. The test Dice that cells "
            "store counts it as 0."
        )
    if names := tested.unscored:
        yield (
            f"{_patients_left_out(names)}, since rows are missing there in {tested.num_unscored} of {num_cells} cells: "
            "cells would else be tested on different patients."
        )
    if tested.left_out and not tested.patients:
        yield "No test patient is scored in all cells: errors are of whole cells, with intervals over seeds alone."
    if tested.num_without_patients:
        yield f"{tested.num_without_patients} of {num_cells} finished cells hold no test patients: errors lack them."


def _patients_left_out(names: Sequence[str]) -> str:
    who = f"Test patient {names[0]} is" if len(names) == 1 else f"Test patients {_listed(names)} are"
    return f"{who} left out of all errors, in every cell alike"


def _listed(names: Sequence[str]) -> str:
    """Name up to five, and how many more there are."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _weak(findings: Findings) -> str:
    """Say that no arm segments well with the most labels."""
    errors = [findings.mean_errors(variant)[-1] for variant in findings.headline]
    if np.isnan(errors).all() or 1 - np.nanmin(errors) >= WEAK_DICE:
        return ""
    return (
        f"With the most labels no arm reaches a test Dice of {WEAK_DICE:g} (best mean {1 - np.nanmin(errors):.2f}): "
        "these networks do not segment well yet, and arms may rank otherwise with more training steps, a larger "
        "network or larger images."
    )


def _seeds(findings: Findings) -> str:
    """Say what the point with the fewest seeds of all that is compared can tell."""
    fewest, most = findings.seed_range
    if most == 1:
        return "One seed: there are no intervals, and no difference between arms can be distinguished from chance."
    if fewest >= FEW_SEEDS:
        return ""
    words = findings.num_seeds_words
    if fewest == 1:
        return (
            f"Only {words}: where there is one, there is no interval. At least 5 seeds, better 10, would settle more."
        )
    factor, where = {2: 12.7, 3: 4.3, 4: 3.2}[fewest], f" with {fewest}" * (fewest < most)
    return (
        f"Only {words}: t intervals are wide (95% is ±{factor} standard errors{where}, 2.3 with ten seeds), so real "
        "differences can go unseen. At least 5 seeds, better 10, would settle more."
    )


def _patients(findings: Findings) -> Iterator[str]:
    """Say what the number of test patients costs; the thresholds are from docs/validation.md."""
    patients = findings.num_patients
    if patients == 1:
        yield "Intervals do not cover other test patients: there is one alone, or only errors of whole cells are known."
        return
    if findings.seed_range[1] == 1:
        return
    if patients < FEW_PATIENTS:
        factor = "a hundred" if patients == 2 else "three"
        yield (
            f"Only {patients} test patients: intervals of errors span a factor of {factor} or more in simulated "
            f"sweeps. At least {FEW_PATIENTS} test patients, better 20, would settle more."
        )
    elif _patients_dominate(findings):
        yield (
            f"The {patients} test patients differ more than the seeds do: they set how wide the intervals of errors "
            "are, and more test patients would narrow these, more seeds hardly. Arms are compared on the same "
            "patients, so differences suffer less."
        )


def _patients_dominate(findings: Findings) -> bool:
    """Return whether patients add more than seeds to the variance of the reference's error at most label counts."""
    logs, is_larger = findings.curves[findings.reference].logs.values, []
    for column in range(logs.shape[2]):
        known = logs[~np.isnan(logs[:, 0, column])][:, :, column]
        if len(known) > 1:
            mean = crossed_mean(known)
            is_larger.append(bool(mean.from_patients > mean.from_seeds))
    return sum(is_larger) > len(is_larger) / 2


def _one_subset(findings: Findings) -> str:
    """Say that training seeds on a single choice of labelled images are all that intervals know of."""
    if not is_one_subset(findings.results.cells):
        return ""
    return (
        f"All seeds are training seeds on one choice of labelled {findings.results.label_unit}: intervals cover the "
        f"chance of training alone, not another choice of labelled {findings.results.label_unit}, which often changes "
        "errors more. Several subset seeds would cover it."
    )


def _pretraining_runs(cells: pd.DataFrame, num_seeds: int) -> str:
    num_runs = cells.loc[cells["pretraining_schedule"] != "none", "pretraining_seed"].nunique()
    if num_runs == 1:
        covered = "the fine-tuning" if is_one_subset(cells) else "the choice of labelled images and the fine-tuning"
        return (
            f"One pretraining run per stage: intervals cover {covered}, not what another pretraining run would have "
            "given."
        )
    if 1 < num_runs < num_seeds:
        return (
            f"{num_runs} pretraining runs per stage serve {num_seeds} seeds: seeds that share a run are more alike "
            "than others, so intervals are somewhat too narrow for what another pretraining run would have given."
        )
    return ""


def _snapshots(cells: pd.DataFrame) -> str:
    """Say that encoders along one run are no shorter pretrainings."""
    kept = cells[(cells["pretraining_schedule"] == "milestones") & (cells["pretraining_epochs"] > 0)]
    if not (kept.groupby("arm")["pretraining_epochs"].nunique() > 1).any():
        return ""
    return (
        "Encoders after fewer epochs than the most are taken from one pretraining run, before its learning rate has "
        "fallen (schedule: milestones). A pretraining planned for fewer epochs may do better; schedule: per_length "
        "measures it."
    )


def _stopped(findings: Findings) -> str:
    """Say how many runs were stopped early, what that saved, and what is assumed of them."""
    results, targets = findings.results, findings.convergence.targets
    if not (stopped := num_stopped(results.cells)):
        return ""
    hold = results.options.hold_evaluations
    times = [
        run.reached_at(targets[run.label_count], hold)
        for run in findings.runs
        if run.is_stopped and run.label_count in targets
    ]
    short = sum(not time.is_reached for time in times)
    return (
        f"{stopped} of {len(results.cells)} fine-tunings were stopped early, annealed, since their validation Dice had "
        f"stopped rising: {saved_words(results)}. {short} of them had not reached the target and count as not reaching "
        "it within the budget; curves and areas keep their last Dice. That assumes that further steps would have "
        "changed nothing. Steps to the target hold the rise that a cooldown brings, which comes where patience ends."
    )


def _validation(results: ExperimentResults) -> str:
    cells = results.cells
    if not (slices := int(cells["validation_slices"].max())):
        return ""
    whose = number(int(cells["validation_patients"].max()), "patient")
    chosen = "They decide where a run ends, and nothing else" if may_stop(results) else "They choose nothing"
    return (
        f"Beside the labels counted here, {number(slices, 'slice')} of {whose} {'is' if slices == 1 else 'are'} "
        f"labelled for the validation curves. {chosen}: the last network of each run is tested."
    )

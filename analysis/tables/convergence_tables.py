"""What the report shows of convergence as tables: times and speed-ups at every target and in every unit, stability.

In: Findings. Out: data frames with plain column names, numbers unrounded; the page rounds them.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from analysis.comparisons.comparison import paired_difference
from analysis.convergence.stability import Stability, normalised_area, stability
from analysis.convergence.survival import SpeedUp
from analysis.convergence.time_to_target import ConvergenceStudy, Run
from analysis.findings import Findings
from analysis.intervals.uncertainty import Floats, t_interval
from analysis.pretraining.pretraining_cost import pretraining_cost

MEASURES = ("area", "spread", "drawdown")
Costs = dict[tuple[str, int], Floats]


def convergence(findings: Findings) -> pd.DataFrame:
    """List steps to the target and speed-ups; label count ``all`` is the mean over ``label_counts`` within each seed.

    ``low`` and ``high`` are of steps cut at the horizon; ``uncut_low`` and ``uncut_high`` of all steps, 0 or infinite
    on the side that runs which did not reach the target leave open.
    """
    study, rows = findings.convergence, []
    for variant in findings.variants["variant"]:
        for count in study.targets:
            censored, runs = study.num_censored(variant, count)
            if runs:
                head = (variant, str(count), study.targets[count], study.horizons[count], runs, censored)
                ratio = study.speed_up(variant, count)
                rows.append((*head, study.restricted_mean(variant, count), *_ratio_columns(ratio), str(count)))
        overall = study.overall_speed_up(variant)
        blank = float("nan")
        summary = (variant, "all", blank, blank, overall.ratio.num_seeds, overall.num_censored, blank)
        rows.append((*summary, *_ratio_columns(overall), ", ".join(map(str, overall.label_counts))))
    columns = ["variant", "label_count", "target_val_dice", "horizon_steps", "num_runs", "num_censored"]
    columns += ["restricted_mean_steps", "speed_up", "low", "high", "uncut_low", "uncut_high", "num_pairs", "ratio_is"]
    return pd.DataFrame(rows, columns=[*columns, "label_counts"])


def time_against_target(findings: Findings) -> pd.DataFrame:
    """List restricted mean steps and speed-ups for every target: shares of the reference's final validation Dice.

    Note: a target that is a Dice of its own has no share.
    """
    rows, studies = [], [*findings.convergence_by_share.items()]
    if findings.results.options.convergence_dice is not None:
        studies.append((float("nan"), findings.convergence))
    for share, study in studies:
        for variant in findings.variants["variant"]:
            for count in study.targets:
                censored, runs = study.num_censored(variant, count)
                if runs:
                    head = (variant, count, share, study.targets[count], runs, censored)
                    ratio = study.speed_up(variant, count)
                    rows.append((*head, study.restricted_mean(variant, count), *_ratio_columns(ratio)))
    columns = ["variant", "label_count", "share_of_reference", "target_val_dice", "num_runs", "num_censored"]
    columns += ["restricted_mean_steps", "speed_up", "low", "high", "uncut_low", "uncut_high", "num_pairs", "ratio_is"]
    return pd.DataFrame(rows, columns=columns)


def speed_up_by_unit(findings: Findings) -> pd.DataFrame:
    """List speed-ups in steps, samples and seconds, without and with the pretraining of the whole chain.

    Note: pretraining is paid once and serves every label count and seed; here each run bears it whole, as a user who
    trains a single network would. It is blank where the results hold no stage for one of the arms' chains. Seconds
    compare arms only where all cells ran on like machines. Runs that did not reach the target are cut at the horizon
    in every unit, so the bounds of ``survival`` hold here too: ``ratio_is``, ``uncut_low``, ``uncut_high``.
    """
    rows, study = [], findings.convergence
    units = _costs(findings)
    for variant in findings.variants["variant"]:
        for count in study.targets:
            if variant == findings.reference:
                continue
            in_steps = study.speed_up(variant, count)
            for (unit, whole), cost in units.items():
                pair = cost.get((findings.reference, count)), cost.get((variant, count))
                if pair[0] is None or pair[1] is None:
                    continue
                ratio = t_interval(np.log(pair[0]) - np.log(pair[1]), findings.results.options.confidence)
                if ratio.num_seeds:
                    found = replace(in_steps, ratio=ratio.exponential())
                    cut = found.num_censored, found.num_reference_censored
                    rows.append((variant, count, unit, whole, *cut, *_ratio_columns(found)))
    columns = ["variant", "label_count", "unit", "pretraining_counts", "num_censored", "num_reference_censored"]
    columns += ["speed_up", "low", "high", "uncut_low", "uncut_high", "num_pairs", "ratio_is"]
    return pd.DataFrame(rows, columns=columns)


def curve_stability(findings: Findings) -> pd.DataFrame:
    """List area, spread after convergence and drawdown: medians over seeds, and the area against the reference's.

    Runs of one seed, which differ in the pretraining or the training seed, are averaged first. The area of a run that
    was stopped early is that up to its budget; spread and drawdown are of what was trained.
    """
    found: dict[tuple[str, int], dict[str, list[Stability]]] = {}
    for run in findings.runs:
        one, whole = stability(run.steps, run.val_dice, _reached_at(run, findings)), run.to_budget()
        one = replace(one, area=normalised_area(whole.steps, whole.val_dice))
        found.setdefault((run.variant, run.label_count), {}).setdefault(run.seed, []).append(one)
    measures = {key: {name: _means(runs, name) for name in MEASURES} for key, runs in found.items()}
    areas = {key: _by_seed(findings, each["area"]) for key, each in measures.items()}
    rows = []
    for (variant, count), runs in sorted(found.items()):
        medians = [_of_known(np.median, measures[variant, count][name].values()) for name in MEASURES]
        ends = _area_over_reference(findings, areas, variant, count)
        rows.append((variant, count, len(runs), *medians, *ends))
    columns = ["variant", "label_count", "num_seeds", "normalised_area", "spread_after_target", "largest_drawdown"]
    return pd.DataFrame(
        rows, columns=[*columns, "area_minus_reference", "area_minus_reference_low", "area_minus_reference_high"]
    )


def _area_over_reference(
    findings: Findings, areas: dict[tuple[str, int], Floats], variant: str, count: int
) -> tuple[float, float, float]:
    """Return the area minus the reference's with its interval; the reference is 0 from itself, without one."""
    base = areas.get((findings.reference, count))
    if base is None:
        return (np.nan,) * 3
    if variant == findings.reference:
        return 0.0, np.nan, np.nan
    gap = paired_difference(areas[variant, count], base, findings.results.options.confidence).estimate
    return gap.value, gap.low, gap.high


def _costs(findings: Findings) -> dict[tuple[str, bool], Costs]:
    """Return what each seed spent until the target, by unit and whether pretraining counts.

    Runs of one seed, which differ in the pretraining or the training seed, are averaged, as steps to the target are.
    """
    study = findings.convergence
    spent: dict[str, dict[tuple[str, int], dict[str, list[float]]]] = {"steps": {}, "samples": {}, "seconds": {}}
    for run in findings.runs:
        if run.label_count in study.targets:
            steps = min(_reached_at(run, findings), study.horizons[run.label_count])
            whole = run.to_budget()
            seconds = float(np.interp(steps, whole.steps, whole.seconds))
            for unit, value in zip(spent, (steps, steps * run.batch_size, seconds), strict=True):
                spent[unit].setdefault((run.variant, run.label_count), {}).setdefault(run.seed, []).append(value)
    costs: dict[tuple[str, bool], Costs] = {}
    for unit, by_cell in spent.items():
        costs[unit, False] = {
            key: _by_seed(findings, {seed: float(np.mean(each)) for seed, each in values.items()})
            for key, values in by_cell.items()
        }
    for unit in ("samples", "seconds"):
        extra = pretraining_cost(findings.results)[unit]
        costs[unit, True] = {key: values + extra[key[0]] for key, values in costs[unit, False].items()}
    return costs


def _means(runs: Mapping[str, list[Stability]], name: str) -> dict[str, float]:
    """Return each seed's mean of one measure over the runs that have it; NaN where none has."""
    return {seed: _of_known(np.mean, (getattr(run, name) for run in each)) for seed, each in runs.items()}


def _of_known(summary: Callable[[Floats], np.floating], values: Iterable[float]) -> float:
    """Summarise the values that are numbers; NaN where none is."""
    known = np.array([value for value in values if not math.isnan(value)])
    return float(summary(known)) if len(known) else math.nan


def _by_seed(findings: Findings, values: dict[str, float]) -> Floats:
    return np.array([values.get(seed, np.nan) for seed in findings.seeds])


def _reached_at(run: Run, findings: Findings) -> float:
    """Return the step from which a run holds the configured target, infinite if it never does."""
    study: ConvergenceStudy = findings.convergence
    if run.label_count not in study.targets:
        return float("inf")
    time = run.reached_at(study.targets[run.label_count], findings.results.options.hold_evaluations)
    return time.steps if time.is_reached else float("inf")


def _ratio_columns(speed_up: SpeedUp) -> tuple[object, ...]:
    ratio, uncut = speed_up.ratio, speed_up.uncut
    bound = speed_up.bound if ratio.num_seeds else None  # there is no ratio that it could be of
    return ratio.value, ratio.low, ratio.high, uncut.low, uncut.high, ratio.num_seeds, bound

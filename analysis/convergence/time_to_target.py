"""Steps to a common target for every run of a sweep, and speed-ups against the reference variant.

In: validation curves and the cells they belong to. Out: per label count a target, a horizon, and one time
per seed. A run that was stopped early goes on to its budget with its last score: it has the horizon of the others.
Target: a share of the median final validation Dice of the reference at that label count, so that it is the same for all
arms, or any fixed Dice; see ``survival`` for the definitions.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.convergence.survival import (
    SpeedUp,
    TimeToTarget,
    combined_speed_up,
    log_ratios,
    restricted_mean_steps,
    speed_up,
    steps_to_target,
)
from analysis.intervals.uncertainty import UNKNOWN, Floats, common_counts
from analysis.loading.options import ReportOptions
from analysis.loading.replicates import mean_of_runs

Times = list[TimeToTarget | None]


@dataclass(frozen=True)
class ConvergenceStudy:
    """Times to the target of every variant: ``times[variant, label_count]`` has one entry per seed, None
    where missing.
    """

    reference: str
    seeds: tuple[str, ...]
    targets: Mapping[int, float]  # validation Dice; no entry where the reference has no finished cell
    horizons: Mapping[int, float]  # steps observed in every run, or spared it
    times: Mapping[tuple[str, int], Times]
    confidence: float

    def restricted_mean(self, variant: str, label_count: int) -> float:
        """Return the mean steps to the target up to the horizon; NaN without runs."""
        steps, is_reached = self.runs_of(variant, label_count)
        return restricted_mean_steps(steps, is_reached, self.horizons[label_count]) if len(steps) else float("nan")

    def runs_of(self, variant: str, label_count: int) -> tuple[Floats, NDArray[np.bool_]]:
        """Return each seed's steps, cut at the horizon, and whether it reached the target; no entry without a run."""
        runs = [time for time in self.times.get((variant, label_count), []) if time]
        steps = np.array([run.steps for run in runs], dtype=np.float64)
        return steps, np.array([run.is_reached for run in runs], dtype=np.bool_)

    def num_censored(self, variant: str, label_count: int) -> tuple[int, int]:
        """Return how many seeds did not reach the target by the horizon in all their runs, and how many there are."""
        runs = [time for time in self.times.get((variant, label_count), []) if time]
        return sum(not run.is_reached for run in runs), len(runs)

    def within(self, label_count: int | None = None) -> str:
        """Say up to which step runs are compared, at one label count or at all of them: the shortest run's last."""
        horizons = self.horizons if label_count is None else {label_count: self.horizons[label_count]}
        steps = sorted({horizons[count] for count in self.targets if count in horizons})
        if not steps:
            return "within the steps that all runs have"
        return f"within {steps[0]:.0f} steps" if len(steps) == 1 else f"within {steps[0]:.0f} to {steps[-1]:.0f} steps"

    def speed_up(self, variant: str, label_count: int) -> SpeedUp:
        """Return the speed-up against the reference at one label count."""
        empty: Times = [None] * len(self.seeds)
        found = speed_up(
            self.times.get((self.reference, label_count), empty),
            self.times.get((variant, label_count), empty),
            self.horizons.get(label_count, float("nan")),
            self.confidence,
        )
        return found.against_itself() if variant == self.reference else found

    def overall_speed_up(self, variant: str) -> SpeedUp:
        """Return the speed-up over the label counts that both arms have in a common seed, a geometric mean within each
        seed; which of them are averaged is ``common_counts``'s choice.

        Runs that did not reach the target count at those that are left out, too: what they hide is not known for being
        left out.
        """
        counts = list(self.targets)
        if not counts:
            return SpeedUp(UNKNOWN, 0, 0)
        ratios = np.stack([self._log_ratios(variant, count) for count in counts], axis=1)  # (seed, label count)
        known = ~np.isnan(ratios)
        chosen = common_counts(known)
        ratio = combined_speed_up([ratios[:, index] for index in np.flatnonzero(chosen)], self.confidence)
        shared = [counts[index] for index in np.flatnonzero(known.sum(axis=0))]
        censored, of_reference = (
            sum(self.num_censored(name, count)[0] for count in shared) for name in (variant, self.reference)
        )
        found = SpeedUp(ratio, censored, of_reference, tuple(sorted(np.array(counts)[chosen].tolist())))
        return found.against_itself() if variant == self.reference else found

    def steps(self, variant: str, label_count: int) -> Floats:
        """Return steps to the target per seed, cut at the horizon; NaN where a run is missing."""
        times = self.times.get((variant, label_count), [None] * len(self.seeds))
        steps = np.array([time.steps if time else np.nan for time in times], dtype=np.float64)
        return np.minimum(steps, self.horizons.get(label_count, np.nan))

    def is_reached(self, variant: str, label_count: int) -> NDArray[np.bool_]:
        """Return per seed whether there is a run and it reached the target."""
        times = self.times.get((variant, label_count), [None] * len(self.seeds))
        return np.array([time is not None and time.is_reached for time in times], dtype=np.bool_)

    def _log_ratios(self, variant: str, label_count: int) -> Floats:
        reference, arm = self.steps(self.reference, label_count), self.steps(variant, label_count)
        return log_ratios(reference, arm, self.horizons[label_count])


@dataclass(frozen=True)
class Run:
    """The validation curve of one cell; rows without a validation score are left out."""

    variant: str
    label_count: int
    seed: str
    steps: Floats
    val_dice: Floats
    seconds: Floats  # of training, validation left out
    batch_size: int
    budget_steps: float = 0.0  # above the last step where the run was stopped early

    @property
    def is_stopped(self) -> bool:
        """Whether it ended before its budget."""
        return bool(self.steps[-1] < self.budget_steps)

    def to_budget(self) -> "Run":
        """Return the run as if its last score had been seen at every further evaluation, at its own pace in seconds.

        Note: that further steps would have changed nothing is assumed, not known.
        """
        if not self.is_stopped:
            return self
        last, every = float(self.steps[-1]), float(np.diff(self.steps).max(initial=1.0))
        more = np.append(np.arange((last // every + 1) * every, self.budget_steps, every), self.budget_steps)
        seconds = self.seconds[-1] * more / last if last else np.zeros(len(more))
        return replace(
            self,
            steps=np.append(self.steps, more),
            val_dice=np.append(self.val_dice, np.full(len(more), self.val_dice[-1])),
            seconds=np.append(self.seconds, seconds),
        )

    def reached_at(self, target: float, hold_evaluations: int) -> TimeToTarget:
        """Return its time to a target; one that never got there was observed up to its budget."""
        whole = self.to_budget()
        return steps_to_target(whole.steps, whole.val_dice, target, hold_evaluations)


def partly_validated(cells: pd.DataFrame, curves: pd.DataFrame) -> list[str]:
    """Return the cells with a validation Dice that none is known of at the last step, or at no step after the first.

    Their curves lost rows, or the Dice was undefined there; as runs they would cut the horizon of all others.
    """
    known = curves.dropna(subset="val_dice").groupby("cell_id")["step"].max()
    last = cells["cell_id"].map(known)
    return list(cells["cell_id"][last.notna() & ((last < cells["steps"]) | (last == 0))])


def collect_runs(cells: pd.DataFrame, curves: pd.DataFrame) -> list[Run]:
    """Return the curve of every cell that was validated to its end; ``partly_validated`` names the others."""
    cells = cells[~cells["cell_id"].isin(partly_validated(cells, curves))]
    curves = curves.dropna(subset="val_dice").sort_values(["cell_id", "step"], kind="stable")
    ids, starts = np.unique(curves["cell_id"].to_numpy(dtype=str), return_index=True)
    steps, dice, seconds = (
        dict(zip(ids, np.split(curves[name].to_numpy(dtype=np.float64), starts[1:]), strict=False))
        for name in ("step", "val_dice", "seconds")
    )
    names = ["cell_id", "variant", "label_count", "seed", "batch_size", "steps", "budget_steps"]
    return [
        Run(
            *(variant, int(count), seed, steps[cell_id], dice[cell_id], seconds[cell_id], int(batch_size)),
            budget_steps=float(budget) if trained < budget else 0.0,
        )
        for cell_id, variant, count, seed, batch_size, trained, budget in cells[names].itertuples(index=False)
        if cell_id in steps
    ]


def targets_of_reference(cells: pd.DataFrame, reference: str, fraction: float) -> dict[int, float]:
    """Return a share of the reference's median final validation Dice over seeds, one target per label count."""
    finals = (
        mean_of_runs(cells[cells["variant"] == reference], ["val_dice"]).groupby("label_count")["val_dice"].median()
    )
    finals = finals.dropna()
    return {int(str(count)): fraction * float(value) for count, value in finals.items()}


def fixed_targets(runs: list[Run], dice: float) -> dict[int, float]:
    """Return one validation Dice as the target of every label count that has a run.

    Note: at label counts where no run gets there nothing can be compared, and a mean over label counts is then a
    bound on neither side: choose a Dice that the fewest labels reach.
    """
    return dict.fromkeys(sorted({run.label_count for run in runs}), dice)


def study_convergence(
    runs: list[Run],
    targets: Mapping[int, float],
    reference: str,
    seeds: list[str],
    options: ReportOptions,
) -> ConvergenceStudy:
    """Measure every run's time to the target of its label count, which may be any validation Dice."""
    found: dict[tuple[str, int], dict[str, list[TimeToTarget]]] = {}
    horizons: dict[int, float] = {}
    for run in runs:
        if run.label_count not in targets:
            continue
        time = run.reached_at(targets[run.label_count], options.hold_evaluations)
        found.setdefault((run.variant, run.label_count), {}).setdefault(run.seed, []).append(time)
        horizon = max(float(run.steps[-1]), run.budget_steps)
        horizons[run.label_count] = min(horizons.get(run.label_count, np.inf), horizon)
    times = {
        key: [_combine(of_seed.get(seed, []), horizons[key[1]]) for seed in seeds] for key, of_seed in found.items()
    }
    targets = {count: target for count, target in targets.items() if count in horizons}
    return ConvergenceStudy(reference, tuple(seeds), targets, horizons, times, options.confidence)


def _combine(times: list[TimeToTarget], horizon: float) -> TimeToTarget | None:
    """Average the runs of one seed, which differ in the pretraining or the training seed, each cut at the horizon.

    Their mean counts as reached only if all of them reached the target by then.
    """
    if not times:
        return None
    steps = float(np.mean([min(time.steps, horizon) for time in times]))
    return TimeToTarget(steps, all(time.is_reached and time.steps <= horizon for time in times))

"""How many optimiser steps a run needs to reach a target, and how much faster one arm is than another.

In: validation Dice curves. Out: steps to the target with censoring, restricted mean steps, paired speed-ups.
Sources: Kaplan & Meier (1958); restricted mean survival time, Royston & Parmar (2013); time-to-result with a
target fixed by a reference arm as in DAWNBench and AlgoPerf. The definition used by arXiv 2209.00314 is not
published.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from analysis.intervals.uncertainty import UNKNOWN, Estimate, Floats, t_interval


@dataclass(frozen=True)
class TimeToTarget:
    """Steps until a run reached the target; where ``is_reached`` is false, the last step at which it was
    observed.
    """

    steps: float
    is_reached: bool


@dataclass(frozen=True)
class SpeedUp:
    """How many times fewer steps an arm needs than the reference arm; above 1 is faster.

    Note: a run that did not reach the target counts as if it had reached it at the end of the observed
    steps. Such runs in the arm make the ratio an upper bound of the true one, in the reference a lower
    bound, in both no bound at all. ``ratio`` and its interval are of steps cut at that end; ``uncut`` is of all steps.
    """

    ratio: Estimate
    num_censored: int
    num_reference_censored: int
    label_counts: tuple[int, ...] = ()  # that a mean over label counts is of
    is_reference: bool = False  # the reference against itself: 1 by definition, without an interval

    @property
    def bound(self) -> str:
        """What censoring makes of the ratio: ``exact``, ``at most``, ``at least`` or ``unbounded``; of the reference
        nothing, which is ``reference``.
        """
        if self.is_reference:
            return "reference"
        if self.num_censored and self.num_reference_censored:
            return "unbounded"
        if self.num_censored:
            return "at most"
        return "at least" if self.num_reference_censored else "exact"

    @property
    def uncut(self) -> Estimate:
        """Return the interval of the ratio of steps that are not cut: open on the side that censoring hides."""
        low = 0.0 if self.num_censored and self.ratio.is_known else self.ratio.low
        high = math.inf if self.num_reference_censored and self.ratio.is_known else self.ratio.high
        return Estimate(self.ratio.value, low, high, self.ratio.num_seeds)

    def against_itself(self) -> "SpeedUp":
        """Return this as the reference's own: no runs of it can hide how it compares with itself."""
        ratio = Estimate(self.ratio.value, math.nan, math.nan, self.ratio.num_seeds)
        return replace(self, ratio=ratio, is_reference=True)


def steps_to_target(steps: Floats, val_dice: Floats, target: float, hold_evaluations: int) -> TimeToTarget:
    """Return the first step at which val_dice >= target in ``hold_evaluations`` evaluations in a row, that
    one included.

    A run that is at the target at step 0 counts as reaching it at its first evaluation after training began.
    Note: the answer is no finer than the evaluation interval, and a run may fall below the target later.
    """
    if len(steps) < hold_evaluations:
        return TimeToTarget(float(steps[-1]), False)
    above: NDArray[np.bool_] = np.asarray(val_dice >= target)
    held = above[: len(above) - hold_evaluations + 1].copy()
    for shift in range(1, hold_evaluations):
        held &= above[shift : shift + len(held)]
    index = int(held.argmax())
    if not held[index]:
        return TimeToTarget(float(steps[-1]), False)
    return TimeToTarget(float(steps[index]) or float(steps[min(index + 1, len(steps) - 1)]), True)


def kaplan_meier(steps: Floats, is_reached: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Return the times at which runs reached the target, and the share of runs that had not yet after each
    of them.
    """
    times = np.unique(steps[is_reached])
    at_risk = np.array([(steps >= time).sum() for time in times])
    events = np.array([(is_reached & (steps == time)).sum() for time in times])
    return times, np.cumprod(1.0 - events / np.maximum(at_risk, 1))


def restricted_mean_steps(steps: Floats, is_reached: NDArray[np.bool_], horizon: float) -> float:
    """Return the area under the Kaplan-Meier curve up to ``horizon``: mean steps to the target, cut there.

    Note: with censored runs this is smaller than the true mean, and it depends on the horizon: compare equal
    horizons only.
    """
    times, survival = kaplan_meier(steps, is_reached)
    inside = times < horizon
    edges = np.concatenate([[0.0], times[inside], [horizon]])
    heights = np.concatenate([[1.0], survival[inside]])
    return float(np.sum(np.diff(edges) * heights))


def log_ratios(reference_steps: Floats, arm_steps: Floats, horizon: float) -> Floats:
    """Return log(reference / arm) per seed, both cut at ``horizon``; NaN where a seed lacks either run."""
    ratios: Floats = np.log(np.minimum(reference_steps, horizon)) - np.log(np.minimum(arm_steps, horizon))
    return ratios


def speed_up(
    reference: list[TimeToTarget | None], arm: list[TimeToTarget | None], horizon: float, confidence: float
) -> SpeedUp:
    """Return the geometric mean over seeds of reference steps / arm steps, both lists in the same order of
    seeds.
    """
    pairs = [(first, second) for first, second in zip(reference, arm, strict=True) if first and second]
    if not pairs:
        return SpeedUp(UNKNOWN, 0, 0)
    ratios = log_ratios(
        np.array([first.steps for first, _ in pairs]),
        np.array([second.steps for _, second in pairs]),
        horizon,
    )
    return SpeedUp(
        t_interval(ratios, confidence).exponential(),
        sum(not second.is_reached for _, second in pairs),
        sum(not first.is_reached for first, _ in pairs),
    )


def combined_speed_up(parts: list[Floats], confidence: float) -> Estimate:
    """Combine log ratios of shape (seed,) of several label counts: mean within each seed first, then over
    the seeds.

    A seed that lacks a label count is left out, since a mean over other label counts is another quantity.
    """
    if not parts:
        return UNKNOWN
    estimate = t_interval(np.mean(np.stack(parts), axis=0), confidence)
    return estimate.exponential() if not math.isnan(estimate.value) else UNKNOWN

"""A law of error and labels fitted to one arm: which family, with which parameters, and how sure that is.

In: the LogCurve of an arm. Out: LawFit, or a Refusal in words.
Method: least squares on the log error of every seed. The family is the one that predicts held-out larger label counts
best from the smaller ones, not the one that fits best. Uncertainty is linearised: each seed and patient pulls the
parameters by a known amount, and the t interval of ``crossed_effects`` over these pulls needs no refit. How
often it holds the truth, and how often the two-level bootstrap does, ``benchmarks/coverage.py`` counts.
Sources: choice by extrapolation, Alabdulmohsin et al. (2022); influence values, Hampel (1974).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from analysis.intervals.crossed_effects import crossed_mean
from analysis.intervals.uncertainty import Estimate, Floats
from analysis.labels.law_choice import (
    FALSE_FALLS,
    best_and_rivals,
    chance_of_fall,
    extrapolation_scores,
    falls_with_labels,
    is_falling,
    standard_error_over_seeds,
    summarise,
)
from analysis.labels.laws import FAMILIES, Family
from analysis.labels.least_squares import jacobian
from analysis.scores.error_curve import LogCurve


@dataclass(frozen=True)
class Law:
    """One law: its family and parameters."""

    family: Family
    parameters: Floats

    def error(self, label_counts: Floats) -> Floats:
        """Return the law's error; beyond the largest measured label count it is an extrapolation."""
        return self.family.curve(self.parameters, np.asarray(label_counts, dtype=np.float64))

    @property
    def floor(self) -> float:
        """Return the error that no number of labels passes; 0 in a family without one."""
        return float(_floor(self.family, self.parameters))


@dataclass(frozen=True)
class LawFit:
    """A fitted law with what each seed and patient contributes to it.

    Note: floor and exponent trade off: a low floor with a slow fall and a high floor with a quick fall fit alike. Read
    their intervals, not their values; they take the family as given. The band also spans the families that the held-out
    label counts cannot tell from the best, and no interval knows of a family that is not among the five.
    """

    law: Law
    label_counts: Floats  # the measured ones
    pulls: Floats  # (seed, patient, parameter): the mean over them is 0
    residual: float  # root mean square of log error
    scores: Mapping[str, float]  # root mean square log error on held-out larger counts, by family
    rivals: tuple["LawFit", ...] = ()  # fits of the families that extrapolate about as well

    def logs(self, label_counts: Floats) -> LogCurve:
        """Return the law's log errors as if each seed and patient had one: (seed, patient, label count)."""
        slopes = jacobian(self.law.family, label_counts, self.law.parameters)  # (label count, parameter)
        return LogCurve(label_counts, np.log(self.law.error(label_counts)) + self.pulls @ slopes.T)

    def band(self, label_counts: Floats, confidence: float) -> tuple[Floats, Floats]:
        """Return the pointwise interval of the law and its rivals at each label count; NaN with one seed."""
        ends = [fit.own_band(label_counts, confidence) for fit in (self, *self.rivals)]
        return np.min([low for low, _ in ends], axis=0), np.max([high for _, high in ends], axis=0)

    def parameter(self, name: str, confidence: float) -> Estimate:
        """Return a parameter with its t interval; a floor's or exponent's does not go below the least that is fitted.

        Those are 0 and a small positive number: an error below 0, or one that rises with labels, is no such law.
        """
        place = self.law.family.parameters.index(name)
        result = crossed_mean(self.law.parameters[place] + self.pulls[:, :, place])
        found = result.estimate(confidence)
        if name not in ("floor", "exponent") or not found.is_known:
            return found
        least = float(self.law.family.bounds(1.0, self.label_counts)[0][place])
        return replace(found, low=max(least, found.low), high=max(least, found.high))

    def transition(self, confidence: float) -> Estimate | None:
        """Return the labels at which half of the error is the floor, where the power law gives way to it.

        There the local slope on log-log axes has fallen to half of its steepest for a power law with floor. Infinite
        where the floor is 0; None for a family without one. The interval has no upper end where the floor's holds 0.
        """
        family, parameters = self.law.family, self.law.parameters
        if not family.has_floor:
            return None
        centre = float(np.log(transition(family, parameters)))
        if not np.isfinite(centre):
            return Estimate(float(np.exp(centre)), np.nan, np.nan, len(self.pulls))
        slopes = _gradient(lambda values: np.log(transition(family, values)), parameters)
        found = crossed_mean(centre + self.pulls @ slopes).estimate(confidence).exponential()
        is_open = self.parameter("floor", confidence).low <= 0.0
        return replace(found, high=np.inf) if is_open and found.is_known else found

    def own_band(self, label_counts: Floats, confidence: float) -> tuple[Floats, Floats]:
        """Return the interval that takes the law's family as given."""
        low, high = crossed_mean(np.moveaxis(self.logs(label_counts).values, -1, 0)).interval(confidence)
        with np.errstate(over="ignore"):
            return np.exp(low), np.exp(high)


@dataclass(frozen=True)
class Refusal:
    """Why no law is fitted, in words for the reader."""

    reason: str


def fit_law(logs: LogCurve) -> LawFit | Refusal:
    """Fit the family that extrapolates best, with its rivals, or say why none is fitted."""
    means = summarise(logs)
    if (number := len(means.label_counts)) < 3:
        return Refusal(f"{number} label count{'s' * (number != 1)}, and a law of two parameters needs at least 3")
    if not is_falling(means.label_counts, means.logs):
        order = falls_with_labels(means.label_counts, means.logs)
        if np.isnan(order):  # of three counts or more
            return Refusal("the error is the same at all label counts")
        return Refusal(f"the error does not fall with labels (Spearman {order:.2f})")
    if (chance := chance_of_fall(logs)) >= FALSE_FALLS:  # false for NaN
        return Refusal(f"the fall with labels cannot be distinguished from chance (one-sided p {chance:.2f})")
    scores = extrapolation_scores(means)
    best, rivals = best_and_rivals(scores, standard_error_over_seeds(logs))
    fits = [_fit(FAMILIES[name], logs, scores) for name in (best, *rivals)]
    return replace(fits[0], rivals=tuple(fits[1:]))


def fit_family(family: Family, logs: LogCurve) -> LawFit | Refusal:
    """Fit one given family, or say why the label counts cannot identify it."""
    num_counts, needed = int(logs.is_known.sum()), family.num_parameters + 1
    if num_counts < needed:
        return Refusal(f"{num_counts} label counts, and {family.name} needs at least {needed}")
    return _fit(family, logs, {})


def transition(family: Family, parameters: Floats) -> Floats:
    """Return the label count at which the error is twice the floor; (..., parameter) to (...).

    Infinite where the floor is 0, and 0 where even one label's error is below twice the floor.
    """
    goal = 2 * _floor(family, parameters)
    low, high = np.zeros(goal.shape), np.full(goal.shape, np.log(1e12))
    for _ in range(60):  # bisection in log labels: every family falls
        middle = (low + high) / 2
        above = family.curve(parameters, np.exp(middle)[..., None])[..., 0] > goal
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    result = np.where(low == 0, 0.0, np.where(high == np.log(1e12), np.inf, np.exp(middle)))
    return np.asarray(np.where(goal == 0, np.inf, result))


def _floor(family: Family, parameters: Floats) -> Floats:
    if not family.has_floor:
        return np.zeros(parameters.shape[:-1])
    return parameters[..., family.parameters.index("floor")]


def _fit(family: Family, logs: LogCurve, scores: Mapping[str, float]) -> LawFit:
    means = summarise(logs)
    law = Law(family, means.fit(family))
    residuals = logs.by_seed[:, logs.is_known] - np.log(law.error(means.label_counts))
    residual = float(np.sqrt(np.nanmean(residuals**2)))
    return LawFit(law, means.label_counts, _pulls(logs, law, means.lowest), residual, scores)


def _pulls(logs: LogCurve, law: Law, lowest: float) -> Floats:
    """Return what each seed and patient would change in the parameters, to first order: (seed, patient, parameter).

    Parameters on their bound are held there, but for the floor: how far from 0 it could be must not look certain.
    """
    present = ~np.isnan(logs.by_seed).all(axis=1)
    values, counts = logs.values[present][:, :, logs.is_known], logs.label_counts[logs.is_known]
    box = law.family.bounds(lowest, counts)
    free = (law.parameters > box[0] + 1e-9) & (law.parameters < box[1] - 1e-9)
    free |= np.array([name == "floor" for name in law.family.parameters])
    slopes = jacobian(law.family, counts, law.parameters)[:, free]
    numbers = (~np.isnan(values[:, 0])).sum(axis=0)
    normal = np.einsum("cp,c,cq->pq", slopes, numbers, slopes)
    residuals = np.nan_to_num(values - np.log(law.error(counts)))
    pulls = np.zeros((*values.shape[:2], law.family.num_parameters))
    pulls[:, :, free] = len(values) * residuals @ slopes @ np.linalg.pinv(normal, rcond=1e-10)
    return np.asarray(pulls - pulls.mean(axis=(0, 1)))


def _gradient(measure: Callable[[Floats], Floats], parameters: Floats) -> Floats:
    """Return the derivative of a number by each parameter, by central differences."""
    steps = 1e-6 * np.eye(len(parameters))
    return np.asarray((measure(parameters + steps) - measure(parameters - steps)) / 2e-6)

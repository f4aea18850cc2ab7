"""Which family of laws describes an arm: the one that predicts held-out larger label counts from the smaller ones.

In: the mean log error at each label count. Out: scores by family, whether the error falls at all.
Source: Alabdulmohsin, Neyshabur & Zhai (2022): forms are to be judged by extrapolation, since fit favours parameters.
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import spearmanr

from analysis.intervals.crossed_effects import crossed_mean
from analysis.intervals.uncertainty import ROUNDING, Floats
from analysis.labels.laws import FAMILIES, Family
from analysis.labels.least_squares import fit_many
from analysis.scores.error_curve import SMALLEST_ERROR, LogCurve

RIVAL_STANDARD_ERRORS = 2.0
FALSE_FALLS = 0.05  # how often an error that does not depend on labels may be given a law
TIE = 1.05  # of the lowest score: the family with fewest parameters stands


@dataclass(frozen=True)
class Means:
    """Mean log errors at the label counts with results, and the number of seeds behind each.

    For least squares on single seeds these are sufficient: what remains within a label count is constant.
    """

    label_counts: Floats
    logs: Floats
    num_seeds: Floats

    @property
    def lowest(self) -> float:
        """Return the smallest error, above which no law may level off."""
        return float(np.exp(self.logs.min()))

    def first(self, number: int) -> "Means":
        """Return the smallest label counts alone."""
        return Means(self.label_counts[:number], self.logs[:number], self.num_seeds[:number])

    def fit(self, family: Family) -> Floats:
        """Return the parameters of the least-squares law of a family."""
        starts = family.starts(self.label_counts, np.exp(self.logs))
        found, _ = fit_many(family, self.label_counts, self.logs[None], self.num_seeds[None], starts, self.lowest)
        return np.asarray(found[0])


def summarise(logs: LogCurve) -> Means:
    """Return the means of an arm's log errors."""
    known = logs.is_known
    numbers = (~np.isnan(logs.by_seed)).sum(axis=0).astype(np.float64)
    return Means(logs.label_counts[known], logs.mean()[known], numbers[known])


def extrapolation_scores(means: Means) -> dict[str, float]:
    """Return each family's root mean square log error on held-out larger label counts.

    One to a third of the counts are held out, from the largest down; families that the remaining counts cannot
    identify are left out.
    """
    num_counts = len(means.label_counts)
    num_held_out = max(1, num_counts // 3)
    scores = {}
    for name, family in FAMILIES.items():
        if num_counts - num_held_out < family.num_parameters or num_counts <= family.num_parameters:
            continue
        squares = []
        for kept in range(num_counts - num_held_out, num_counts):
            predicted = family.curve(means.first(kept).fit(family), means.label_counts[kept:])
            gaps = np.log(np.maximum(predicted, SMALLEST_ERROR)) - means.logs[kept:]
            squares.append(float(np.mean(gaps**2)))
        scores[name] = float(np.sqrt(np.mean(squares)))
    return scores


def best_and_rivals(scores: dict[str, float], standard_error: float) -> tuple[str, list[str]]:
    """Return the family that extrapolates best, and those that two standard errors cannot tell from it.

    With an unknown standard error, which one seed leaves, all families are rivals.
    """
    lowest = min(scores.values())
    near = [name for name, score in scores.items() if score <= TIE * lowest]
    best = min(near, key=lambda name: FAMILIES[name].num_parameters)
    limit = np.inf if np.isnan(standard_error) else scores[best] + RIVAL_STANDARD_ERRORS * standard_error
    return best, [name for name, score in scores.items() if name != best and score <= limit]


def standard_error_over_seeds(logs: LogCurve) -> float:
    """Return the standard error of a mean log error: root mean square over label counts, NaN at one seed."""
    columns = [column[~np.isnan(column)] for column in logs.by_seed.T]
    spreads = [values.var(ddof=1) / len(values) for values in columns if len(values) > 1]
    return float(np.sqrt(np.mean(spreads))) if spreads else float("nan")


def falls_with_labels(label_counts: Floats, errors: Floats) -> float:
    """Return Spearman's correlation of mean error and label count; -1 falls at every step.

    NaN below 3 counts, and where all errors are the same up to rounding.

    Note: it is about order alone. At 5 label counts even -0.9 can be chance, and it says nothing on the size of the
    fall.
    """
    known = ~np.isnan(errors)
    if known.sum() < 3 or np.ptp(errors[known]) <= ROUNDING:
        return float("nan")
    return float(spearmanr(label_counts[known], errors[known]).statistic)


def is_falling(label_counts: Floats, errors: Floats) -> bool:
    """Return whether the mean error falls with labels: Spearman <= -0.5, or lower at the last of two."""
    known = errors[~np.isnan(errors)]
    if len(known) < 3:
        return len(known) == 2 and bool(known[1] < known[0])
    return falls_with_labels(label_counts, errors) <= -0.5


def chance_of_fall(logs: LogCurve) -> float:
    """Return the one-sided p-value of "the error does not fall with labels": a t test of slopes, NaN at one seed.

    Each seed and patient has a slope of log error on log labels, over the label counts that the seed has. Order alone
    does not tell: of four counts in random order more than a fifth have a Spearman correlation of -0.5 or less.
    """
    known = ~np.isnan(logs.by_seed)
    rows = np.flatnonzero(known.sum(axis=1) > 1)
    if len(rows) < 2:
        return float("nan")
    places = np.log(logs.label_counts)
    slopes = np.empty((len(rows), logs.values.shape[1]))  # (seed, patient)
    for row, seed in enumerate(rows):
        centred = places[known[seed]] - places[known[seed]].mean()
        slopes[row] = logs.values[seed][:, known[seed]] @ centred / (centred @ centred)
    return float(crossed_mean(slopes).p_below(0.0))

"""Two measures of single runs: how likely one of an arm beats one of another, and the mean of the middle half of runs.

In: errors of runs, one per seed, lower is better. Out: a probability with its numbers of runs; an interquartile mean.
Source: Agarwal et al. (2021) Deep reinforcement learning at the edge of the statistical precipice. NeurIPS 34,
arXiv:2108.13264; ``rliable`` computes both, for one task and scores of which more is better. Its third, the optimality
gap of Dice below 1, is the mean error itself.
"""

import math
from dataclasses import dataclass

import numpy as np

from analysis.intervals.uncertainty import Floats

FEWEST_RUNS = 4  # below them a quarter of the runs is less than one, and the mean of all would be called a middle half


@dataclass(frozen=True)
class Improvement:
    """How likely a run of an arm has a lower error than a run of another; 0.5 where neither is more likely."""

    probability: float  # NaN where either has no run
    num_runs: int
    num_other_runs: int


def probability_of_improvement(errors: Floats, others: Floats) -> Improvement:
    """Return the mean over all pairs of runs, (x, y) of the two arms, of 1[x < y] + 0.5 * 1[x = y]; NaN is no run.

    This is Mann and Whitney's U over the number of pairs. Note: it says nothing of how large a difference is and has no
    interval here: of three runs against three there are nine pairs, so 1 is seen in one of twenty comparisons of equal
    arms. Runs are not paired by seed: luck that both arms share moves it towards 0.5.
    """
    errors, others = errors[~np.isnan(errors)], others[~np.isnan(others)]
    if len(errors) == 0 or len(others) == 0:
        return Improvement(math.nan, len(errors), len(others))
    wins = (errors[:, None] < others).mean() + 0.5 * (errors[:, None] == others).mean()
    return Improvement(float(wins), len(errors), len(others))


def interquartile_mean(errors: Floats) -> float:
    """Return the mean of the runs without the floor(n / 4) lowest and highest; NaN below four runs, NaN is no run.

    Note: it hides runs that failed to learn, which a user of a single run may get: look at the largest error, too.
    """
    errors = np.sort(errors[~np.isnan(errors)])
    if len(errors) < FEWEST_RUNS:
        return math.nan
    cut = len(errors) // 4
    return float(errors[cut : len(errors) - cut].mean())

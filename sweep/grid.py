"""The grid: from axes to unique cells.

In: an Experiment. Out: every cell that it asks for, once: arm x pretraining epochs x label count x seeds. An arm
whose last stage has no milestones appears once, at 0 epochs.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from sweep.experiment import Experiment, GridConfig


@dataclass(frozen=True)
class GridPoint:
    """The axes of one cell."""

    arm: str
    pretraining_epochs: int
    label_count: int
    subset_seed: int
    train_seed: int
    pretraining_seed: int  # 0 where nothing is pretrained


def pretraining_epochs(experiment: Experiment, arm: str) -> tuple[int, ...]:
    """Return the arm's points on the pretraining-epochs axis."""
    stages = experiment.arms[arm].stages
    return (experiment.stages[stages[-1]].milestones if stages else ()) or (0,)


def base_arm(experiment: Experiment, arm: str) -> str:
    """Return the arm that this one is at 0 pretraining epochs: the same chain without its last stage, if it is an arm.

    An arm without a pretraining-epochs axis is its own base.
    """
    config = experiment.arms[arm]
    if pretraining_epochs(experiment, arm) == (0,):
        return arm
    for name in experiment.arm_names:
        other = experiment.arms[name]
        if other.weights == config.weights and other.stages == config.stages[:-1]:
            return name
    return arm


def grid_points(experiment: Experiment) -> Iterator[GridPoint]:
    """Yield all cells, a whole replicate (seed) before the next, so that a stopped run holds complete replicates.

    Pretraining seeds are dealt to the subsets in turn: with as many of them as subsets, replicates share no pretraining
    run, and an interval over replicates covers what another run would have given.
    """
    grid = experiment.grid
    dealt = itertools.cycle(grid.pretraining_seeds)
    for subset_seed, pretraining_seed in zip(grid.subset_seeds, dealt, strict=False):
        for train_seed in grid.train_seeds or (subset_seed,):
            for arm in experiment.arm_names:
                *intermediate, last = pretraining_epochs(experiment, arm)
                for epochs in (*intermediate, last):
                    for label_count in sorted(grid.label_counts):
                        if epochs == last or _takes_intermediate(grid, label_count, subset_seed):
                            seed = pretraining_seed if experiment.arms[arm].stages else 0
                            yield GridPoint(arm, epochs, label_count, subset_seed, train_seed, seed)


def _takes_intermediate(grid: GridConfig, label_count: int, subset_seed: int) -> bool:
    """Whether milestones before an arm's last are run at this label count and seed."""
    counts, seeds = grid.intermediate_label_counts, grid.intermediate_subset_seeds
    return (counts is None or label_count in counts) and (seeds is None or subset_seed in seeds)

"""What stands for itself in a sweep: a choice of labelled images together with its training, or that choice alone.

In: finished cells. Out: the name of each cell's seed, over which intervals are, and whether seeds are subsets alone.
Runs on one subset share its labelled images, so that they are more alike than runs on two: as replicates of their own
they would make intervals too narrow (pseudoreplication: Hurlbert 1984, Ecological Monographs 54:187-211). Where a
subset was trained from several training seeds, its runs are therefore averaged to one replicate. With a single subset
nothing but training seeds is left; intervals are then of the training's chance alone.
"""

from collections.abc import Sequence

import pandas as pd

POINT = ("variant", "label_count")


def seed_names(cells: pd.DataFrame) -> pd.Series:
    """Return each cell's seed: the pair of subset and training seed, or the subset where these are the replicates."""
    return cells["subset_seed"].astype(str) if are_subsets(cells) else pair_names(cells)


def pair_names(cells: pd.DataFrame) -> pd.Series:
    """Return each cell's pair of subset and training seed, such as ``0/10``."""
    return cells["subset_seed"].astype(str) + "/" + cells["train_seed"].astype(str)


def are_subsets(cells: pd.DataFrame) -> bool:
    """Return whether some subset has several training seeds and is not the only one."""
    return bool(_num_trainings(cells).max() > 1 and cells["subset_seed"].nunique() > 1)


def is_one_subset(cells: pd.DataFrame) -> bool:
    """Return whether training seeds are the replicates, since all of several are of one subset."""
    return bool(_num_trainings(cells).max() > 1 and cells["subset_seed"].nunique() == 1)


def seed_list(cells: pd.DataFrame) -> str:
    """List the seeds as subset / training, or each subset with its training seeds in brackets."""
    pairs = cells[["subset_seed", "train_seed"]].drop_duplicates().sort_values(["subset_seed", "train_seed"])
    if not are_subsets(cells):
        return ", ".join(sorted(set(pair_names(cells))))
    by_subset = pairs.groupby("subset_seed")["train_seed"]
    return ", ".join(f"{subset} ({', '.join(map(str, seeds))})" for subset, seeds in by_subset)


def seed_words(cells: pd.DataFrame) -> str:
    """Say what a seed stands for."""
    if are_subsets(cells):
        return "the choice of labelled images, over whose training runs everything is averaged first"
    if is_one_subset(cells):
        return "the training run, on one choice of labelled images for all of them"
    return "the choice of labelled images and the training run together"


def mean_of_runs(cells: pd.DataFrame, columns: Sequence[str], keys: Sequence[str] = POINT) -> pd.DataFrame:
    """Average the runs of each seed at each point, so that medians over the rows are over seeds."""
    values = cells[[*keys, "seed", *columns]].astype(dict.fromkeys(columns, "float64"))
    return values.groupby([*keys, "seed"], sort=True, as_index=False).mean()


def _num_trainings(cells: pd.DataFrame) -> pd.Series:
    """Return how many training seeds each subset has."""
    return cells.groupby("subset_seed")["train_seed"].nunique()

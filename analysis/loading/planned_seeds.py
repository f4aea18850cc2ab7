"""The seeds that a plan has at every point of its grid, looked up instead of searched for.

In: planned cells. Out: sets of seeds by arm, pretraining epochs and label count.
"""

import pandas as pd

Point = tuple[str, int, int]  # an arm, its pretraining epochs and a label count
Seed = tuple[int, int]  # of the label subset and of training


def seeds_by_point(planned: pd.DataFrame) -> dict[Point, set[Seed]]:
    """Return the seeds at each point that has any."""
    names = ("arm", "pretraining_epochs", "label_count", "subset_seed", "train_seed")
    found: dict[Point, set[Seed]] = {}
    for arm, epochs, count, subset, train in zip(*(planned[name].tolist() for name in names), strict=True):
        found.setdefault((str(arm), int(epochs), int(count)), set()).add((int(subset), int(train)))
    return found

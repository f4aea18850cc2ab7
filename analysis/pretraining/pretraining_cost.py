"""What the pretraining behind a variant cost: every stage of the chain that its cells name, up to the epoch they took.

In: cells and the pretraining table. Out: seconds, device-seconds, samples and FLOPs per variant.
"""

import pandas as pd

from analysis.loading.load import ExperimentResults
from trainables.results import stages_of

COSTS = ["seconds", "device_seconds", "samples", "flops"]


def pretraining_cost(results: ExperimentResults) -> pd.DataFrame:
    """Return a row per variant with the columns ``COSTS``: of one run of its chain, the mean over pretraining seeds.

    0 where weights are random or were downloaded, which cost nothing here; NaN where an epoch is not in the results, or
    has no such figure.
    """
    epochs = results.pretraining.set_index(["stage_id", "epoch"])[COSTS].sort_index()
    chains = results.cells[["variant", "pretraining_chain"]].drop_duplicates()
    costs = pd.DataFrame([_chain_cost(epochs, chain) for chain in chains["pretraining_chain"]], index=chains["variant"])
    runs = costs.groupby(level=0)
    return runs.mean().where(runs.count().eq(runs.size(), axis=0))  # no mean over the runs that happen to have a figure


def _chain_cost(epochs: pd.DataFrame, chain: str) -> dict[str, float]:
    """Add the epochs of every ``stage_id@epoch`` of a chain."""
    total = dict.fromkeys(COSTS, 0.0)
    for stage_id, last in stages_of(chain):
        wanted = pd.MultiIndex.from_product([[stage_id], range(1, last + 1)])
        own = epochs.reindex(wanted).sum(skipna=False)
        total = {name: total[name] + float(own[name]) for name in COSTS}
    return total

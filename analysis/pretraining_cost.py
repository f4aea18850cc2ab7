"""What the pretraining behind a variant cost: the stages of its arm and of the arms it starts from.

In: variants and the pretraining table. Out: samples or seconds per variant.
"""

import pandas as pd


def pretraining_cost(variants: pd.DataFrame, stages: pd.DataFrame, unit: str) -> dict[str, float]:
    """Return the ``seconds`` or ``samples`` of each variant's whole chain.

    0 for a network that starts from random weights; NaN where no stage of the chain is in the results, as with weights
    that were downloaded.
    """
    chains = dict(zip(variants["arm"], variants["base_arm"], strict=True))
    columns = variants[["variant", "arm", "pretraining_epochs"]].itertuples(index=False)
    return {str(variant): _chain(stages, str(arm), int(epochs), chains, unit) for variant, arm, epochs in columns}


def _chain(stages: pd.DataFrame, arm: str, epochs: int, chains: dict[str, str], unit: str) -> float:
    if arm == "random":
        return 0.0
    total, seen = float("nan"), set()
    while arm and arm not in seen:
        seen.add(arm)
        own = stages[stages["stage"] == arm]
        if not own.empty:
            used = own[own["epoch"] <= epochs] if epochs else own
            total = (0.0 if pd.isna(total) else total) + float(used.groupby("stage_id")[unit].sum().mean())
        arm, epochs = chains.get(arm, ""), 0
    return total

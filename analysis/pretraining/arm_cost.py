"""What a variant has cost in all: device time of its fine-tunings and of every pretraining run behind them, and the
price.

In: cells, the pretraining table, ``compute`` of experiment.yaml, and the shares of a device that the launcher noted.
Out: an ArmCost for each variant. Counted as in the account that the sweep prints: a cell takes its wall time, or of it
the share of a GPU that it was given; an epoch the seconds of all its workers. Left out are starting processes, failed
units and epochs that were trained again.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from analysis.loading.load import ExperimentResults
from trainables.results import stages_of

HOUR, MINUTE = 3600.0, 60.0


@dataclass(frozen=True)
class ArmCost:
    """Device-seconds of one variant as if it were alone; NaN where the results do not hold them.

    Note: stages are shared between variants, so pretraining does not add up over them. Weights that were downloaded
    cost nothing here. Device-hours of different devices are not alike.
    """

    num_pretraining_runs: int  # distinct chains; 0 without stages
    pretraining_seconds: float  # of all chains, stages that they share counted once
    run_pretraining_seconds: float  # of one chain, a mean
    num_cells: int
    finetuning_seconds: float
    price_per_device_hour: float | None
    weights: str = "random"  # what the arm starts from, as the experiment names it

    @property
    def seconds(self) -> float:
        """Both kinds together."""
        return self.pretraining_seconds + self.finetuning_seconds

    @property
    def run_seconds(self) -> float:
        """One run: the pretraining of one chain, and one fine-tuning."""
        return self.run_pretraining_seconds + self.finetuning_seconds / self.num_cells

    @property
    def price(self) -> float:
        """What these device-hours cost, in the currency of the configured price; NaN without one."""
        return math.nan if self.price_per_device_hour is None else self.price_per_device_hour * self.seconds / HOUR


def arm_costs(results: ExperimentResults) -> dict[str, ArmCost]:
    """Return what each variant's finished cells, and the stages behind them, have taken."""
    compute = results.settings("compute")
    price, share = compute.get("price_per_device_hour"), float(compute.get("gpus_per_cell") or 1.0)
    seconds = _cell_seconds(results, share)
    epochs = results.pretraining.set_index(["stage_id", "epoch"])["device_seconds"].sort_index()
    found = {}
    for variant, cells in results.cells.groupby("variant", sort=True):
        chains = {chain for chain in cells["pretraining_chain"] if chain}
        each = [_stage_seconds(epochs, {chain}) for chain in sorted(chains)]
        one = sum(each) / len(each) if each else 0.0
        finetuning = float(seconds[cells.index].sum(skipna=False))
        pretraining, weights = _stage_seconds(epochs, chains), _weights(results, str(cells["arm"].iloc[0]))
        found[str(variant)] = ArmCost(len(chains), pretraining, one, len(cells), finetuning, price, weights)
    return found


def cost_table(costs: Mapping[str, ArmCost]) -> pd.DataFrame:
    """List device-hours of pretraining, fine-tuning and both, and their price where one is configured."""
    rows = [
        (
            variant,
            cost.num_pretraining_runs,
            cost.num_cells,
            cost.pretraining_seconds / HOUR,
            cost.finetuning_seconds / HOUR,
            cost.seconds / HOUR,
            cost.price,
        )
        for variant, cost in costs.items()
    ]
    columns = ["variant", "pretraining_runs", "finetunings", "pretraining_device_hours", "finetune_device_hours"]
    table = pd.DataFrame(rows, columns=[*columns, "device_hours", "price"])
    return table if table["price"].notna().any() else table.drop(columns="price")


def cost_words(variant: str, cost: ArmCost) -> str:
    """Say what a variant has cost in all, and of what that is made."""
    if math.isnan(cost.seconds):
        return f"What {variant} cost is not known: the results lack times of its stages or cells."
    one = device_time(cost.finetuning_seconds / cost.num_cells)
    each = f"{cost.num_cells} fine-tuning{'s' * (cost.num_cells != 1)} of {one}"
    whole = f"All its runs in this sweep took {device_time(cost.seconds)}{_priced(cost)}"
    if not cost.num_pretraining_runs:
        return f"One run of {variant} took {one} of fine-tuning; {_no_pretraining(cost)}. {whole}: {each}."
    parts = f"{device_time(cost.run_pretraining_seconds)} of pretraining and {one} of fine-tuning"
    runs = f"{cost.num_pretraining_runs} pretraining run{'s' * (cost.num_pretraining_runs != 1)}"
    started = f"; {_origin(cost)}" if _origin(cost) else ""
    return (
        f"One run of {variant} took {device_time(cost.run_seconds)}: {parts}{started}. "
        f"{whole}: {device_time(cost.pretraining_seconds)} for {runs} and {each}."
    )


def short_cost(cost: ArmCost) -> str:
    """Say in a few words what one run of a variant and all of it have cost."""
    if math.isnan(cost.seconds):
        return "not known"
    return f"{device_time(cost.run_seconds)} a run, {device_time(cost.seconds)} in all"


def device_time(seconds: float) -> str:
    """Say seconds of one device in the unit that suits them."""
    for size, unit in ((HOUR, "hour"), (MINUTE, "minute"), (1.0, "second")):
        if seconds >= size or size == 1.0:
            return f"{seconds / size:.3g} device-{unit}s"
    raise AssertionError


def _no_pretraining(cost: ArmCost) -> str:
    return _origin(cost) or "it has no pretraining"


def _origin(cost: ArmCost) -> str:
    """Say where named weights came from, whose pretraining is not counted; nothing where the arm starts from none."""
    if cost.weights == "random":
        return ""
    whence = "came from a file" if cost.weights.startswith("file:") else "were downloaded"
    return f"its pretrained weights {whence}, and cost nothing here"


def _priced(cost: ArmCost) -> str:
    if cost.price_per_device_hour is None:
        return ""
    return f", which cost {cost.price:.3g} at {cost.price_per_device_hour:g} a device-hour"


def _weights(results: ExperimentResults, arm: str) -> str:
    """Return the weights that an arm starts from; random where the experiment does not say."""
    named = results.settings("arms").get(arm) or {}
    return str(named.get("weights") or "random")


def _cell_seconds(results: ExperimentResults, otherwise: float) -> pd.Series:
    """Return each cell's wall time, of a GPU the share of it under which the cell finished."""
    cells = results.cells[["wall_seconds", "device", "finished_at"]]
    seconds = [results.device_shares.device_seconds(cell, otherwise) for cell in cells.to_dict("records")]
    return pd.Series(seconds, index=cells.index, dtype=float)


def _stage_seconds(epochs: pd.Series, chains: set[str]) -> float:
    """Add each stage's epochs once, up to the last that any of the chains needs; NaN where one is not there."""
    needed: dict[str, int] = {}
    for stage_id, last in (stage for chain in chains for stage in stages_of(chain)):
        needed[stage_id] = max(needed.get(stage_id, 0), last)
    wanted = [(stage_id, epoch) for stage_id, last in needed.items() for epoch in range(1, last + 1)]
    return float(epochs.reindex(pd.MultiIndex.from_tuples(wanted)).sum(skipna=False)) if wanted else 0.0

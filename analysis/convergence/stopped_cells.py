"""Cells that ended before their budget of steps: which they are, what they saved, and how their curves go on.

In: cells and curves of ExperimentResults. Out: shares of steps, curves carried on to the budget, words. A stopped cell
was annealed and had stopped rising, so its last Dice stands for the steps that it was spared: what is compared with
cells that went on has their horizon. What was really trained is what cells cost.
"""

from typing import Any

import pandas as pd

from analysis.loading.load import ExperimentResults

SUMS = ["steps", "budget_steps", "train_hours", "budget_train_hours"]
TABLE = ["variant", "num_cells", "num_stopped", "saved_share", *SUMS]


def stop_rule(results: ExperimentResults) -> dict[str, Any]:
    """Return ``finetune.stop`` of the experiment; empty where no cell is to be stopped, or experiment.yaml is gone."""
    return dict(results.settings("finetune").get("stop") or {})


def may_stop(results: ExperimentResults) -> bool:
    """Return whether validation scores decide where cells end."""
    return bool(stop_rule(results)) or num_stopped(results.cells) > 0


def num_stopped(cells: pd.DataFrame) -> int:
    """Count cells that ended before their budget."""
    return int((cells["steps"] < cells["budget_steps"]).sum())


def saved_share(cells: pd.DataFrame) -> float:
    """Return the share of the training steps of all budgets that was not taken."""
    return 1 - float(cells["steps"].sum() / cells["budget_steps"].sum())


def saved_table(results: ExperimentResults) -> pd.DataFrame:
    """List the steps trained and planned of each variant, and of ``all``; empty where no cell may be stopped.

    ``train_hours`` are of training alone, ``budget_train_hours`` what the whole budget would have taken at each cell's
    own pace. Validation, which is spared as well, comes on top.
    """
    if not may_stop(results):
        return pd.DataFrame(columns=TABLE)
    hours = results.cells["train_seconds"].astype(float) / 3600
    pace = results.cells["budget_steps"] / results.cells["steps"]
    cells = results.cells.assign(train_hours=hours, budget_train_hours=hours * pace)
    parts = [*cells.groupby("variant", sort=True), ("all", cells)]
    rows = [
        {"variant": name, "num_cells": len(part), "num_stopped": num_stopped(part), "saved_share": saved_share(part)}
        | {column: part[column].sum() for column in SUMS}
        for name, part in parts
    ]
    return pd.DataFrame(rows, columns=TABLE)


def curves_to_budget(curves: pd.DataFrame) -> pd.DataFrame:
    """Return validation Dice as (step, seed), the mean over a seed's runs, from rows of one variant and label count.

    A stopped run has its last Dice up to its budget; where others were validated between two of its evaluations, or it
    between theirs, values are interpolated linearly. Without stopped runs these are the values as they are.
    """
    table = curves.pivot_table(index="step", columns="cell_id", values="val_dice")
    runs = curves.groupby("cell_id").agg(last=("step", "max"), budget=("budget_steps", "first"), seed=("seed", "first"))
    if (runs["last"] < runs["budget"]).any():
        steps = table.index.union([int(runs["budget"].max())])
        table = table.reindex(steps).interpolate(method="index", limit_direction="forward")
    return table.T.groupby(runs["seed"].reindex(table.columns).to_numpy()).mean().T


def saved_words(results: ExperimentResults) -> str:
    """Say the share of steps that was saved in all, and from which variant to which it goes."""
    shares = {str(name): saved_share(part) for name, part in results.cells.groupby("variant", sort=True)}
    least, most = min(shares, key=lambda name: shares[name]), max(shares, key=lambda name: shares[name])
    ends = (
        f", from {shares[least]:.0%} ({least}) to {shares[most]:.0%} ({most})" if shares[least] < shares[most] else ""
    )
    return f"{saved_share(results.cells):.0%} of the training steps of the full budget were saved{ends}"


def rule_words(results: ExperimentResults) -> str:
    """Say the rule of stopping in few words; nothing where the experiment does not tell it."""
    rule = stop_rule(results)
    if not rule:
        return ""
    return (
        f"patience {rule['patience']} evaluations, min_delta {rule['min_delta']:g}, cooldown over "
        f"{rule['cooldown_fraction']:.0%} of the budget"
    )

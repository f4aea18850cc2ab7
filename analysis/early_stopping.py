"""What early stopping would have saved and cost: python -m analysis.early_stopping RESULTS [--patience K]

In: the validation curves of finished cells. Out: by arm and label count the share of the steps that a patience rule
would have saved, and how much lower the best validation Dice would have been; at how many label counts another arm
would have had the highest. Nothing is changed: these cells ran their whole budget, and these are prefixes of their
curves. Cells that ``finetune.stop`` may have ended are refused: they tell what was saved in their report.
Exit codes: 0 done, 1 error, 2 usage.
Source: patience and min_delta as in the EarlyStopping callbacks of Keras and Lightning; what stopping rules trade
off: Prechelt 1998, "Early Stopping - But When?".
"""

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.convergence.stopped_cells import may_stop
from analysis.convergence.time_to_target import Run, collect_runs
from analysis.intervals.uncertainty import Floats
from analysis.loading.load import ExperimentResults, load_results
from analysis.loading.selection import ReportError
from trainables.results.programs import DONE, EXIT_CODES, program

PATIENCE = 10


@dataclass(frozen=True)
class EarlyStop:
    """Where a patience rule would have ended a run, and what of it is lost.

    ``kept_dice`` is the best validation Dice up to there, ``full_dice`` that of the whole run.

    Note: the learning rate falls over the whole budget, so a stopped run ends before its rate is small. A run planned
    for fewer steps would do better than its prefix here; its numbers are of another protocol. Test scores of the
    networks that would have been kept are not known.
    """

    steps: float
    full_steps: float
    kept_dice: float
    full_dice: float

    @property
    def saved_share(self) -> float:
        """Share of the training steps that are saved."""
        return 1 - self.steps / self.full_steps if self.full_steps else 0.0

    @property
    def lost_dice(self) -> float:
        """By how much the best validation Dice is lower; never below 0."""
        return self.full_dice - self.kept_dice


def early_stop(steps: Floats, val_dice: Floats, patience: int, min_delta: float = 0.0) -> EarlyStop:
    """Stop at the ``patience``-th evaluation in a row that is no more than ``min_delta`` above the best before.

    The evaluation before training counts as the first. A rise by less than ``min_delta`` leaves the best that others
    are compared with as it is.
    """
    best, waited, stop = -np.inf, 0, len(val_dice) - 1
    for position, score in enumerate(val_dice):
        is_better = score > best + min_delta
        best, waited = (score, 0) if is_better else (best, waited + 1)
        if waited == patience:
            stop = position
            break
    return EarlyStop(float(steps[stop]), float(steps[-1]), float(val_dice[: stop + 1].max()), float(val_dice.max()))


def early_stopping_table(runs: Sequence[Run], patience: int, min_delta: float = 0.0) -> pd.DataFrame:
    """Summarise runs by arm and label count: cells, mean saved share, mean and largest lost Dice, mean best Dice."""
    rows = []
    for run in runs:
        stop = early_stop(run.steps, run.val_dice, patience, min_delta)
        rows.append((run.variant, run.label_count, stop.saved_share, stop.lost_dice, stop.full_dice, stop.kept_dice))
    columns = ["variant", "label_count", "saved_share", "lost_dice", "full_dice", "kept_dice"]
    groups = pd.DataFrame(rows, columns=columns).groupby(["variant", "label_count"], sort=True)
    return groups.agg(
        cells=("saved_share", "size"),
        saved_share=("saved_share", "mean"),
        lost_dice=("lost_dice", "mean"),
        largest_lost_dice=("lost_dice", "max"),
        full_dice=("full_dice", "mean"),
        kept_dice=("kept_dice", "mean"),
    ).reset_index()


def changed_leaders(table: pd.DataFrame) -> list[int]:
    """Return the label counts at which another arm has the highest mean best validation Dice once runs are stopped."""
    by_count = table.set_index("variant").groupby("label_count")
    full, kept = by_count["full_dice"].idxmax(), by_count["kept_dice"].idxmax()
    return [int(str(count)) for count in full.index[full != kept]]


def describe(table: pd.DataFrame, patience: int, min_delta: float) -> str:
    """Say in words what the rule would have done."""
    weights = table["cells"] / table["cells"].sum()
    saved, lost = float((weights * table["saved_share"]).sum()), float((weights * table["lost_dice"]).sum())
    changed, num_counts = changed_leaders(table), table["label_count"].nunique()
    named = f" ({', '.join(map(str, changed))})" if changed else ""
    return (
        f"Early stopping with patience {patience} (evaluations) and min_delta {min_delta:g} would have saved "
        f"{100 * saved:.1f}% of the training steps of {table['cells'].sum()} cells and lowered the best validation "
        f"Dice by {lost:.4f} in the mean, by {table['largest_lost_dice'].max():.4f} at most. Another arm would have "
        f"had the highest mean at {len(changed)} of {num_counts} label counts{named}. The learning rate of these runs "
        "falls over the whole budget; runs planned for fewer steps would differ."
    )


def _why_none(results: ExperimentResults) -> str:
    if not results.cells["validation_slices"].max():
        return "no slice was labelled for validation (data.validation_slices)"
    if results.curves.empty:
        return "there are no curves: the folder was copied without them"
    return "no cell has a validation Dice at its last step"


@program
def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, print the table and what it says, and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m analysis.early_stopping",
        description="What early stopping would have saved and cost.",
        epilog=EXIT_CODES,
    )
    parser.add_argument("results", type=Path, metavar="RESULTS")
    parser.add_argument("--patience", type=_patience, default=PATIENCE, metavar="K", help=f"default {PATIENCE}")
    parser.add_argument("--min-delta", type=_min_delta, default=0.001, metavar="D", help="in Dice (default 0.001)")
    options = parser.parse_args(arguments)
    found = load_results(options.results)
    if may_stop(found):
        raise ReportError(
            f"expected cells that ran their whole budget, found finetune.stop in {options.results}: its report says "
            "what was saved"
        )
    runs = collect_runs(found.cells, found.curves)
    if not runs:
        raise ReportError(f"no validation curve in {options.results} can be used, since {_why_none(found)}")
    table = early_stopping_table(runs, options.patience, options.min_delta)
    print(table.to_string(index=False, float_format=lambda value: f"{value:.4f}"))
    print(describe(table, options.patience, options.min_delta))
    return DONE


def _patience(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, found {text!r}")
    return int(text)


def _min_delta(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"expected a Dice from 0 to below 1, found {text!r}")
    return value


if __name__ == "__main__":
    sys.exit(main())

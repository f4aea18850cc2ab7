"""The sweep that is disturbed: 20 cells of three arms, with stages long enough to be killed in their middle.

In: a results folder. Out: the command that runs it, and its tables in a form that two runs can be compared in.
"""

import sys
from pathlib import Path

import pandas as pd

from trainables.results import read_table

NUM_CELLS = 20
KEYS = {
    "cells": ["cell_id"],
    "curves": ["cell_id", "step"],
    "cases": ["cell_id", "patient", "phase", "class_index"],
    "pretraining": ["stage_id", "epoch"],
}
SETTINGS = [
    "compute.device=cpu",
    "compute.max_retries=100",  # so that no cell is given up
    "grid.arms=[random,byol-domain,supervised-natural+byol-domain]",
    "grid.subset_seeds=[0,1]",
    "report.reference_arm=random",
    "stages.supervised-natural.epochs=20",
    "stages.byol-domain.epochs=40",
    "stages.byol-domain.milestones=[20,40]",
    "finetune.steps=48",
    "finetune.evaluate_every=24",
]


def command(results: Path, cache: Path, *arguments: str) -> list[str]:
    """The command that runs the sweep."""
    program = [sys.executable, "-m", "sweep.data_efficiency", "--preset", "smoke", "--results", str(results)]
    return [*program, f"compute.cache={cache}", *SETTINGS, *arguments]


def numbers(results: Path, table: str) -> pd.DataFrame:
    """A table without its wall-clock columns, in a fixed order."""
    content, problems = read_table(results, table)
    assert not problems, problems
    frame = content.to_pandas().sort_values(KEYS[table]).reset_index(drop=True)
    assert not frame.duplicated(KEYS[table]).any(), f"{table} holds a row twice"
    return frame.drop(columns=[name for name in frame if name.endswith("seconds") or name == "finished_at"])


def assert_same_numbers(first: Path, second: Path) -> int:
    """Raise AssertionError where two runs differ in any number; return how many rows were compared."""
    rows = 0
    for table in KEYS:
        expected = numbers(first, table)
        pd.testing.assert_frame_equal(expected, numbers(second, table), check_exact=True)
        rows += len(expected)
    return rows

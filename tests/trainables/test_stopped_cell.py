"""A cell with ``finetune.stop``: it ends early and annealed, tells both numbers of steps, and learns what it would."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainables.test_finetune import job, numbers
from trainables.finetune import CellResult, run_and_commit, run_cell
from trainables.results import finished_cells, read_table
from trainables.training_step import TrainingStep

RECIPE: dict[str, Any] = {"steps": 20, "warmup_fraction": 0.1, "evaluate_every": 3}
NEVER_RISES: dict[str, Any] = {"patience": 2, "min_delta": 0.99}
NEVER_RUNS_OUT: dict[str, Any] = {"patience": 99}


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[float]]:
    """The rate and the batch, as a sum of its pixels, of each step that is taken."""
    found: dict[str, list[float]] = {"rates": [], "batches": []}
    set_rate, take_step = TrainingStep.set_learning_rate, TrainingStep.__call__

    def rate(self: TrainingStep, value: float) -> None:
        found["rates"].append(value)
        set_rate(self, value)

    def step(self: TrainingStep, images: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
        found["batches"].append(float(images.double().sum()))
        return take_step(self, images, *others)

    monkeypatch.setattr(TrainingStep, "set_learning_rate", rate)
    monkeypatch.setattr(TrainingStep, "__call__", step)
    return found


def run(root: Path, cache: Path, stop: dict[str, Any] | None) -> CellResult:
    return run_cell(job(root, cache, **RECIPE, stop=stop))


def test_a_cell_whose_patience_runs_out_ends_early_and_annealed(
    tmp_path: Path, cache: Path, seen: dict[str, list[float]]
) -> None:
    """Step 3 is the first past the warm-up of 2, two evaluations are no better, and a fifth of 20 steps cools down."""
    result = run(tmp_path, cache, NEVER_RISES)
    assert [row["step"] for row in result.curves] == [0, 3, 6, 9, 12, 13]
    assert (result.cell["steps"], result.cell["budget_steps"]) == (13, 20)
    cooldown = [4e-3 * (1 - (k / 5) ** 0.5) for k in (1, 2, 3, 4)]
    assert seen["rates"] == pytest.approx([4e-3 / 3, 8e-3 / 3, *[4e-3] * 7, *cooldown])


def test_a_cell_whose_patience_never_runs_out_ends_at_its_budget_on_the_batches_of_one_without(
    tmp_path: Path, cache: Path, seen: dict[str, list[float]]
) -> None:
    result = run(tmp_path, cache, NEVER_RUNS_OUT)
    assert [row["step"] for row in result.curves] == [0, 3, 6, 9, 12, 15, 18, 20]
    assert (result.cell["steps"], result.cell["budget_steps"]) == (20, 20)
    run(tmp_path, cache, NEVER_RISES)
    run(tmp_path, cache, None)
    batches = seen["batches"]
    assert len(set(batches[:20])) == 20
    assert batches[20:33] == batches[:13]  # the cell that was stopped
    assert batches[33:] == batches[:20]


def test_a_cell_that_runs_again_has_the_same_numbers(tmp_path: Path, cache: Path) -> None:
    first, again = run(tmp_path, cache, NEVER_RISES), run(tmp_path, cache, NEVER_RISES)
    assert numbers(again.cell) == numbers(first.cell)
    assert again.cases == first.cases


def test_up_to_its_cooldown_a_stopped_cell_is_the_cell_that_goes_on(tmp_path: Path, cache: Path) -> None:
    stopped, whole = run(tmp_path, cache, NEVER_RISES), run(tmp_path, cache, NEVER_RUNS_OUT)
    losses = [[row["val_loss"] for row in each.curves] for each in (stopped, whole)]
    assert losses[0][:4] == losses[1][:4]  # to step 9
    assert losses[0][4] != losses[1][4]


def test_a_stopped_cell_is_finished_and_tells_both_numbers_of_steps(tmp_path: Path, cache: Path) -> None:
    run_and_commit(job(tmp_path, cache, **RECIPE, stop=NEVER_RISES))
    assert finished_cells(tmp_path) == {"cell"}
    (row,) = read_table(tmp_path, "cells")[0].to_pylist()
    assert (row["steps"], row["budget_steps"]) == (13, 20)


def test_a_cell_that_is_not_stopped_has_its_budget_of_steps(tmp_path: Path, cache: Path) -> None:
    cell = run(tmp_path, cache, None).cell
    assert (cell["steps"], cell["budget_steps"]) == (20, 20)

"""Cells that take their worker with them, on Ray itself: nothing else is lost, and the rest of the grid is finished."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.scheduling import commit_made_up, planned
from sweep import launch_ray
from sweep.exit_codes import ERROR
from sweep.plan import Plan
from sweep.state.scoreboard import Scoreboard
from trainables import finetune, ray_adapters
from trainables.jobs import CellJob
from trainables.results import finished_cells, read_table

pytestmark = [pytest.mark.ray, pytest.mark.slow]

NUM_CELLS = 40
SPENT: list[str] = []  # in a worker whose device no longer works: of what


def is_marked(job: CellJob) -> bool:
    """Whether this is the one bad cell of the grid."""
    return (job.axes["subset_seed"], job.axes["label_count"]) == (3, 4)


def note_try(job: CellJob) -> int:
    """Write down a try of the bad cell, which survives its process; return how many there were."""
    with (job.results / "tries").open("a") as file:
        file.write("x")
    return tries(job.results)


def tries(results: Path) -> int:
    return len((results / "tries").read_text())


def poisonous(job: CellJob) -> None:
    time.sleep(0.05)
    if is_marked(job):
        note_try(job)
        os.kill(os.getpid(), signal.SIGKILL)
    commit_made_up(job)


def spending(job: CellJob) -> None:
    """Leave the device of this process unusable at the first try of the bad cell."""
    time.sleep(0.05)
    if is_marked(job) and note_try(job) == 1:
        SPENT.append("CUDA error: an illegal memory access was encountered")
    if SPENT:
        raise RuntimeError(SPENT[0])
    commit_made_up(job)


def poisonous_trial(config: dict[str, Any]) -> None:
    finetune.run_and_commit = poisonous  # type: ignore[assignment]
    ray_adapters.finetune_trial(config)


def spending_trial(config: dict[str, Any]) -> None:
    finetune.run_and_commit = spending  # type: ignore[assignment]
    ray_adapters.finetune_trial(config)


def launched(folder: Path, trial: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> tuple[Plan, Scoreboard]:
    plan = planned(folder, NUM_CELLS)
    monkeypatch.setattr(ray_adapters, "finetune_trial", trial)
    board = Scoreboard(plan)
    launch_ray.launch(plan, board, plan.cells[0].job.compute)
    return plan, board


def test_a_cell_that_kills_every_worker_fails_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, board = launched(tmp_path, poisonous_trial, monkeypatch)
    results = tmp_path / "results"
    (bad,) = [cell.job.cell_id for cell in plan.cells if is_marked(cell.job)]
    (failure,) = read_table(results, "failures")[0].to_pylist()
    assert failure["unit_id"] == bad
    assert "its worker process died: it was killed (SIGKILL" in failure["reason"]
    assert finished_cells(results) == {cell.job.cell_id for cell in plan.cells} - {bad}
    assert tries(results) == 1 + plan.max_retries
    assert board.counts().cells_failed == 1


def test_a_worker_whose_device_no_longer_works_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, board = launched(tmp_path, spending_trial, monkeypatch)
    results = tmp_path / "results"
    assert finished_cells(results) == {cell.job.cell_id for cell in plan.cells}
    assert tries(results) == 2
    assert board.num_retries == 1
    assert read_table(results, "failures")[0].num_rows == 0


def test_a_full_disk_ends_the_run_with_one_line_and_a_whole_ledger(small_disk: Path, cache: Path) -> None:
    grid = ["grid.arms=[random]", "report.reference_arm=random", f"grid.subset_seeds={list(range(40))}"]
    common = ["--preset", "smoke", "--results", str(small_disk / "results"), "--tensorboard", "none"]
    command = [sys.executable, "-m", "sweep.data_efficiency", *common, f"compute.cache={cache}", *grid]
    done = subprocess.run([*command, "compute.device=cpu"], capture_output=True, text=True)
    assert done.returncode == ERROR, done.stderr
    assert "error: disk full: 0 MiB are free at" in done.stderr.splitlines()[-1], done.stderr
    assert "Traceback" not in done.stderr
    _, problems = read_table(small_disk / "results", "cells")
    assert not problems
    assert finished_cells(small_disk / "results")
    assert read_table(small_disk / "results", "failures")[0].num_rows == 0

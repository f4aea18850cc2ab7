"""Cells that run out of memory beside others are run again with less of them at once."""

import time
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import torch
from ray.tune.search import Searcher

from sweep import launch_ray
from sweep.experiment import load_preset
from sweep.inputs import read_inputs
from sweep.on_ray.searcher import CellSearcher
from sweep.plan import Plan, build_plan
from sweep.state.scoreboard import Scoreboard
from trainables.jobs import CellJob
from trainables.results import finished_cells, open_results, read_table, record_failure

pytestmark = pytest.mark.ray

NOTES = Path("/nowhere")  # of workers that noted nothing


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("no room"),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
def test_cells_that_ran_out_of_memory_beside_others_are_given_back_and_the_search_ends(
    plan: Plan, tmp_path: Path, error: Exception
) -> None:
    board = Scoreboard(plan)
    searcher = CellSearcher(board, lambda _: 2, Event(), NOTES)
    first, second = searcher.suggest("first"), searcher.suggest("second")
    for content in first["cells"]:
        job = CellJob.model_validate(content)
        record_failure(tmp_path, job.failure(error))
    searcher.on_trial_complete("first", result={"cell_seconds": 1.0})
    assert searcher.is_out_of_memory
    assert searcher.suggest("third") == Searcher.FINISHED
    assert board.counts().cells_failed == 0
    assert board.cells_running() == len(second["cells"])
    assert read_table(tmp_path, "failures")[0].num_rows == 0
    again = CellSearcher(board, lambda _: 1, Event(), NOTES, is_alone=True).suggest("again")
    assert again["cells"][0] in first["cells"]


def test_a_cell_that_runs_out_of_memory_alone_has_failed(plan: Plan, tmp_path: Path) -> None:
    board = Scoreboard(plan)
    searcher = CellSearcher(board, lambda _: 1, Event(), NOTES, is_alone=True)
    for content in searcher.suggest("only")["cells"]:
        record_failure(tmp_path, CellJob.model_validate(content).failure(MemoryError("no room")))
    searcher.on_trial_complete("only", result={"cell_seconds": 1.0})
    assert not searcher.is_out_of_memory
    assert board.num_retries > 0


@pytest.mark.slow
def test_the_launcher_packs_less_when_cells_run_out_of_memory_beside_others(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cell of this test needs the machine to itself, as one that fills a GPU would."""
    from trainables import ray_adapters

    experiment = load_preset(
        "smoke",
        ["grid.arms=[random]", "report.reference_arm=random", f"compute.cache={cache}", "grid.subset_seeds=[0,1,2]"],
    )
    plan = build_plan(experiment, read_inputs(experiment), open_results(tmp_path / "results"))
    assert len(plan.missing) == 6
    monkeypatch.setattr(ray_adapters, "finetune_trial", greedy_trial)
    events: list[str] = []
    board = Scoreboard(plan, on_event=lambda name, fields: events.append(name))
    launch_ray.launch(plan, board, plan.cells[0].job.compute.model_copy(update={"slots": 2}))
    assert board.packing == "1 at a time"
    assert events.count("packing_reduced") == 1
    assert finished_cells(tmp_path / "results") == {cell.job.cell_id for cell in plan.cells}
    assert read_table(tmp_path / "results", "failures")[0].num_rows == 0


def greedy_trial(config: dict[str, Any]) -> None:
    from trainables import finetune, ray_adapters

    real = finetune.run_and_commit
    finetune.run_and_commit = lambda job: run_alone(job, real)
    try:
        ray_adapters.finetune_trial(config)  # the worker's own, which no test has replaced
    finally:
        finetune.run_and_commit = real


def run_alone(job: CellJob, run_and_commit: Callable[[CellJob], Any]) -> None:
    mark = job.results / ".busy"
    try:
        mark.touch(exist_ok=False)
    except FileExistsError:
        raise MemoryError("another cell is here") from None
    try:
        time.sleep(8)  # long enough for the other worker to come up
        run_and_commit(job)
    finally:
        mark.unlink()

"""What Tune is told: which cell next, wait, or stop."""

import pickle
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import torch
from ray.tune.search import Searcher

from sweep.experiment import load_preset
from sweep.inputs import Inputs, read_inputs
from sweep.plan import Plan, build_plan
from sweep.ray_searcher import CellSearcher
from sweep.scoreboard import Scoreboard
from trainables.jobs import CellJob
from trainables.results import finished_cells, open_results, read_table, record_failure

pytestmark = pytest.mark.ray


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    inputs = Inputs("d", "p", "n", {"random": "random"}, {}, {}, "uniform", {0: "first", 1: "second"}, [])
    smoke = load_preset("smoke", ["grid.arms=[random,byol-domain]", "report.reference_arm=random"])
    return build_plan(smoke, inputs, open_results(tmp_path))


def test_room_is_left_for_stages_that_are_still_to_come(plan: Plan) -> None:
    searcher = CellSearcher(Scoreboard(plan), lambda stages_pending: 2 - stages_pending, Event())
    assert searcher.suggest("first")["cells"][0]["axes"]["arm"] == "random"
    assert searcher.suggest("second") is None


def test_it_waits_while_cells_have_no_encoder_and_stops_when_none_is_left(plan: Plan) -> None:
    board = Scoreboard(plan)
    searcher = CellSearcher(board, lambda _: 99, Event())
    for number in range(4):  # the random arm
        assert isinstance(searcher.suggest(str(number)), dict)
    assert searcher.suggest("later") is None
    stage = board.take_stage()
    assert stage is not None
    board.stage_ended(stage, succeeded=False)
    assert searcher.suggest("never") == Searcher.FINISHED


def test_a_cell_whose_worker_died_for_good_is_recorded_as_failed(plan: Plan, tmp_path: Path) -> None:
    board = Scoreboard(plan)
    searcher = CellSearcher(board, lambda _: 99, Event())
    cell_id = searcher.suggest("trial")["cells"][0]["axes"]["cell_id"]
    searcher.on_trial_complete("trial", error=True)
    assert board.counts().cells_failed == 1
    (failure,) = read_table(tmp_path, "failures")[0].to_pylist()
    assert failure["unit_id"] == cell_id
    assert "worker process died" in failure["reason"]


def test_tune_may_pickle_it_although_the_scoreboard_cannot_be(plan: Plan) -> None:
    assert pickle.dumps(CellSearcher(Scoreboard(plan), len, Event()))  # type: ignore[arg-type]


def test_a_stop_ends_the_search_also_while_no_cell_can_start(plan: Plan) -> None:
    stop = Event()
    searcher = CellSearcher(Scoreboard(plan), lambda _: 0, stop)
    assert searcher.suggest("first") is None
    stop.set()
    assert searcher.suggest("second") == Searcher.FINISHED


def test_short_cells_go_out_several_to_a_trial_and_long_ones_alone(plan: Plan) -> None:
    searcher = CellSearcher(Scoreboard(plan), lambda _: 2, Event())
    assert len(searcher.suggest("first")["cells"]) == 1  # nothing is known of their length yet
    searcher.on_trial_complete("first", {"cell_seconds": 0.5})
    assert len(searcher.suggest("second")["cells"]) == 2  # 40 would last 20 s; three are ready, for two slots
    searcher.on_trial_complete("second", {"cell_seconds": 60.0})
    assert len(searcher.suggest("third")["cells"]) == 1


@pytest.mark.parametrize("error", [MemoryError("no room"), torch.OutOfMemoryError("CUDA out of memory")])
def test_cells_that_ran_out_of_memory_beside_others_are_given_back_and_the_search_ends(
    plan: Plan, tmp_path: Path, error: Exception
) -> None:
    board = Scoreboard(plan)
    searcher = CellSearcher(board, lambda _: 2, Event())
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
    again = CellSearcher(board, lambda _: 1, Event(), is_alone=True).suggest("again")
    assert again["cells"][0] in first["cells"]


def test_a_cell_that_runs_out_of_memory_alone_has_failed(plan: Plan, tmp_path: Path) -> None:
    board = Scoreboard(plan)
    searcher = CellSearcher(board, lambda _: 1, Event(), is_alone=True)
    for content in searcher.suggest("only")["cells"]:
        record_failure(tmp_path, CellJob.model_validate(content).failure(MemoryError("no room")))
    searcher.on_trial_complete("only", result={"cell_seconds": 1.0})
    assert not searcher.is_out_of_memory
    assert board.counts().cells_failed > 0


@pytest.mark.slow
def test_the_launcher_packs_less_when_cells_run_out_of_memory_beside_others(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cell of this test needs the machine to itself, as one that fills a GPU would."""
    from sweep import launch_ray
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

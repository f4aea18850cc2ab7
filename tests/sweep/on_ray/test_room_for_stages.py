"""Cells give up their workers to a stage that waits for room since its node was lost."""

from functools import partial
from pathlib import Path
from threading import Event

import pytest
from ray.tune.search import Searcher

from benchmarks.scheduling import commit_made_up
from sweep.on_ray import cells
from sweep.on_ray.searcher import CellSearcher
from sweep.on_ray.shares import divide
from sweep.plan import Plan, PlannedStage
from sweep.state.scoreboard import Scoreboard
from trainables.config import ComputeConfig
from trainables.jobs import CellJob

pytestmark = pytest.mark.ray

ONE_CORE = {"CPU": 1.0}


class Grid:
    """A sweep on a cluster of nodes of one core each, any of which may be lost: one stage of one worker, and cells."""

    def __init__(self, plan: Plan, num_nodes: int, notes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.nodes = [ONE_CORE] * num_nodes
        self.board, self._notes, self._compute = Scoreboard(plan), notes, ComputeConfig()
        self._shares = divide(self._compute, self.nodes)
        monkeypatch.setattr(cells, "present_nodes", lambda: self.nodes)
        self.stage = self._begun_stage()
        self.trials: dict[str, list[CellJob]] = {}
        self.search()

    def search(self) -> None:
        """Begin a search, as the launcher does when one has ended."""
        allowed = partial(cells._cells_allowed, self.board, self._shares, self._compute)
        self.searcher = CellSearcher(self.board, allowed, Event(), self._notes)

    def suggest(self, trial: str) -> object:
        """Ask for a trial, as Tune does again and again; what it is given has begun."""
        said = self.searcher.suggest(trial)
        if isinstance(said, dict):
            self.trials[trial] = [CellJob.model_validate(content) for content in said["cells"]]
            return len(self.trials[trial])
        return said

    def end(self, trial: str) -> None:
        """End a trial whose cells have all finished."""
        for job in self.trials.pop(trial):
            commit_made_up(job)
        self.searcher.on_trial_complete(trial, {"cell_seconds": 60.0})

    def lose(self, number: int) -> None:
        """Lose nodes, the stage's among them, and let it wait for longer than a start takes."""
        del self.nodes[:number]
        self.board.stage_holds_devices(self.stage, 0)
        self.board.stage_kept_waiting(self.stage)

    def _begun_stage(self) -> PlannedStage:
        stage = self.board.take_stage()
        assert stage is not None
        self.board.stage_holds_devices(stage)
        return stage


def test_the_last_worker_of_cells_makes_room_at_the_end_of_its_trial(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four cells are ready: they would keep the only core that is left until all have ended."""
    grid = Grid(plan, 2, tmp_path, monkeypatch)
    assert grid.suggest("first") == 1
    grid.lose(1)
    grid.end("first")
    assert grid.suggest("second") == Searcher.FINISHED
    assert grid.board.cells_ready() == 3
    grid.search()
    assert grid.suggest("second") is None  # as long as the stage waits
    grid.board.stage_holds_devices(grid.stage)
    assert grid.suggest("second") == 1


def test_of_several_workers_as_many_go_as_the_stage_needs(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tune keeps the worker of the first trial that ends, and lets go that of the second."""
    grid = Grid(plan, 4, tmp_path, monkeypatch)
    assert [grid.suggest(trial) for trial in ("a", "b", "c", "d")] == [1, 1, 1, None]
    grid.lose(1)
    grid.end("a")
    assert grid.suggest("d") is None
    grid.end("b")
    assert grid.suggest("d") == 1  # on the worker that is kept


def test_a_trial_that_waits_for_room_itself_does_not_stand_for_one_that_runs(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of three trials two have the cores that are left, and the worker of the first that ends goes on to the third."""
    grid = Grid(plan, 4, tmp_path, monkeypatch)
    assert [grid.suggest(trial) for trial in ("a", "b", "c")] == [1, 1, 1]
    grid.lose(2)
    grid.end("a")
    assert grid.suggest("d") is None
    grid.end("b")
    assert grid.suggest("d") == Searcher.FINISHED  # one runs, one is idle, and the stage needs one of them
    grid.end("c")


def test_cells_go_on_where_the_stage_would_find_no_room_even_without_them(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = Grid(plan, 2, tmp_path, monkeypatch)
    assert grid.suggest("first") == 1
    grid.lose(1)
    grid.nodes[:] = [{"CPU": 0.0}]  # of which the head has none
    grid.end("first")
    assert grid.suggest("second") == 1


def test_a_stage_that_is_slow_to_start_where_no_node_is_lost_costs_cells_nothing(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = Grid(plan, 2, tmp_path, monkeypatch)
    grid.lose(0)
    for trial in ("a", "b", "c"):
        assert grid.suggest(trial) == 1
        assert grid.suggest("another") is None
        grid.end(trial)

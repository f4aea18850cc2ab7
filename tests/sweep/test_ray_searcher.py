"""What Tune is told: which cell next, wait, or stop."""

import pickle
from pathlib import Path
from threading import Event

import pytest
from ray.tune.search import Searcher

from sweep.experiment import load_preset
from sweep.inputs import Inputs
from sweep.plan import Plan, build_plan
from sweep.ray_searcher import CellSearcher
from sweep.scoreboard import Scoreboard
from trainables.results import open_results, read_table

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

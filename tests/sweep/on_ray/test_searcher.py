"""What Tune is told: which cell next, wait, or stop."""

import pickle
from pathlib import Path
from threading import Event

import pytest
from ray.tune.search import Searcher

from benchmarks.scheduling import commit_made_up
from sweep.on_ray.searcher import CellSearcher
from sweep.plan import Plan
from sweep.state.scoreboard import Scoreboard
from trainables.jobs import CellJob
from trainables.trial_notes import NoteTaker

pytestmark = pytest.mark.ray

NOTES = Path("/nowhere")  # of workers that noted nothing


def test_room_is_left_for_stages_that_are_still_to_come(plan: Plan) -> None:
    searcher = CellSearcher(Scoreboard(plan), lambda stages_pending: 2 - stages_pending, Event(), NOTES)
    assert searcher.suggest("first")["cells"][0]["axes"]["arm"] == "random"
    assert searcher.suggest("second") is None


def test_it_waits_while_cells_have_no_encoder_and_stops_when_none_is_left(plan: Plan) -> None:
    board = Scoreboard(plan)
    searcher = CellSearcher(board, lambda _: 99, Event(), NOTES)
    for number in range(4):  # the random arm
        assert isinstance(searcher.suggest(str(number)), dict)
    assert searcher.suggest("later") is None
    stage = board.take_stage()
    assert stage is not None
    board.stage_ended(stage, succeeded=False)
    for cell in plan.missing:
        if cell.source.stage is None:
            commit_made_up(cell.job)
    for number in range(4):
        searcher.on_trial_complete(str(number))
    assert searcher.suggest("never") == Searcher.FINISHED


def test_tune_may_pickle_it_although_the_scoreboard_cannot_be(plan: Plan) -> None:
    assert pickle.dumps(CellSearcher(Scoreboard(plan), len, Event(), NOTES))  # type: ignore[arg-type]


def test_a_stop_ends_the_search_also_while_no_cell_can_start(plan: Plan) -> None:
    stop = Event()
    searcher = CellSearcher(Scoreboard(plan), lambda _: 0, stop, NOTES)
    assert searcher.suggest("first") is None
    stop.set()
    assert searcher.suggest("second") == Searcher.FINISHED


def test_the_search_ends_where_a_stage_is_kept_waiting_and_no_cell_can_start_so_that_idle_workers_go(
    plan: Plan,
) -> None:
    board = Scoreboard(plan)
    searcher = CellSearcher(board, lambda _: 99, Event(), NOTES)
    stage = board.take_stage()
    assert stage is not None
    board.stage_kept_waiting(stage)
    while board.cells_ready():
        assert isinstance(searcher.suggest("trial"), dict)
    board.stage_holds_devices(stage)
    assert searcher.suggest("later") is None
    board.stage_holds_devices(stage, 0)
    board.stage_kept_waiting(stage)
    assert searcher.suggest("never") == Searcher.FINISHED
    board.stage_ended(stage, succeeded=True)
    assert isinstance(CellSearcher(board, lambda _: 99, Event(), NOTES).suggest("next"), dict)


def test_short_cells_go_out_several_to_a_trial_and_long_ones_alone(plan: Plan) -> None:
    searcher = CellSearcher(Scoreboard(plan), lambda _: 2, Event(), NOTES)
    assert len(searcher.suggest("first")["cells"]) == 1  # nothing is known of their length yet
    searcher.on_trial_complete("first", {"cell_seconds": 0.5})
    assert len(searcher.suggest("second")["cells"]) == 2  # 40 would last 20 s; three are ready, for two slots
    searcher.on_trial_complete("second", {"cell_seconds": 60.0})
    assert len(searcher.suggest("third")["cells"]) == 1


def test_the_last_cells_go_out_one_by_one_once_all_workers_are_known_to_be_up(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = Scoreboard(plan)
    stage = board.take_stage()
    assert stage is not None
    board.stage_ended(stage, succeeded=True)
    searcher = CellSearcher(board, lambda _: 2, Event(), tmp_path)
    sizes = []
    for number, worker in enumerate((1, 2, 1, 2, 1, 2)):
        monkeypatch.setattr("os.getpid", lambda worker=worker: worker)
        NoteTaker(tmp_path / str(number))
        cells = searcher.suggest(str(number))["cells"]
        sizes.append(len(cells))
        for content in cells:
            commit_made_up(CellJob.model_validate(content))
        searcher.on_trial_complete(str(number), {"cell_seconds": 0.5})
    # Of 12 cells one, whose length is not known; half of 11, since one worker is known; a quarter of 5; and so on.
    assert sizes == [1, 6, 2, 1, 1, 1]
    assert not board.cells_ready()

"""How the launcher takes the end of a stage."""

import errno
from collections.abc import Callable
from pathlib import Path
from threading import Event
from types import SimpleNamespace

import pytest
import ray

from sweep.on_ray import stages
from sweep.on_ray.stage_workers import StageWorkers
from sweep.plan import Plan
from sweep.state.scoreboard import Scoreboard
from trainables import ray_adapters  # noqa: F401  # before a test replaces ray.remote, which it needs
from trainables.results import read_table

pytestmark = pytest.mark.ray


def test_a_full_disk_is_no_failure_of_a_stage_either(plan: Plan, tmp_path: Path) -> None:
    stage = plan.stages[0]
    with pytest.raises(OSError, match="No space left"):
        stages._record(stage, Scoreboard(plan), OSError(28, "No space left on device"))
    assert read_table(tmp_path, "failures")[0].num_rows == 0
    stages._record(stage, Scoreboard(plan), OSError(13, "Permission denied"))
    assert read_table(tmp_path, "failures")[0].num_rows == 1


def fails(*_: object) -> bool:
    raise RuntimeError("no descent")


def where_it_breaks(place: str, board: Scoreboard, patched: pytest.MonkeyPatch, broken: Callable[..., object]) -> None:
    """Let a stage end with an error, and let that place break, too."""
    patched.setattr(stages, "_train", fails)
    patched.setattr(stages, "_release", lambda *_: None)
    if place == "take_stage":
        patched.setattr(board, "take_stage", broken)
    else:
        patched.setattr(stages, place, broken)


@pytest.mark.parametrize("place", ["take_stage", "_record", "_release"])
def test_what_breaks_in_the_thread_of_stages_ends_the_run_instead_of_leaving_cells_to_wait_for_ever(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    board, stop, errors = Scoreboard(plan), Event(), []
    stale = OSError(errno.ESTALE, "Stale file handle")

    def broken(*_: object) -> None:
        raise stale

    where_it_breaks(place, board, monkeypatch, broken)
    stages.train_stages(board, SimpleNamespace(), plan.cells[0].job.compute, tmp_path, stop, errors)  # type: ignore[arg-type]
    assert errors == [stale]
    assert stop.is_set()


@pytest.mark.parametrize("error", [ConnectionError("the cluster is gone"), KeyboardInterrupt()])
def test_a_stage_that_can_no_longer_be_watched_is_cancelled(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def broken(_: StageWorkers) -> None:
        raise error

    cancelled: list[tuple[object, bool]] = []
    task = SimpleNamespace(remote=lambda *_, **__: "the task")
    monkeypatch.setattr(ray, "get_runtime_context", lambda: SimpleNamespace(get_node_id=lambda: 28 * "00"))
    monkeypatch.setattr(ray, "remote", lambda **_: lambda _: task)
    monkeypatch.setattr(ray, "wait", lambda *_, **__: ([], ["the task"]))
    monkeypatch.setattr(ray, "cancel", lambda reference, force: cancelled.append((reference, force)))
    monkeypatch.setattr(StageWorkers, "look", broken)
    board = Scoreboard(plan)
    stage = board.take_stage()
    assert stage is not None
    shares = SimpleNamespace(gpus_per_worker=0)
    with pytest.raises(type(error)):
        stages._train(stage, board, shares, stage.job.compute, tmp_path, Event())  # type: ignore[arg-type]
    assert cancelled == [("the task", True)]

"""What becomes of the cells of a trial whose worker raised, died or was killed."""

from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from ray.exceptions import ActorUnavailableError, OutOfMemoryError, RayActorError, RayTaskError
from ray.tune.search import Searcher

from benchmarks.scheduling import commit_made_up
from sweep.on_ray.searcher import CellSearcher
from sweep.plan import Plan
from sweep.state.scoreboard import Scoreboard
from trainables.failures import SpentWorkerError
from trainables.jobs import CellJob
from trainables.ray_adapters import finetune_trial
from trainables.results import read_table, record_failure
from trainables.trial_notes import NoteTaker, kernel_kills, read_notes

pytestmark = pytest.mark.ray

NOTES = Path("/nowhere")  # of workers that noted nothing


KILLED = """The actor died unexpectedly before finishing this task.
\tpid: 18096
The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit detail: Worker \
unexpectedly exits with a connection error code 2. End of file. Some common causes include: (1) the process"""
EXITED = "its worker process died. Worker exit detail: Worker exits unexpectedly. Worker exits with an exit code 4."
NODE_GONE = "The actor died because its node has died. Node Id: 50 the actor's node was terminated"
NO_MEMORY = """2 worker(s) were killed due to the node running low on memory. Memory on the node was 22.9GB used
Selected to kill: (Actor(a016): task name=ImplicitFunc.__init__, pid=4711, actual memory used=1.99GB)
Top 10 memory users: PID MEM(GB) COMMAND
1234 9.9 ray::ImplicitFunc.train pid=1234"""


def died(words: str) -> RayActorError:
    return RayActorError(None, words)


@dataclass
class Broken:
    """A trial of four cells whose worker has noted how far it came."""

    board: Scoreboard
    searcher: CellSearcher
    ids: list[str]
    notes: Path
    root: Path

    @property
    def failures(self) -> list[dict[str, Any]]:
        return read_table(self.root, "failures")[0].to_pylist()  # type: ignore[no-any-return]

    def handed_out(self) -> list[list[str]]:
        """The cells of the trials that follow, each of which finishes none."""
        trials = (self.searcher.suggest(str(number)) for number in range(9))
        return [[content["axes"]["cell_id"] for content in trial["cells"]] for trial in trials if trial]


@pytest.fixture
def broken(plan: Plan, tmp_path: Path) -> Broken:
    """The first cell has finished with a failure, the second was running, two have not begun."""
    board = Scoreboard(plan)
    searcher = CellSearcher(board, lambda _: 1, Event(), tmp_path)
    searcher._sizes.trial_ended(1.0, "", 0)  # of an earlier trial
    searcher._sizes.workers_may_have_gone()
    contents = searcher.suggest("trial")["cells"]
    ids = [content["axes"]["cell_id"] for content in contents]
    assert len(ids) == 4
    taker = NoteTaker(tmp_path / "trial")
    taker.begun(ids[0])
    record_failure(tmp_path, CellJob.model_validate(contents[0]).failure(ValueError("of its own")))
    taker.ended(ids[0])
    taker.begun(ids[1])
    return Broken(board, searcher, ids, tmp_path / "trial", tmp_path)


def test_the_cell_at_which_a_worker_died_is_tried_again_alone_and_the_others_have_lost_nothing(broken: Broken) -> None:
    broken.searcher.trial_broke("trial", died(KILLED))
    own, killed, *innocent = broken.ids
    assert {failure["unit_id"] for failure in broken.failures} == {own, killed}
    assert broken.board.counts().cells_failed == 0
    broken.searcher._cells_allowed = lambda _: 9
    broken.searcher._sizes.trial_ended(0.1, "", 0)
    assert [sorted(cells) for cells in broken.handed_out()] == [[innocent[0]], [innocent[1]], [own], [killed]]


@pytest.mark.parametrize(
    ("words", "crash", "reason"),
    [
        (KILLED, "", "WorkerDiedError: its worker process died: it was killed (SIGKILL"),
        (EXITED, "", "WorkerDiedError: its worker process died with exit code 4"),
        (KILLED, "Fatal Python error: Segmentation fault\n\n  File x", "died: Fatal Python error: Segmentation fault"),
    ],
)
def test_a_failure_says_of_what_its_worker_died(broken: Broken, words: str, crash: str, reason: str) -> None:
    with broken.notes.open("a") as file:
        file.write(crash)
    broken.searcher.trial_broke("trial", died(words))
    failure = next(failure for failure in broken.failures if failure["unit_id"] == broken.ids[1])
    assert reason in failure["reason"]
    assert failure["traceback"] == (crash or words)


def test_an_error_of_the_trial_itself_is_recorded_with_its_reason_and_its_workers_traceback(broken: Broken) -> None:
    broken.searcher.trial_broke("trial", RayTaskError("train()", "\x1b[36mthe worker's\x1b[39m stack", KeyError("x")))
    failure = next(failure for failure in broken.failures if failure["unit_id"] == broken.ids[1])
    assert failure["reason"] == "KeyError: 'x'"
    assert failure["traceback"].strip() == "the worker's stack"


@pytest.mark.parametrize("error", [died(NODE_GONE), ActorUnavailableError("Socket closed rpc_code: 14", None)])
def test_a_lost_node_is_no_failure_of_the_cell_that_ran_there(broken: Broken, error: Exception) -> None:
    broken.searcher.trial_broke("trial", error)
    assert [failure["unit_id"] for failure in broken.failures] == broken.ids[:1]
    assert broken.handed_out()[0][0] == broken.ids[1]


def test_a_worker_that_ended_itself_after_it_had_recorded_why_takes_no_other_cell_with_it(broken: Broken) -> None:
    NoteTaker(broken.notes).ended(broken.ids[1])
    error = SpentWorkerError("CUDA error")
    broken.searcher.trial_broke("trial", RayTaskError("train()", "stack", error))
    assert [failure["unit_id"] for failure in broken.failures] == broken.ids[:1]


def test_a_full_disk_of_a_worker_ends_the_search_and_fails_no_cell(broken: Broken) -> None:
    error = OSError(28, "No space left on device")
    broken.searcher.trial_broke("trial", RayTaskError("train()", "stack", error))
    assert broken.searcher.full_disk == error
    assert broken.searcher.suggest("next") == Searcher.FINISHED
    assert [failure["unit_id"] for failure in broken.failures] == broken.ids[:1]


def test_a_finished_cell_counts_at_once_and_not_only_when_its_trial_has_ended(plan: Plan, broken: Broken) -> None:
    job = next(cell.job for cell in plan.cells if cell.job.cell_id == broken.ids[1])
    commit_made_up(job)
    NoteTaker(broken.notes).ended(job.cell_id)
    broken.searcher.settle_finished("trial", read_notes(broken.notes).ended)
    assert (broken.board.counts().cells_done, broken.board.cells_running()) == (1, 3)
    broken.searcher.trial_broke("trial", died(KILLED))
    assert broken.board.counts().cells_done == 1
    assert {failure["unit_id"] for failure in broken.failures} == {broken.ids[0], broken.ids[2]}


def test_a_kill_by_the_kernel_for_want_of_memory_packs_less(broken: Broken, monkeypatch: pytest.MonkeyPatch) -> None:
    kills = kernel_kills()
    monkeypatch.setattr("trainables.trial_notes.kernel_kills", lambda: kills + 1)
    broken.searcher.trial_broke("trial", died(KILLED))
    assert broken.searcher.is_out_of_memory
    assert [failure["unit_id"] for failure in broken.failures] == broken.ids[:1]


def test_a_kill_by_rays_memory_monitor_packs_less_and_costs_no_cell_a_try(broken: Broken) -> None:
    broken.searcher.memory_ran_out(OutOfMemoryError(NO_MEMORY))
    assert broken.searcher.is_out_of_memory
    assert broken.board.num_retries == 1  # of the cell that had failed by itself
    assert broken.board.cells_running() == 0


@pytest.mark.parametrize(("pid", "is_failed"), [(4711, True), (1234, False)])
def test_alone_the_cell_whose_worker_the_memory_monitor_killed_has_failed(
    plan: Plan, tmp_path: Path, pid: int, is_failed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = Scoreboard(plan)
    searcher = CellSearcher(board, lambda _: 2, Event(), tmp_path, is_alone=True)
    for name, worker in (("this", pid), ("other", 5945 - pid)):
        cell_id = searcher.suggest(name)["cells"][0]["axes"]["cell_id"]
        monkeypatch.setattr("os.getpid", lambda worker=worker: worker)
        NoteTaker(tmp_path / name).begun(cell_id)
    searcher.memory_ran_out(OutOfMemoryError(NO_MEMORY))
    failed = read_table(tmp_path, "failures")[0].to_pylist()
    assert len(failed) == 1
    assert failed[0]["reason"].startswith("OutOfMemoryError: 2 worker(s) were killed")
    assert (failed[0]["unit_id"] == plan.missing[0].job.cell_id) == is_failed
    assert not searcher.is_out_of_memory


def test_a_search_waits_for_a_cell_that_may_come_back(plan: Plan) -> None:
    board = Scoreboard(replace(plan, missing=plan.missing[:1]))
    searcher = CellSearcher(board, lambda _: 9, Event(), NOTES)
    assert searcher.suggest("trial")
    assert searcher.suggest("later") is None
    searcher.trial_broke("trial", died(KILLED))
    assert searcher.suggest("again")
    searcher.trial_broke("again", died(KILLED))
    assert searcher.suggest("never") == Searcher.FINISHED
    assert board.counts().cells_failed == 1


@pytest.mark.parametrize(
    ("error", "ended", "raised"),
    [
        (ValueError("x"), 2, None),
        (RuntimeError("CUDA error: device-side assert triggered"), 1, SpentWorkerError),
        (OSError(28, "No space left on device"), 0, OSError),
    ],
)
def test_a_worker_goes_on_after_a_failure_but_for_a_spent_process_or_a_full_disk(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, ended: int, raised: Any
) -> None:
    def fail(job: CellJob) -> None:
        raise error

    monkeypatch.setattr("trainables.finetune.run_and_commit", fail)
    monkeypatch.setattr("ray.tune.report", lambda _: None)
    cells = [cell.job.model_dump(mode="json") for cell in plan.missing[:2]]
    with pytest.raises(raised) if raised else nullcontext():
        finetune_trial({"cells": cells, "notes": str(tmp_path / "notes")})
    assert len(read_notes(tmp_path / "notes").ended) == ended
    assert read_table(tmp_path, "failures")[0].num_rows == ended

"""What Tune is told: which cell next, wait, or stop."""

import pickle
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest
import ray
import torch
from ray.exceptions import ActorUnavailableError, OutOfMemoryError, RayActorError, RayTaskError
from ray.tune.search import Searcher

from benchmarks.scheduling import commit_made_up
from sweep import launch_ray
from sweep.experiment import load_preset
from sweep.inputs import Inputs, read_inputs
from sweep.plan import Plan, build_plan
from sweep.ray_searcher import CellSearcher
from sweep.scoreboard import Scoreboard
from sweep.stage_workers import StageWorkers
from trainables.failures import SpentWorkerError
from trainables.jobs import CellJob
from trainables.ray_adapters import finetune_trial
from trainables.results import finished_cells, open_results, read_table, record_failure
from trainables.trial_notes import NoteTaker, kernel_kills, read_notes

pytestmark = pytest.mark.ray

NOTES = Path("/nowhere")  # of workers that noted nothing


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    inputs = Inputs("d", "p", "n", {"random": "random"}, {}, {}, "uniform", {0: "first", 1: "second"}, [])
    smoke = load_preset("smoke", ["grid.arms=[random,byol-domain]", "report.reference_arm=random"])
    return build_plan(smoke, inputs, open_results(tmp_path))


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
    searcher._cell_seconds = 1.0  # as of earlier trials
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
    broken.searcher._cell_seconds = 0.1
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


def test_a_full_disk_is_no_failure_of_a_stage_either(plan: Plan, tmp_path: Path) -> None:
    stage = plan.stages[0]
    with pytest.raises(OSError, match="No space left"):
        launch_ray._record(stage, Scoreboard(plan), OSError(28, "No space left on device"))
    assert read_table(tmp_path, "failures")[0].num_rows == 0
    launch_ray._record(stage, Scoreboard(plan), OSError(13, "Permission denied"))
    assert read_table(tmp_path, "failures")[0].num_rows == 1


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
        launch_ray._train(stage, board, shares, stage.job.compute, tmp_path, Event())  # type: ignore[arg-type]
    assert cancelled == [("the task", True)]


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

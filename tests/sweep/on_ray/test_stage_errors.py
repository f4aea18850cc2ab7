"""What is recorded of a stage whose workers failed on Ray, and whether it is started again."""

import errno
import pickle
import traceback
from pathlib import Path

import pytest
import torch
from ray.exceptions import ActorUnavailableError, OutOfMemoryError, RayActorError, RayTaskError, WorkerCrashedError
from ray.train import ControllerError
from ray.train.v2._internal.exceptions import (
    BroadcastCollectiveTimeoutError,
    UserExceptionWithTraceback,
    WorkerGroupStartupFailedError,
    WorkerGroupStartupTimeoutError,
    WorkerHealthCheckFailedError,
    WorkerHealthCheckTimeoutError,
)
from ray.train.v2._internal.execution.worker_group.poll import WorkerGroupPollStatus, WorkerStatus

from sweep.on_ray import stages
from sweep.on_ray.stage_errors import StageError, is_started_again, stage_error
from sweep.plan import Plan
from sweep.state.attempts import NODE, NOTHING, ROOM, WORKER, StageAttempts
from sweep.state.scoreboard import Scoreboard
from trainables import ray_adapters
from trainables.failures import reason_of
from trainables.jobs import StageJob
from trainables.results import read_table

pytestmark = pytest.mark.ray

PEER_GONE = RuntimeError(
    "[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:5555"
)
RESET = RuntimeError("Connection reset by peer")
ABORTED = torch.distributed.DistBackendError("NCCL communicator was aborted on rank 0.")
LATE = BroadcastCollectiveTimeoutError(9.0, [1], 8.0)
COLLATERAL = (PEER_GONE, RESET, ABORTED, LATE)
NO_MEMORY = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
NCCL_NO_MEMORY = torch.distributed.DistBackendError("NCCL error in: x.cpp:1\nCuda failure 2 'out of memory'")
FULL = OSError(errno.ENOSPC, "No space left on device", "/data/resume.pt")
OWN = (NO_MEMORY, NCCL_NO_MEMORY, FULL, ValueError("expected 3 channels, found 1"), MemoryError("no room"))
KILLED = "The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit detail: \
Worker unexpectedly exits with a connection error code 2. End of file."
NODE_GONE = "The actor died because its node has died. Node Id: 50 the actor's node was terminated"


def unhealthy(failure: Exception) -> WorkerHealthCheckFailedError:
    return WorkerHealthCheckFailedError("A worker health check failed.\nWorker info: x", failure)


DEAD = unhealthy(RayActorError(None, KILLED))
LOST = unhealthy(RayActorError(None, NODE_GONE))
UNREACHABLE = unhealthy(ActorUnavailableError("Connection reset by peer, rpc_code: 14", None))
MONITORED = unhealthy(OutOfMemoryError("1 worker(s) were killed due to the node running low on memory."))


def of_workers(*errors: Exception | None) -> RayTaskError:
    """What the launcher is given where the workers, in this order, ended so; None goes on."""
    statuses = {
        rank: WorkerStatus(
            running=error is None,
            error=error
            if error is None or isinstance(error, WorkerHealthCheckFailedError | WorkerHealthCheckTimeoutError)
            else UserExceptionWithTraceback(error, f"Traceback of {error!r}\n" + "  File x\n" * 500),
        )
        for rank, error in enumerate(errors)
    }
    return of_task(pickle.loads(pickle.dumps(WorkerGroupPollStatus(statuses).get_worker_group_error())))


def of_task(error: Exception) -> RayTaskError:
    """An error as it comes out of the task that starts a stage's trainer."""
    return RayTaskError("train_stage", "\x1b[36mray::train_stage()\x1b[39m\n" + str(error), error).as_instanceof_cause()


@pytest.mark.parametrize("own", OWN, ids=reason_of)
@pytest.mark.parametrize("collateral", COLLATERAL, ids=reason_of)
def test_an_error_of_the_training_is_chosen_before_those_of_lost_connections(
    own: Exception, collateral: Exception
) -> None:
    for errors in ((collateral, own, None), (own, collateral), (collateral, collateral, own)):
        found = stage_error(of_workers(*errors))
        assert (reason_of(found.error), found.lost) == (reason_of(own), NOTHING)


@pytest.mark.parametrize("collateral", COLLATERAL, ids=reason_of)
@pytest.mark.parametrize(
    ("failure", "reason", "lost"),
    [
        (DEAD, "WorkerDiedError: its worker process died: it was killed (SIGKILL", WORKER),
        (LOST, "NodeLostError: its node was lost or cannot be reached: The actor died because its node has died", NODE),
        (UNREACHABLE, "NodeLostError: its node was lost or cannot be reached: The actor", NODE),
        (MONITORED, "OutOfMemoryError: 1 worker(s) were killed due to the node running low on memory", NOTHING),
        (WorkerHealthCheckTimeoutError("It hangs."), "WorkerDiedError: its worker process no longer answers", WORKER),
    ],
)
def test_a_worker_or_node_that_is_gone_is_chosen_before_lost_connections_to_it(
    collateral: Exception, failure: Exception, reason: str, lost: str
) -> None:
    found = stage_error(of_workers(collateral, failure))
    assert reason_of(found.error).startswith(reason)
    assert found.lost == lost


def test_an_error_of_the_training_is_chosen_before_a_dead_worker_and_a_lost_node_before_both_of_the_others() -> None:
    assert stage_error(of_workers(DEAD, PEER_GONE, LOST)).lost == NODE
    assert reason_of(stage_error(of_workers(DEAD, LOST, ValueError("bad"))).error) == "ValueError: bad"


def test_lost_connections_alone_are_told_as_they_are_and_count_as_a_dead_worker() -> None:
    found = stage_error(of_workers(PEER_GONE, ABORTED))
    assert (reason_of(found.error), found.lost) == (reason_of(PEER_GONE), WORKER)


@pytest.mark.parametrize(
    ("failure", "kind", "lost"),
    [
        (WorkerGroupStartupTimeoutError(2), "WorkerGroupStartupTimeoutError", ROOM),
        (WorkerGroupStartupFailedError("At least one failed."), "WorkerDiedError", WORKER),
        (RayActorError(None, NODE_GONE), "NodeLostError", NODE),
        (ValueError("of Ray's controller"), "ValueError", NOTHING),
    ],
)
def test_what_ends_a_stage_outside_its_workers_is_told_apart(failure: Exception, kind: str, lost: str) -> None:
    found = stage_error(of_task(pickle.loads(pickle.dumps(ControllerError(failure)))))
    assert (type(found.error).__name__, found.lost) == (kind, lost)


def test_a_killed_controller_or_task_is_a_dead_worker() -> None:
    assert stage_error(of_task(RayActorError(None, KILLED))).lost == WORKER
    assert stage_error(WorkerCrashedError()).lost == WORKER


def test_an_error_of_the_launcher_itself_keeps_its_traceback() -> None:
    error = ValueError("no room")
    assert stage_error(error) == StageError(error)


def raised_in_worker(monkeypatch: pytest.MonkeyPatch, stage: StageJob, folder: Path, error: Exception) -> Exception:
    """What leaves a worker of a stage that raises so."""

    def deeply(depth: int = 40) -> None:
        if not depth:
            raise error
        deeply(depth - 1)

    from trainables import pretrain

    monkeypatch.setattr(pretrain, "run_stage", lambda *_: deeply())
    monkeypatch.setattr(ray_adapters, "get_current_placement_group", lambda: None)
    config = {"job": stage.model_dump(mode="json"), "scratch": str(folder), "refusal": str(folder / "refusal")}
    with pytest.raises(type(error)) as caught:
        ray_adapters.pretrain_worker(config)
    return caught.value


def test_the_failure_of_a_stage_is_recorded_with_the_whole_traceback_of_its_worker(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = plan.stages[0]
    error = raised_in_worker(monkeypatch, stage.job, tmp_path, ValueError("expected 3 channels, found 1"))
    expected = "".join(traceback.format_tb(error.__traceback__)[-45:])
    stages._record(stage, Scoreboard(plan), of_workers(PEER_GONE, error))
    (failure,) = read_table(tmp_path, "failures")[0].to_pylist()
    assert failure["reason"] == "ValueError: expected 3 channels, found 1"
    assert expected.splitlines()[-1] in failure["traceback"]
    assert len(failure["traceback"]) > 1500
    assert failure["traceback"].index("in deeply") < failure["traceback"].index("[Rank 0 Error Snippet]")
    assert f"Traceback of {PEER_GONE!r}" in failure["traceback"]
    assert "\x1b" not in failure["traceback"]


def test_a_full_disk_behind_another_workers_lost_connection_ends_the_run(plan: Plan, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left"):
        stages._record(plan.stages[0], Scoreboard(plan), of_workers(PEER_GONE, FULL))
    assert read_table(tmp_path, "failures")[0].num_rows == 0
    assert not is_started_again(StageAttempts(9), of_workers(PEER_GONE, FULL), epochs_done=5)


def test_a_dead_worker_after_further_epochs_costs_no_try_and_an_error_of_the_training_does() -> None:
    for errors, is_free in (((PEER_GONE, DEAD), True), ((PEER_GONE, LOST), True), ((PEER_GONE, NO_MEMORY), False)):
        assert is_started_again(StageAttempts(0), of_workers(*errors), epochs_done=5) == is_free

"""What Ray's errors of a stage say: of those of several workers the one that led to the others, and what was lost.

In: the error that ends a stage's TorchTrainer, or the task that starts it. Out: the error and traceback to record, and
whether the stage is started again.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from ray.exceptions import RayError, RayTaskError, WorkerCrashedError
from ray.train import ControllerError, WorkerGroupError

from sweep.on_ray.trial_errors import ESCAPES, explained
from sweep.state.attempts import NEVER_RETRIED, NODE, NOTHING, ROOM, WORKER, StageAttempts, kind_of
from trainables.failures import (
    NodeLostError,
    WorkerDiedError,
    first_line,
    is_full_disk,
    is_out_of_memory,
    reason_of,
)
from trainables.trial_notes import Notes

GROUP_KINDS = ("DistError", "DistBackendError", "DistNetworkError", "DistStoreError")  # torch.distributed's
GROUP_WORDS = (
    "gloo",
    "nccl",
    "collective",
    "process group",
    "processgroup",
    "connection closed by peer",
    "connection reset by peer",
    "connection refused",
    "broken pipe",
)
"""What is said of an error between workers: mostly of those that go on after another has failed."""


@dataclass(frozen=True)
class StageError:
    """What ended a stage: an error with the traceback to record, empty where it was raised here; and what was lost."""

    error: BaseException
    story: str = ""
    lost: str = NOTHING


def stage_error(error: BaseException) -> StageError:
    """Return what an error of a stage says: Ray Train's, that of the task that starts it, or one of the launcher."""
    inner = (error.cause or error) if isinstance(error, RayTaskError) else error
    story = ESCAPES.sub("", str(error if isinstance(error, RayTaskError) else inner))
    if isinstance(inner, WorkerGroupError) and inner.worker_failures:
        return _of_workers(inner.worker_failures, ESCAPES.sub("", str(inner)))
    if isinstance(inner, ControllerError):
        return _of_controller(inner.controller_failure, story)
    if isinstance(inner, WorkerCrashedError):
        return StageError(inner, story, WORKER)
    found = explained(inner, Notes())
    return StageError(found.error, "" if inner is error and found.error is error else story, _lost(found.error))


def is_started_again(attempts: StageAttempts, error: BaseException, epochs_done: int) -> bool:
    """Note what ended a stage after so many epochs, and say whether it is started again. A full disk ends the run."""
    found = stage_error(error)
    if is_full_disk(found.error) or kind_of(reason_of(found.error)) in NEVER_RETRIED:
        return False
    return attempts.is_started_again(found.lost, epochs_done)


def is_between_workers(error: BaseException) -> bool:
    """Whether an error is of the group of workers, such as a connection whose other end is gone.

    Want of memory is none, though NCCL tells it in such words: it is where the others' errors come from.
    """
    said = str(error).lower()
    if isinstance(error, RayError) or is_out_of_memory(reason_of(error)) or "out of memory" in said:
        return False
    kind = type(error).__name__
    return kind in GROUP_KINDS or "CollectiveTimeout" in kind or any(word in said for word in GROUP_WORDS)


def _of_workers(failures: Mapping[int, BaseException], story: str) -> StageError:
    """Choose an error of the training itself before a lost node, that before a dead worker, and all before the rest.

    Of several alike it is the first worker's. Ray's text holds each one's traceback, but long ones cut; a worker's own
    is a note of its error.
    """
    found = [_of_worker(failure) for _, failure in sorted(failures.items())]
    chosen = min(found, key=_precedence)
    return StageError(chosen.error, "\n".join([*getattr(chosen.error, "__notes__", ()), story]), chosen.lost)


def _of_worker(failure: BaseException) -> StageError:
    """Say what Ray reports of one worker; the classes of its own that wrap an error are not public."""
    if "HealthCheckTimeout" in type(failure).__name__:
        return StageError(WorkerDiedError(f"its worker process no longer answers: {first_line(failure)}"), "", WORKER)
    error = explained(getattr(failure, "health_check_failure", failure), Notes()).error
    return StageError(error, "", _lost(error) or (WORKER if is_between_workers(error) else NOTHING))


def _precedence(found: StageError) -> int:
    kinds = (NodeLostError, WorkerDiedError)
    if not found.lost:
        return 0
    return next((1 + place for place, kind in enumerate(kinds) if isinstance(found.error, kind)), 1 + len(kinds))


def _of_controller(failure: BaseException, story: str) -> StageError:
    """Say what Ray's own part of a stage ended of: no room, a worker that died as it started, or another error."""
    kind = type(failure).__name__
    if "StartupTimeout" in kind:
        return StageError(failure, story, ROOM)
    if "StartupFailed" in kind:
        return StageError(WorkerDiedError(f"its worker process could not start: {first_line(failure)}"), story, WORKER)
    error = explained(failure, Notes()).error
    return StageError(error, story, _lost(error))


def _lost(error: BaseException) -> str:
    if isinstance(error, NodeLostError):
        return NODE
    return WORKER if isinstance(error, WorkerDiedError) else NOTHING

"""What Ray's errors of a trial say: the worker's own error, a dead worker and of what, a lost node, no more memory.

In: the error that Ray gives for a trial, and what its worker noted. Out: the error and traceback to record, and whose
fault it is.
"""

import re
from dataclasses import dataclass

from ray.exceptions import ActorUnavailableError, NodeDiedError, OutOfMemoryError, RayActorError, RayTaskError

from trainables.failures import NodeLostError, SpentWorkerError, WorkerDiedError, is_full_disk
from trainables.trial_notes import Notes

ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class TrialError:
    """What ended a trial: an error with the traceback to record."""

    error: BaseException
    story: str

    @property
    def is_lost_node(self) -> bool:
        """Whether the node went away, which is no fault of the cell."""
        return isinstance(self.error, NodeLostError)

    @property
    def is_spent_worker(self) -> bool:
        """Whether the worker ended itself after it had recorded what happened."""
        return isinstance(self.error, SpentWorkerError)

    @property
    def is_full_disk(self) -> bool:
        """Whether the worker found no room on a disk."""
        return is_full_disk(self.error)


def explained(error: BaseException, notes: Notes) -> TrialError:
    """Return what an error of Ray says."""
    story = ESCAPES.sub("", str(error))
    if isinstance(error, RayTaskError):
        return TrialError(error.cause or error, story)
    if isinstance(error, ActorUnavailableError | NodeDiedError) or "node has died" in story:
        return TrialError(NodeLostError(f"its node was lost or cannot be reached: {_last_line(story)}"), story)
    if "creation task" in story:
        return TrialError(WorkerDiedError(f"its worker process could not start: {_last_line(story)}"), story)
    if isinstance(error, RayActorError):
        return _of_dead_worker(story, notes)
    return TrialError(error, story)


def pids_killed_for_memory(error: OutOfMemoryError) -> set[int]:
    """Return the process ids that Ray's memory monitor says it has killed."""
    selected = re.search(r"Selected to kill: (.*)", str(error))
    return {int(number) for number in re.findall(r"\bpid=(\d+)", selected.group(1) if selected else "")}


def _of_dead_worker(story: str, notes: Notes) -> TrialError:
    """Say of what a worker died: its own last words, the kernel's count of kills, or what Ray knows."""
    if notes.crash:
        return TrialError(WorkerDiedError(f"its worker process died: {notes.crash.splitlines()[0]}"), notes.crash)
    if notes.is_kernel_out_of_memory:
        found = f"its worker process was killed while the kernel of {notes.host} killed for want of memory"
        return TrialError(MemoryError(found), story)
    if code := re.search(r"exit code (\d+)", story):
        return TrialError(WorkerDiedError(f"its worker process died with exit code {code.group(1)}"), story)
    cause = "it was killed (SIGKILL, such as for want of memory) or left without a word"
    return TrialError(WorkerDiedError(f"its worker process died: {cause}"), story)


def _last_line(text: str) -> str:
    return text.strip().splitlines()[-1].strip() if text.strip() else "Ray says no more"

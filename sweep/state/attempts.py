"""What is tried again after a failure, which cells wait until others have had their turn, and when a run is given up.

In: how cells and stages end. Out: decisions. One rule for every launcher and every kind of failure: a cell that fails
is tried again from its start, ``compute.max_retries`` times, after all cells that have not failed, alone in its trial.
It may be what kills its worker. Not tried again is what the same seed would end in again. A lost node is no fault of
its cells, so it costs none of their tries up to MOST_LOST_NODES. A stage goes on from its last state and may train for
days, so there a dead worker costs no try either, up to the same number, where epochs were finished since the last loss.
Not thread-safe by itself.
"""

from collections import Counter
from collections.abc import Collection

FIRST_CELLS = 5  # all of which must fail alike before the rest is given up
MOST_LOST_NODES = 10  # that a cell or stage survives in a run; each further one counts as a failure of its own
NEVER_RETRIED = ("FinetuningError", "PretrainingError")
"""Kinds of errors that would come again: a loss that is no longer finite, features that have collapsed."""
NOTHING, NODE, WORKER, ROOM = "", "node", "worker", "room"
"""What a stage lost when it ended: nothing where its own work failed; a worker is a process, or its connections."""


def kind_of(reason: str) -> str:
    """Return the kind of error that a reason of the failures table begins with, such as ``RuntimeError``."""
    return reason.partition(":")[0]


class Attempts:
    """How often cells have failed. Those that ``failed_before``, in an earlier run, wait for all others, too."""

    def __init__(self, max_retries: int, failed_before: Collection[str] = ()) -> None:
        self._max_retries = max_retries
        self._suspects = set(failed_before)
        self._failures: Counter[str] = Counter()
        self._lost_nodes: Counter[str] = Counter()
        self._first_errors: list[str] = []  # kinds of the first cells' failures; empty where one finished

    @property
    def num_retries(self) -> int:
        """How often a cell was tried again."""
        return self._failures.total()

    @property
    def systematic_failure(self) -> str:
        """The kind of error by which the first try of all of the first cells failed; empty if none is.

        Cells that failed in an earlier run do not count: their failure says nothing of the others.
        """
        errors = self._first_errors
        return errors[0] if len(errors) == FIRST_CELLS and len(set(errors)) == 1 else ""

    def is_suspect(self, cell_id: str) -> bool:
        """Whether a cell has failed, in this run or before."""
        return cell_id in self._suspects

    def ended(self, cell_id: str, reason: str = "") -> None:
        """Note how a cell ended; no ``reason`` where it finished."""
        if not self.is_suspect(cell_id) and len(self._first_errors) < FIRST_CELLS:
            self._first_errors.append(kind_of(reason))

    def is_tried_again(self, cell_id: str, reason: str) -> bool:
        """Note a failure, and say whether the cell has another try."""
        if kind_of(reason) in NEVER_RETRIED or self._failures[cell_id] >= self._max_retries:
            return False
        self.ended(cell_id, reason)
        self._suspects.add(cell_id)
        self._failures[cell_id] += 1
        return True

    def is_lost_freely(self, cell_id: str) -> bool:
        """Note that a cell's node was lost under it, and say whether that costs the cell none of its tries."""
        self._lost_nodes[cell_id] += 1
        return self._lost_nodes[cell_id] <= MOST_LOST_NODES


class StageAttempts:
    """How often one stage has ended before its time, what it had lost then, and how many epochs it had finished.

    One that ``is_elastic`` makes many short requests for workers, which add up over its life; for a fixed number of
    workers there is one at a time, as long as a stage may wait.
    """

    def __init__(self, max_retries: int, epochs_done: int = 0, is_elastic: bool = False) -> None:
        self._max_retries, self._epochs_done, self._is_elastic = max_retries, epochs_done, is_elastic
        self._failures = self._deaths = 0  # deaths: of workers without further epochs
        self._num_free = 0

    def is_started_again(self, lost: str, epochs_done: int) -> bool:
        """Note an end after so many epochs, and say whether the stage has another try."""
        has_progressed = epochs_done > self._epochs_done
        self._epochs_done = max(epochs_done, self._epochs_done)
        if has_progressed and self._num_free < MOST_LOST_NODES:
            self._deaths = 0
        if lost == ROOM and not (has_progressed and self._is_elastic):
            return False
        is_no_fault = lost == NODE or (lost != NOTHING and has_progressed)
        if is_no_fault and self._num_free < MOST_LOST_NODES:
            self._num_free += 1
            return True
        self._failures += lost == NOTHING
        self._deaths += lost != NOTHING
        return self._failures + self._deaths <= self._max_retries

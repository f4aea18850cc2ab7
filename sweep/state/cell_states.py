"""Which cells wait, are handed out or have ended in this run, and which of them come next.

In: a Plan, the states of its stages, and how cells end. Out: the cells that can start, in the plan's order but those
that have failed after all others, and how many are in which state. Not thread-safe by itself.
"""

import time
from collections import Counter
from collections.abc import Iterable

from sweep.costs.time_left import Encoder
from sweep.plan import Plan, PlannedCell
from sweep.state.attempts import Attempts
from sweep.state.stage_states import DONE, FAILED, StageStates, encoder_of


class CellStates:
    """The cells of a run: one can start when the stage it starts from is done, and is blocked if that failed."""

    def __init__(self, plan: Plan, stages: StageStates) -> None:
        self.attempts = Attempts(plan.max_retries, plan.failed_before)
        self.num_done = self.num_failed = 0
        self._stages = stages
        self._waiting = sorted(plan.missing, key=self._is_suspect)  # those that have failed last
        self._running: set[str] = set()  # handed to a worker
        self._begun: frozenset[str] | None = None  # of these, in workers; none where a worker begins what it takes
        self._first_start: float | None = None

    def take(self, at_most: int) -> list[PlannedCell]:
        """Return cells whose encoders exist, in one pass, and mark them as running; one that has failed alone."""
        taken: list[PlannedCell] = []
        left: list[PlannedCell] = []
        for cell in self._waiting:
            room = 1 if self._is_suspect(cell) else at_most
            is_taken = len(taken) < room and self._stages.behind(cell.source) == DONE
            (taken if is_taken else left).append(cell)
        self._waiting = left
        self._running |= {cell.job.cell_id for cell in taken}
        if taken:
            self._first_start = self._first_start or time.monotonic()
        return taken

    def begin(self, cell_ids: Iterable[str]) -> None:
        """Note which cells workers run at this moment."""
        self._begun = frozenset(cell_ids)

    def end(self, cell: PlannedCell, succeeded: bool, reason: str) -> None:
        """Note the end of a cell."""
        self.attempts.ended(cell.job.cell_id, "" if succeeded else reason)
        self._running.discard(cell.job.cell_id)
        self.num_done += succeeded
        self.num_failed += not succeeded

    def is_tried_again(self, cell: PlannedCell, reason: str) -> bool:
        """Note a failure, and say whether the cell has another try, for which it waits after all others."""
        if not self.attempts.is_tried_again(cell.job.cell_id, reason):
            return False
        self._wait_again(cell, len(self._waiting))
        return True

    def give_back(self, cell: PlannedCell) -> None:
        """Put a cell that could not run now back before all others; it counts as never started."""
        first_suspect = sum(not self._is_suspect(each) for each in self._waiting)
        self._wait_again(cell, first_suspect if self._is_suspect(cell) else 0)

    def _wait_again(self, cell: PlannedCell, position: int) -> None:
        self._running.discard(cell.job.cell_id)
        self._waiting.insert(position, cell)

    def _is_suspect(self, cell: PlannedCell) -> bool:
        return self.attempts.is_suspect(cell.job.cell_id)

    def is_any_to_come(self) -> bool:
        """Whether any cell that is not blocked has yet to start."""
        return any(self._stages.behind(cell.source) != FAILED for cell in self._waiting)

    def blocked(self) -> list[PlannedCell]:
        """Return the cells that cannot run because a stage that they need failed."""
        return [cell for cell in self._waiting if self._stages.behind(cell.source) == FAILED]

    @property
    def num_ready(self) -> int:
        """How many cells could start now."""
        return sum(self._stages.behind(cell.source) == DONE for cell in self._waiting)

    @property
    def num_running(self) -> int:
        """How many cells have been handed out and have not ended."""
        return len(self._running)

    @property
    def num_begun(self) -> int:
        """How many of these are in workers: of those that were handed out some may still wait for theirs."""
        return len(self._running if self._begun is None else self._running & self._begun)

    def waiting(self) -> Counter[str]:
        """Return how many cells have not started, by the state of what they start from."""
        return Counter(self._stages.behind(cell.source) for cell in self._waiting)

    def waiting_for(self) -> Counter[Encoder | None]:
        """Return how many cells wait for each encoder, for none where it is there; blocked ones are left out."""
        states = ((cell.source, self._stages.behind(cell.source)) for cell in self._waiting)
        return Counter(None if state == DONE else encoder_of(source) for source, state in states if state != FAILED)

    @property
    def per_hour(self) -> float | None:
        """How many cells have ended in an hour since the first start; None before one has."""
        ended = self.num_done + self.num_failed
        if not ended or self._first_start is None:
            return None
        return 3600 * ended / max(time.monotonic() - self._first_start, 1e-9)

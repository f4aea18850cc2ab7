"""What has happened so far: which encoders exist, which cells can start, what failed. Thread-safe; no Ray, no printing.

In: a Plan, and events from a launcher. Out: the next cell that can start, counts for people, and each change told to
``on_event`` as plain data.
"""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sweep.costs.occupancy import Occupancy
from sweep.costs.time_left import Room
from sweep.plan import Plan, PlannedCell, PlannedStage
from sweep.state.cell_states import CellStates
from sweep.state.counts import Counts, Expectation, Limits
from sweep.state.outlook import Outlook
from sweep.state.stage_states import DONE, FAILED, RUNNING, WAITING, StageStates

LATEST_FAILURES = 3

OnEvent = Callable[[str, Mapping[str, Any]], None]


class Scoreboard:
    """The state of a run: a cell can start when the stage it starts from is done, and is blocked if that failed.

    Nothing starts any more beyond ``limits``, or when the first cells have all failed alike. ``expected`` serves the
    time left until units of this run tell it; a launcher sets ``room`` once it knows how much runs at once.
    """

    def __init__(
        self,
        plan: Plan,
        limits: Limits | None = None,
        expected: Expectation | None = None,
        on_event: OnEvent = lambda name, fields: None,
    ) -> None:
        self._limits, self._on_event = limits or Limits(), on_event
        expected = expected or Expectation()
        self.room = Room(1, 1, 1)
        self.packing = ""  # what it was reduced to, where cells ran out of memory
        self.occupancy = Occupancy()
        self._lock = threading.Lock()
        self._started = time.monotonic()
        self._stages = StageStates(plan, expected.epoch_seconds)
        self._cells = CellStates(plan, self._stages)
        self._outlook = Outlook(self._stages, self._cells, self.occupancy, expected)
        self._kept_waiting: set[str] = set()  # stages, for room
        self._failures: deque[tuple[str, str]] = deque(maxlen=LATEST_FAILURES)
        self._finished_before = plan.num_finished

    def is_over(self) -> bool:
        """Whether nothing is started any more: time or money are used up, or every cell would fail."""
        return bool(self.used_up or self.systematic_failure)

    @property
    def used_up(self) -> str:
        """The limit that is reached, ``time`` or ``cost``; empty if none is."""
        if time.monotonic() - self._started >= self._limits.seconds:
            return "time"
        if self._limits.device_seconds == math.inf:
            return ""
        with self._lock:
            return "cost" if self.occupancy.device_seconds() >= self._limits.device_seconds else ""

    @property
    def systematic_failure(self) -> str:
        """The kind of error, such as ``RuntimeError``, by which all of the first cells failed; empty if none is."""
        return self._cells.attempts.systematic_failure

    @property
    def num_retries(self) -> int:
        """How often a cell was tried again."""
        return self._cells.attempts.num_retries

    def take_stage(self) -> PlannedStage | None:
        """Return a stage whose parent is done and mark it as running; none if nothing can start now."""
        if self.is_over():
            return None
        with self._lock:
            taken = self._stages.start_next()
        if taken:
            self._on_event("stage_started", _of_stage(taken))
        return taken

    def stage_holds_devices(self, stage: PlannedStage, num_devices: int = 1) -> None:
        """Record that this run trains the stage on so many devices from now on; with none it waits for them."""
        with self._lock:
            if num_devices == self.occupancy.devices_of_stage(stage.stage_id):
                return
            self.occupancy.stage_ended(stage.stage_id)
            if num_devices:
                self._kept_waiting.discard(stage.stage_id)
                self._stages.hold(stage.stage_id)
                self.occupancy.stage_started(stage.stage_id, num_devices)

    def stage_kept_waiting(self, stage: PlannedStage) -> None:
        """Record that a stage has asked for room for longer than a start takes: cells should make room."""
        with self._lock:
            self._kept_waiting.add(stage.stage_id)

    def is_stage_kept_waiting(self) -> bool:
        """Whether a stage has asked for room for longer than a start takes."""
        with self._lock:
            return bool(self._kept_waiting)

    def idle_should_make_room(self) -> bool:
        """Whether a stage is kept waiting and no cell can start before it has trained."""
        return self.is_stage_kept_waiting() and not self.cells_ready()

    def stage_ended(self, stage: PlannedStage, succeeded: bool, reason: str = "") -> None:
        """Record the end of a stage; what depends on a failed one is blocked."""
        with self._lock:
            self._stages.end(stage.stage_id, succeeded)
            self._kept_waiting.discard(stage.stage_id)
            self.occupancy.stage_ended(stage.stage_id)
            if not succeeded:
                self._failures.append((f"stage {stage.name}", reason))
        self._on_event("stage_ended", _of_stage(stage) | _outcome(succeeded, reason))

    def stage_stopped(self, stage: PlannedStage) -> None:
        """Record that a stage was stopped before its end; another run goes on from what it saved."""
        with self._lock:
            self._stages.stop(stage.stage_id)
            self._kept_waiting.discard(stage.stage_id)
            self.occupancy.stage_ended(stage.stage_id)
        self._on_event("stage_stopped", _of_stage(stage))

    def take_cell(self, worker: str = "") -> PlannedCell | None:
        """Return a cell whose encoder exists and mark it as running; none if nothing can start now."""
        return next(iter(self.take_cells(1, worker)), None)

    def take_cells(self, at_most: int, worker: str = "") -> list[PlannedCell]:
        """Return cells whose encoders exist, in the plan's order, and mark them as running; one pass over the plan.

        A ``worker`` runs those that it takes one after another. A cell that has failed is taken alone, once no other
        can start: it may take its worker, and what else that was given, with it.
        """
        if self.is_over() or at_most < 1:
            return []
        with self._lock:
            taken = self._cells.take(at_most)
            for cell in taken:
                self.occupancy.cell_started(worker, cell.job.cell_id)
        for cell in taken:
            self._on_event("cell_started", _of_cell(cell))
        return taken

    def cells_begun(self, cell_ids: Iterable[str]) -> None:
        """Record which cells workers run at this moment: of those that were handed out some still wait for theirs."""
        with self._lock:
            self._cells.begin(cell_ids)

    def cell_ended(self, cell: PlannedCell, succeeded: bool, reason: str = "") -> None:
        """Record the end of a cell; ``reason`` says why it failed, as in the failures table."""
        with self._lock:
            self._cells.end(cell, succeeded, reason)
            self.occupancy.cell_ended(cell.job.cell_id)
            if not succeeded:
                self._failures.append((cell.job.name, reason))
        self._on_event("cell_ended", _of_cell(cell) | _outcome(succeeded, reason))

    def cell_failed(self, cell: PlannedCell, reason: str) -> None:
        """Record a failure: the cell waits for another try, after all others, or has ended if it has none left."""
        with self._lock:
            is_tried_again = self._cells.is_tried_again(cell, reason)
            if is_tried_again:
                self.occupancy.cell_ended(cell.job.cell_id)
        if is_tried_again:
            self._on_event("cell_retried", _of_cell(cell) | {"reason": reason})
        else:
            self.cell_ended(cell, succeeded=False, reason=reason)

    def cell_lost(self, cell: PlannedCell) -> bool:
        """Put back a cell whose node was lost under it; False, and nothing done, where that has happened too often."""
        with self._lock:
            is_free = self._cells.attempts.is_lost_freely(cell.job.cell_id)
        if is_free:
            self.cell_returned(cell)
        return is_free

    def cell_returned(self, cell: PlannedCell) -> None:
        """Put a cell that could not run now back before all others; it counts as never started."""
        with self._lock:
            self.occupancy.cell_returned(cell.job.cell_id)
            self._cells.give_back(cell)

    def packing_reduced(self, packing: str) -> None:
        """Record that cells ran out of memory and ``packing``, such as "3 a GPU", is what runs at once from now on."""
        self.packing = packing
        self._on_event("packing_reduced", {"packing": packing})

    def stages_pending(self) -> int:
        """How many stages are running, or waiting for their turn."""
        pending = (RUNNING,) if self.is_over() else (WAITING, RUNNING)
        with self._lock:
            return len(self._stages.in_state(*pending))

    def cells_pending(self) -> bool:
        """Whether any cell that is not blocked will yet start."""
        if self.is_over():
            return False
        with self._lock:
            return self._cells.is_any_to_come()

    def cells_ready(self) -> int:
        """How many cells could start now."""
        with self._lock:
            return self._cells.num_ready

    def cells_running(self) -> int:
        """How many cells have been handed out and have not ended."""
        with self._lock:
            return self._cells.num_running

    def blocked_cells(self) -> list[PlannedCell]:
        """Cells that cannot run because a stage that they need failed."""
        with self._lock:
            return self._cells.blocked()

    def counts(self) -> Counts:
        """Return the state for display."""
        with self._lock:
            stages, cells, work = self._stages, self._cells, self._outlook.work()
            waiting = cells.waiting()
            return Counts(
                stages_done=len(stages.in_state(DONE)),
                stages_failed=len(stages.in_state(FAILED)),
                stages_left=len(stages.in_state(WAITING)),
                stages_running=self._outlook.progress(),
                cells_done=cells.num_done,
                cells_failed=cells.num_failed,
                cells_running=cells.num_begun,
                cells_ready=waiting[DONE] + cells.num_running - cells.num_begun,
                cells_waiting=waiting[WAITING] + waiting[RUNNING],
                cells_blocked=waiting[FAILED],
                cells_finished_before=self._finished_before,
                seconds=time.monotonic() - self._started,
                seconds_left=self._outlook.seconds(work, self.room),
                device_seconds=self.occupancy.device_seconds(),
                device_seconds_left=self._outlook.device_seconds(work),
                cells_per_hour=cells.per_hour,
                failures=tuple(self._failures),
            )


def _of_stage(stage: PlannedStage) -> dict[str, Any]:
    return {"stage_id": stage.stage_id, "stage": stage.name}


def _of_cell(cell: PlannedCell) -> dict[str, Any]:
    return {"cell_id": cell.job.cell_id, "cell": cell.job.name, "arm": cell.point.arm}


def _outcome(succeeded: bool, reason: str) -> dict[str, Any]:
    return {"succeeded": succeeded, "reason": reason or None}

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
from sweep.costs.time_left import Encoder, Room, Work, wall_seconds
from sweep.plan import Plan, PlannedCell, PlannedStage
from sweep.state.attempts import Attempts
from sweep.state.counts import Counts, Expectation, Limits, StageProgress
from sweep.state.stage_states import DONE, FAILED, RUNNING, WAITING, StageStates, encoder_of

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
        self._limits, self._expected, self._on_event = limits or Limits(), expected or Expectation(), on_event
        self.room = Room(1, 1, 1)
        self.packing = ""  # what it was reduced to, where cells ran out of memory
        self.occupancy = Occupancy()
        self._lock = threading.Lock()
        self._started = time.monotonic()
        self._attempts = Attempts(plan.max_retries, plan.failed_before)
        self._waiting = sorted(plan.missing, key=self._is_suspect)  # those that have failed last
        self._stages = StageStates(plan, self._expected.epoch_seconds)
        self._running: set[str] = set()  # handed to a worker
        self._begun: frozenset[str] | None = None  # of these, in workers; none where a worker begins what it takes
        self._kept_waiting: set[str] = set()  # stages, for room
        self._done = self._failed = 0
        self._failures: deque[tuple[str, str]] = deque(maxlen=LATEST_FAILURES)
        self._finished_before = plan.num_finished
        self._first_cell: float | None = None

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
        return self._attempts.systematic_failure

    @property
    def num_retries(self) -> int:
        """How often a cell was tried again."""
        return self._attempts.num_retries

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
            taken: list[PlannedCell] = []
            left: list[PlannedCell] = []
            for cell in self._waiting:
                room = 1 if self._is_suspect(cell) else at_most
                is_taken = len(taken) < room and self._stages.behind(cell.source) == DONE
                (taken if is_taken else left).append(cell)
            self._waiting = left
            for cell in taken:
                self._running.add(cell.job.cell_id)
                self.occupancy.cell_started(worker, cell.job.cell_id)
            if taken:
                self._first_cell = self._first_cell or time.monotonic()
        for cell in taken:
            self._on_event("cell_started", _of_cell(cell))
        return taken

    def cells_begun(self, cell_ids: Iterable[str]) -> None:
        """Record which cells workers run at this moment: of those that were handed out some still wait for theirs."""
        with self._lock:
            self._begun = frozenset(cell_ids)

    def cell_ended(self, cell: PlannedCell, succeeded: bool, reason: str = "") -> None:
        """Record the end of a cell; ``reason`` says why it failed, as in the failures table."""
        with self._lock:
            self._attempts.ended(cell.job.cell_id, "" if succeeded else reason)
            self._running.discard(cell.job.cell_id)
            self.occupancy.cell_ended(cell.job.cell_id)
            self._done += succeeded
            self._failed += not succeeded
            if not succeeded:
                self._failures.append((cell.job.name, reason))
        self._on_event("cell_ended", _of_cell(cell) | _outcome(succeeded, reason))

    def cell_failed(self, cell: PlannedCell, reason: str) -> None:
        """Record a failure: the cell waits for another try, after all others, or has ended if it has none left."""
        with self._lock:
            is_tried_again = self._attempts.is_tried_again(cell.job.cell_id, reason)
            if is_tried_again:
                self.occupancy.cell_ended(cell.job.cell_id)
                self._wait_again(cell, len(self._waiting))
        if is_tried_again:
            self._on_event("cell_retried", _of_cell(cell) | {"reason": reason})
        else:
            self.cell_ended(cell, succeeded=False, reason=reason)

    def cell_lost(self, cell: PlannedCell) -> bool:
        """Put back a cell whose node was lost under it; False, and nothing done, where that has happened too often."""
        with self._lock:
            is_free = self._attempts.is_lost_freely(cell.job.cell_id)
        if is_free:
            self.cell_returned(cell)
        return is_free

    def cell_returned(self, cell: PlannedCell) -> None:
        """Put a cell that could not run now back before all others; it counts as never started."""
        with self._lock:
            first_suspect = sum(not self._is_suspect(each) for each in self._waiting)
            self.occupancy.cell_returned(cell.job.cell_id)
            self._wait_again(cell, first_suspect if self._is_suspect(cell) else 0)

    def _wait_again(self, cell: PlannedCell, position: int) -> None:
        self._running.discard(cell.job.cell_id)
        self._waiting.insert(position, cell)

    def _is_suspect(self, cell: PlannedCell) -> bool:
        return self._attempts.is_suspect(cell.job.cell_id)

    def packing_reduced(self, packing: str) -> None:
        """Record that cells ran out of memory and ``packing``, such as "3 a GPU", is what runs at once from now on."""
        self.packing = packing
        self._on_event("packing_reduced", {"packing": packing})

    def stages_pending(self) -> int:
        """How many stages are running, or waiting for their turn."""
        pending = (RUNNING,) if self.is_over() else (WAITING, RUNNING)
        with self._lock:
            return sum(state in pending for state in self._stages.all().values())

    def cells_pending(self) -> bool:
        """Whether any cell that is not blocked will yet start."""
        if self.is_over():
            return False
        with self._lock:
            return any(self._stages.behind(cell.source) != FAILED for cell in self._waiting)

    def cells_ready(self) -> int:
        """How many cells could start now."""
        with self._lock:
            return self._num_ready()

    def _num_ready(self) -> int:
        return sum(self._stages.behind(cell.source) == DONE for cell in self._waiting)

    def cells_running(self) -> int:
        """How many cells have been handed out and have not ended."""
        with self._lock:
            return len(self._running)

    def blocked_cells(self) -> list[PlannedCell]:
        """Cells that cannot run because a stage that they need failed."""
        with self._lock:
            return [cell for cell in self._waiting if self._stages.behind(cell.source) == FAILED]

    def counts(self) -> Counts:
        """Return the state for display."""
        with self._lock:
            states = list(self._stages.all().values())
            of_cells = [self._stages.behind(cell.source) for cell in self._waiting]
            running = [key for key, state in self._stages.all().items() if state == RUNNING]
            work = self._work_left()
            begun = len(self._running if self._begun is None else self._running & self._begun)
            return Counts(
                stages_done=states.count(DONE),
                stages_failed=states.count(FAILED),
                stages_left=states.count(WAITING),
                stages_running=tuple(self._progress(key) for key in running),
                cells_done=self._done,
                cells_failed=self._failed,
                cells_running=begun,
                cells_ready=of_cells.count(DONE) + len(self._running) - begun,
                cells_waiting=of_cells.count(WAITING) + of_cells.count(RUNNING),
                cells_blocked=of_cells.count(FAILED),
                cells_finished_before=self._finished_before,
                seconds=time.monotonic() - self._started,
                seconds_left=self._seconds_left(work),
                device_seconds=self.occupancy.device_seconds(),
                device_seconds_left=None if work is None else self._device_seconds(work),
                cells_per_hour=self._cells_per_hour(),
                failures=tuple(self._failures),
            )

    def _progress(self, key: str) -> StageProgress:
        stage = self._stages.stages[key]
        done, epoch = self._stages.epochs_done(key), self._epoch_seconds(key)
        left = None if epoch is None else max(0.0, (stage.config.epochs - done) * epoch)
        return StageProgress(stage.name, done, stage.config.epochs, left, not self.occupancy.devices_of_stage(key))

    def _epoch_seconds(self, key: str) -> float | None:
        """What an epoch of a stage takes: as in this run, else as expected."""
        here, seconds = self._stages.epochs_here(key), self.occupancy.stage_seconds(key)
        return seconds / here if here > 0 and seconds else self._expected.epoch_seconds.get(key)

    def _cells_per_hour(self) -> float | None:
        ended = self._done + self._failed
        if not ended or self._first_cell is None:
            return None
        return 3600 * ended / max(time.monotonic() - self._first_cell, 1e-9)

    def _device_seconds(self, work: Work) -> float:
        stages = sum(stage.seconds for stage in work.stages) * self.occupancy.devices_per_stage
        return stages + sum(work.cells.values()) * work.cell_seconds * self.occupancy.devices_per_cell

    def _seconds_left(self, work: Work | None) -> float | None:
        """Time the work that is left; go by the cells' pace where its seconds are unknown, and no stage waits."""
        if work is not None:
            return wall_seconds(work, self.room)
        running = (key for key, state in self._stages.all().items() if state == RUNNING)
        if not all(self.occupancy.devices_of_stage(key) for key in running):
            return None
        pace = self._cells_per_hour()
        num_left = len(self._running) + sum(self._stages.behind(cell.source) != FAILED for cell in self._waiting)
        return None if pace is None else 3600 * num_left / pace

    def _work_left(self) -> Work | None:
        """What is still to run, without what a failed stage blocks; None where the seconds of a unit are unknown."""
        cell = self.occupancy.seconds_per_cell() or self._expected.cell_seconds
        stages = [key for key, state in self._stages.all().items() if state in (WAITING, RUNNING)]
        epochs = {key: self._epoch_seconds(key) for key in stages}
        if cell is None or None in epochs.values():
            return None
        cells: dict[Encoder | None, float] = {None: self.occupancy.cells_under_way(cell)}
        for waiting in self._waiting:
            if (state := self._stages.behind(waiting.source)) != FAILED:
                source = None if state == DONE else encoder_of(waiting.source)
                cells[source] = cells.get(source, 0.0) + 1
        return Work([self._stages.work(key, seconds) for key, seconds in epochs.items() if seconds], cells, cell)


def _of_stage(stage: PlannedStage) -> dict[str, Any]:
    return {"stage_id": stage.stage_id, "stage": stage.name}


def _of_cell(cell: PlannedCell) -> dict[str, Any]:
    return {"cell_id": cell.job.cell_id, "cell": cell.job.name, "arm": cell.point.arm}


def _outcome(succeeded: bool, reason: str) -> dict[str, Any]:
    return {"succeeded": succeeded, "reason": reason or None}

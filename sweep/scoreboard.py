"""What has happened so far: which encoders exist, which cells can start, what failed. Thread-safe; no Ray, no printing.

In: a Plan, and events from a launcher. Out: the next cell that can start, and counts for people.
"""

import math
import threading
import time
from dataclasses import dataclass

from sweep.plan import Plan, PlannedCell, PlannedStage, Source
from trainables.encoder_store import epochs_done

LOOK_SECONDS = 1.0
FIRST_CELLS = 5  # all of which must fail alike before the rest is given up


@dataclass(frozen=True)
class Counts:
    """A moment of a run."""

    stages_done: int
    stages_failed: int
    stages_left: int
    stages_running: tuple[str, ...]  # with the epochs that are finished
    cells_done: int  # in this run
    cells_failed: int
    cells_left: int  # not started, blocked ones included
    cells_running: int
    cells_finished_before: int
    seconds: float


class Scoreboard:
    """The state of a run: a cell can start when the stage it starts from is done, and is blocked if that failed.

    Nothing starts any more after ``max_hours``, or when the first cells have all failed alike.
    """

    def __init__(self, plan: Plan, max_hours: float | None = None) -> None:
        self._max_seconds = math.inf if max_hours is None else 3600 * max_hours
        self._lock = threading.Lock()
        self._started = time.monotonic()
        self._waiting = list(plan.missing)
        self._stages = {stage.stage_id: stage for stage in plan.stages}
        self._state = dict.fromkeys(self._stages, "waiting")  # waiting | running | done | failed
        self._running: set[str] = set()
        self._done = self._failed = 0
        self._looked: dict[str, float] = {}  # when each encoder was last looked for; infinite once it was there
        self._first_errors: list[str] = []  # kinds of the first cells' failures; empty where one finished
        self._finished_before = plan.num_finished
        self._first_cell: float | None = None

    def is_over(self) -> bool:
        """Whether nothing is started any more: the run's time is used up, or every cell would fail."""
        return time.monotonic() - self._started >= self._max_seconds or bool(self.systematic_failure)

    @property
    def systematic_failure(self) -> str:
        """The kind of error, such as ``RuntimeError``, by which all of the first cells failed; empty if none is."""
        errors = self._first_errors
        return errors[0] if len(errors) == FIRST_CELLS and len(set(errors)) == 1 else ""

    def take_stage(self) -> PlannedStage | None:
        """Return a stage whose parent is done and mark it as running; none if nothing can start now."""
        if self.is_over():
            return None
        with self._lock:
            for stage in self._stages.values():
                if self._state[stage.stage_id] != "waiting":
                    continue
                parent = self._state_of(stage.source)
                if parent == "failed":
                    self._state[stage.stage_id] = "failed"
                elif parent == "done":
                    self._state[stage.stage_id] = "running"
                    return stage
        return None

    def stage_ended(self, stage: PlannedStage, succeeded: bool) -> None:
        """Record the end of a stage; what depends on a failed one is blocked."""
        with self._lock:
            self._state[stage.stage_id] = "done" if succeeded else "failed"
            for other in self._stages.values():  # in order: parents first
                if self._state[other.stage_id] == "waiting" and self._state_of(other.source) == "failed":
                    self._state[other.stage_id] = "failed"

    def stage_stopped(self, stage: PlannedStage) -> None:
        """Record that a stage was stopped before its end; another run goes on from its last epoch."""
        with self._lock:
            self._state[stage.stage_id] = "waiting"

    def take_cell(self) -> PlannedCell | None:
        """Return a cell whose encoder exists and mark it as running; none if nothing can start now."""
        return next(iter(self.take_cells(1)), None)

    def take_cells(self, at_most: int) -> list[PlannedCell]:
        """Return cells whose encoders exist, in the plan's order, and mark them as running; one pass over the plan."""
        if self.is_over() or at_most < 1:
            return []
        with self._lock:
            taken: list[PlannedCell] = []
            left: list[PlannedCell] = []
            for cell in self._waiting:
                is_taken = len(taken) < at_most and self._state_of(cell.source) == "done"
                (taken if is_taken else left).append(cell)
            self._waiting = left
            self._running.update(cell.job.cell_id for cell in taken)
            if taken and self._first_cell is None:
                self._first_cell = time.monotonic()
            return taken

    def cell_ended(self, cell: PlannedCell, succeeded: bool, reason: str = "") -> None:
        """Record the end of a cell; ``reason`` says why it failed, as in the failures table."""
        with self._lock:
            if len(self._first_errors) < FIRST_CELLS:
                self._first_errors.append("" if succeeded else reason.partition(":")[0])
            self._running.discard(cell.job.cell_id)
            self._done += succeeded
            self._failed += not succeeded

    def stages_pending(self) -> int:
        """How many stages are running, or waiting for their turn."""
        pending = ("running",) if self.is_over() else ("waiting", "running")
        with self._lock:
            return sum(state in pending for state in self._state.values())

    def cells_pending(self) -> bool:
        """Whether any cell that is not blocked will yet start."""
        if self.is_over():
            return False
        with self._lock:
            return any(self._state_of(cell.source) != "failed" for cell in self._waiting)

    def cells_ready(self) -> int:
        """How many cells could start now."""
        with self._lock:
            return sum(self._state_of(cell.source) == "done" for cell in self._waiting)

    def cells_running(self) -> int:
        """How many cells have started and not ended."""
        with self._lock:
            return len(self._running)

    def blocked_cells(self) -> list[PlannedCell]:
        """Cells that cannot run because a stage that they need failed."""
        with self._lock:
            return [cell for cell in self._waiting if self._state_of(cell.source) == "failed"]

    def counts(self) -> Counts:
        """Return the state for display."""
        with self._lock:
            states = list(self._state.values())
            return Counts(
                stages_done=states.count("done"),
                stages_failed=states.count("failed"),
                stages_left=states.count("waiting"),
                stages_running=tuple(
                    f"{stage.name} {epochs_done(stage.job.encoders, key)}/{stage.config.epochs}"
                    for key, stage in self._stages.items()
                    if self._state[key] == "running"
                ),
                cells_done=self._done,
                cells_failed=self._failed,
                cells_left=len(self._waiting),
                cells_running=len(self._running),
                cells_finished_before=self._finished_before,
                seconds=time.monotonic() - self._started,
            )

    def seconds_left(self) -> float | None:
        """Estimate the time left from the pace of cells so far; none before the first has ended."""
        with self._lock:
            ended = self._done + self._failed
            if not ended or self._first_cell is None:
                return None
            pace = (time.monotonic() - self._first_cell) / ended
            return pace * (len(self._waiting) + len(self._running))

    def _state_of(self, source: Source) -> str:
        """Return ``done`` where the source's encoder is there already, though its stage may go on or have failed."""
        if source.stage is None or source.stage.stage_id not in self._state:
            return "done"  # nothing to train in this run
        return "done" if self._is_there(source) else self._state[source.stage.stage_id]

    def _is_there(self, source: Source) -> bool:
        """Whether an encoder exists; each is looked for once a second at most, whoever asks."""
        now = time.monotonic()
        if now - self._looked.get(source.weights, -math.inf) > LOOK_SECONDS:
            self._looked[source.weights] = math.inf if source.exists else now
        return self._looked[source.weights] == math.inf

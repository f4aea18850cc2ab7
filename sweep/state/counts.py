"""The plain data around a scoreboard: what limits a run, what its units are expected to take, and a moment of it.

In: nothing. Out: frozen values that the scoreboard takes and gives.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Limits:
    """After what a run starts nothing any more."""

    seconds: float = math.inf
    device_seconds: float = math.inf


@dataclass(frozen=True)
class Expectation:
    """What units should take on the clock: a cell, and an epoch of each stage; empty where nothing is known."""

    cell_seconds: float | None = None
    epoch_seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class StageProgress:
    """A stage in training; ``seconds_left`` is None where nothing tells it.

    ``is_waiting``: for its workers, which a start takes too, or for another experiment that trains it.
    """

    name: str
    epochs_done: int
    epochs: int
    seconds_left: float | None
    is_waiting: bool = False

    @property
    def words(self) -> str:
        """The stage in a line of a log."""
        return f"{self.name} {self.epochs_done}/{self.epochs}" + (" (waits)" if self.is_waiting else "")


@dataclass(frozen=True)
class Counts:
    """A moment of a run. Cells are each in one state; those finished before the run are apart."""

    stages_done: int
    stages_failed: int
    stages_left: int
    stages_running: tuple[StageProgress, ...]
    cells_done: int  # in this run
    cells_failed: int
    cells_running: int
    cells_ready: int
    cells_waiting: int  # for an encoder that is still to be trained
    cells_blocked: int  # by a failed stage
    cells_finished_before: int
    seconds: float
    seconds_left: float | None  # None where nothing tells it
    device_seconds: float  # that devices were busy in this run, running units included
    device_seconds_left: float | None  # None where nothing tells it
    cells_per_hour: float | None  # None before the first cell has ended
    failures: tuple[tuple[str, str], ...]  # name and reason of the latest

    @property
    def cells_left(self) -> int:
        """Cells that have not started, blocked ones included."""
        return self.cells_ready + self.cells_waiting + self.cells_blocked

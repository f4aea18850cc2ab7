"""What a run has still to do and how long that takes, as its own units tell it, else as expected.

In: the states of stages and cells, who holds devices, and what units should take. Out: seconds on the clock and of
devices, or None where nothing tells them. Not thread-safe by itself.
"""

from sweep.costs.occupancy import Occupancy
from sweep.costs.time_left import Encoder, Room, Work, wall_seconds
from sweep.state.cell_states import CellStates
from sweep.state.counts import Expectation, StageProgress
from sweep.state.stage_states import FAILED, RUNNING, WAITING, StageStates


class Outlook:
    """The work that is left, and its time."""

    def __init__(self, stages: StageStates, cells: CellStates, occupancy: Occupancy, expected: Expectation) -> None:
        self._stages, self._cells, self._occupancy, self._expected = stages, cells, occupancy, expected

    def progress(self) -> tuple[StageProgress, ...]:
        """Return how far each running stage is."""
        return tuple(self._progress(key) for key in self._stages.in_state(RUNNING))

    def _progress(self, key: str) -> StageProgress:
        stage = self._stages.stages[key]
        done, epoch = self._stages.epochs_done(key), self._epoch_seconds(key)
        left = None if epoch is None else max(0.0, (stage.config.epochs - done) * epoch)
        return StageProgress(stage.name, done, stage.config.epochs, left, not self._occupancy.devices_of_stage(key))

    def work(self) -> Work | None:
        """Return what is still to run, without what a failed stage blocks; None where a unit's seconds are unknown."""
        cell = self._occupancy.seconds_per_cell() or self._expected.cell_seconds
        epochs = {key: self._epoch_seconds(key) for key in self._stages.in_state(WAITING, RUNNING)}
        if cell is None or None in epochs.values():
            return None
        cells: dict[Encoder | None, float] = {None: self._occupancy.cells_under_way(cell)}
        for encoder, num_waiting in self._cells.waiting_for().items():
            cells[encoder] = cells.get(encoder, 0.0) + num_waiting
        return Work([self._stages.work(key, seconds) for key, seconds in epochs.items() if seconds], cells, cell)

    def seconds(self, work: Work | None, room: Room) -> float | None:
        """Time the work that is left; go by the cells' pace where its seconds are unknown, and no stage waits."""
        if work is not None:
            return wall_seconds(work, room)
        if not all(self._occupancy.devices_of_stage(key) for key in self._stages.in_state(RUNNING)):
            return None
        waiting, pace = self._cells.waiting(), self._cells.per_hour
        num_left = self._cells.num_running + waiting.total() - waiting[FAILED]
        return None if pace is None else 3600 * num_left / pace

    def device_seconds(self, work: Work | None) -> float | None:
        """Return for how long the work that is left keeps devices."""
        if work is None:
            return None
        stages = sum(stage.seconds for stage in work.stages) * self._occupancy.devices_per_stage
        return stages + sum(work.cells.values()) * work.cell_seconds * self._occupancy.devices_per_cell

    def _epoch_seconds(self, key: str) -> float | None:
        """What an epoch of a stage takes: as in this run, else as expected."""
        here, seconds = self._stages.epochs_here(key), self._occupancy.stage_seconds(key)
        return seconds / here if here > 0 and seconds else self._expected.epoch_seconds.get(key)

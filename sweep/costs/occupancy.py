"""How long a run has kept devices busy, start-up, failures and running units included: what it costs.

In: when cells and stages take a worker and leave it, from a launcher. Out: device-seconds. A device is a GPU, or a CPU
process of ``compute.threads`` threads; a cell that shares a GPU takes its share of it. On Ray a cell counts from when
it is handed out, so that waits for a node that starts are in it; a stage counts while its workers have room. Not
thread-safe by itself.
"""

import time
from collections import deque
from dataclasses import dataclass, field

RECENT_WORKERS = 20  # whose pace tells what the next cell takes


@dataclass
class _Busy:
    """A worker that cells occupy from the first one's start to the last one's end."""

    started: float
    cells: set[str] = field(default_factory=set)
    num_ended: int = 0


class Occupancy:
    """Who holds a device now, and what all have held it for."""

    def __init__(self, devices_per_cell: float = 1.0, devices_per_stage: float = 1.0) -> None:
        self.devices_per_cell, self.devices_per_stage = devices_per_cell, devices_per_stage
        self._workers: dict[str, _Busy] = {}
        self._stages: dict[str, tuple[float, int]] = {}  # since when each holds how many devices
        self._ended_seconds = 0.0
        self._paces: deque[float] = deque(maxlen=RECENT_WORKERS)

    def cell_started(self, worker: str, cell_id: str) -> None:
        """Note that a worker has taken a cell, first or further."""
        self._workers.setdefault(worker, _Busy(time.monotonic())).cells.add(cell_id)

    def cell_ended(self, cell_id: str) -> None:
        """Note the end of a cell; its worker is free once all of its cells have ended."""
        self._leave(cell_id, num_ended=1)

    def cell_returned(self, cell_id: str) -> None:
        """Note that a cell leaves its worker without having ended: it says nothing of what a cell takes."""
        self._leave(cell_id, num_ended=0)

    def _leave(self, cell_id: str, num_ended: int) -> None:
        for worker, busy in list(self._workers.items()):
            if cell_id not in busy.cells:
                continue
            busy.cells.discard(cell_id)
            busy.num_ended += num_ended
            if not busy.cells:
                seconds = time.monotonic() - busy.started
                self._ended_seconds += seconds * self.devices_per_cell
                if busy.num_ended:
                    self._paces.append(seconds / busy.num_ended)
                del self._workers[worker]

    def stage_started(self, stage_id: str, num_devices: int = 1) -> None:
        """Note that a stage has taken its devices."""
        self._stages[stage_id] = time.monotonic(), num_devices

    def stage_ended(self, stage_id: str) -> None:
        """Note that a stage has left its devices, finished or not; or has none while it waits for others."""
        started, num_devices = self._stages.pop(stage_id, (0.0, 0))
        self._ended_seconds += (time.monotonic() - started) * num_devices

    def devices_of_stage(self, stage_id: str) -> int:
        """Return how many devices a stage holds now."""
        return self._stages.get(stage_id, (0.0, 0))[1]

    def stage_seconds(self, stage_id: str) -> float:
        """Return how long a stage has been running on its devices; 0 where it is not."""
        return time.monotonic() - self._stages[stage_id][0] if stage_id in self._stages else 0.0

    def device_seconds(self) -> float:
        """Return the device-seconds of everything so far."""
        now = time.monotonic()
        cells = sum(now - busy.started for busy in self._workers.values()) * self.devices_per_cell
        stages = sum((now - started) * num_devices for started, num_devices in self._stages.values())
        return self._ended_seconds + cells + stages

    def seconds_per_cell(self) -> float | None:
        """Return what a cell has taken of a worker lately, start-up included; None before the first has ended."""
        return sum(self._paces) / len(self._paces) if self._paces else None

    def cells_under_way(self, cell_seconds: float) -> float:
        """Return how many cells' work the busy workers have yet to do, if a cell takes so many seconds."""
        now = time.monotonic()
        left = (
            max(0.0, len(busy.cells) + busy.num_ended - (now - busy.started) / cell_seconds)
            for busy in self._workers.values()
        )
        return sum(left)

"""Whether a stage that trains on Ray has its workers, and how long it has waited for them.

In: a stage's files in the scratch folder. Out: to the scoreboard, on how many devices it trains; NoWorkersError once it
has waited for too long. It is charged for what it holds, never for waiting.
"""

import time
from collections.abc import Sequence
from pathlib import Path

from sweep.on_ray.dead_drivers import give_back
from sweep.on_ray.shares import (
    STAGE_START_SECONDS,
    NoWorkersError,
    Resources,
    node_words,
    wanted_words,
    workers_that_fit,
)
from sweep.plan import PlannedStage
from sweep.state.scoreboard import Scoreboard
from trainables.config import ComputeConfig
from trainables.results import is_there

KEPT_WAITING_SECONDS = 2 * STAGE_START_SECONDS  # without workers for longer than a start takes on busy cores


class StageWorkers:
    """The workers of one stage, as they come and go."""

    def __init__(self, stage: PlannedStage, board: Scoreboard, scratch: Path) -> None:
        self._stage, self._board, self._scratch = stage, board, scratch
        self._waits_since: float | None = None  # none while it has workers, or another experiment trains it

    def look(self) -> None:
        """Tell the scoreboard how many workers have their cores or GPUs now."""
        from trainables.ray_adapters import own_mark, workers_with_room

        stage_id = self._stage.stage_id
        if not is_there(own_mark(self._scratch, stage_id)):
            return
        num_workers = workers_with_room(self._scratch, stage_id)
        self._board.stage_holds_devices(self._stage, num_workers)
        if num_workers:
            self._waits_since = None
            return
        give_back(self._scratch.parent, self._scratch)  # of a driver that Ray did not call dead yet
        if self._waits_since is None:
            self._waits_since = time.monotonic()
        elif time.monotonic() - self._waits_since >= KEPT_WAITING_SECONDS:
            self._board.stage_kept_waiting(self._stage)

    def have_waited(self, beyond_seconds: float = 0.0) -> bool:
        """Whether they have waited for room for as long as a stage may, and this much longer."""
        most = 60 * self._stage.job.compute.worker_wait_minutes + beyond_seconds
        return self._waits_since is not None and time.monotonic() - self._waits_since >= most


def no_workers(compute: ComputeConfig, nodes: Sequence[Resources], gpus_per_worker: int) -> NoWorkersError:
    """Return the error that says what a stage wanted and what there is."""
    fitting = workers_that_fit(compute, nodes, gpus_per_worker)
    return NoWorkersError(
        f"no room for {wanted_words(compute, gpus_per_worker)} within {compute.worker_wait_minutes:g} minutes "
        f"(compute.worker_wait_minutes); the cluster has {node_words(nodes)}, room for {fitting} where nothing else "
        "runs; add nodes, or lower compute.pretraining_workers or compute.threads"
    )

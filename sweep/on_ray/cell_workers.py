"""Which of the cells that were handed to Ray run now, and how long none has found room.

In: the trials under way, and the workers' notes on them. Out: to the scoreboard, the cells that run; whether cells
have waited for too long while nothing of this run runs.
"""

import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from sweep.on_ray.shares import LaunchError, Resources, Shares, node_words
from sweep.state.scoreboard import Scoreboard
from trainables.config import ComputeConfig
from trainables.trial_notes import Notes, read_notes

LOOK_SECONDS = 1.0  # between two looks


class CellWorkers:
    """The workers of trials, as they come and go."""

    def __init__(self, board: Scoreboard, notes: Path, wait_minutes: float) -> None:
        self._board, self._notes, self._most_seconds = board, notes, 60 * wait_minutes
        self._looked = 0.0
        self._waits_since: float | None = None  # none while a cell or stage has room, or no cell asks for it

    def look(self, trial_ids: Collection[str]) -> Mapping[str, Notes]:
        """Tell the scoreboard which cells of these trials run now, and return what their workers have noted.

        Looks once in a while, however often it is called: at other times nothing is returned.
        """
        now = time.monotonic()
        if now - self._looked < LOOK_SECONDS:
            return {}
        self._looked = now
        notes = {trial_id: read_notes(self._notes / trial_id) for trial_id in trial_ids}
        self._board.cells_begun({cell_id for note in notes.values() for cell_id in (note.running, *note.ended)})
        if not notes or any(note.pid for note in notes.values()) or self._stage_has_room():
            self._waits_since = None
        elif self._waits_since is None:
            self._waits_since = now
        return notes

    def have_waited(self) -> bool:
        """Whether cells have waited for room for as long as they may; a stage that waits, too, ends by itself first."""
        if self._waits_since is None or time.monotonic() - self._waits_since < self._most_seconds:
            return False
        return not self._board.counts().stages_running

    def _stage_has_room(self) -> bool:
        return not all(stage.is_waiting for stage in self._board.counts().stages_running)


def no_room(compute: ComputeConfig, nodes: Sequence[Resources], shares: Shares) -> LaunchError:
    """Return the error that says what a cell wanted and what there is."""
    gpu = f" and {shares.gpus_per_cell:g} GPU" if shares.gpus_per_cell else ""
    return LaunchError(
        f"no room for a cell of {compute.threads} CPU{gpu} on one node within {compute.worker_wait_minutes:g} minutes "
        f"(compute.worker_wait_minutes); the cluster has {node_words(nodes)}; add nodes that can hold one, or lower "
        "compute.threads; the same command goes on from here"
    )

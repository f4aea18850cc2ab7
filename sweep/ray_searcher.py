"""How Ray Tune gets its trials: batches of cells from our grid instead of samples from a search space.

A trial must last longer than a worker process takes to start. Tune gives a finished trial's worker to the next
waiting trial and cancels the worker that was starting for it, so with shorter trials new workers never come up
(measured: cells of 3.5 s ran one after another on two free cores). Short cells therefore go out several to a trial;
each is committed alone.

In: a Scoreboard and how many cells may run beside the stages still to come. Out: one cell per trial, as soon as its
encoder exists.
"""

import math
import threading
from collections.abc import Callable
from typing import Any

from ray.tune.search import Searcher

from sweep.plan import PlannedCell
from sweep.scoreboard import Scoreboard
from trainables.results import clear_failure, failure_reason, is_finished, record_failure

OUT_OF_MEMORY = ("OutOfMemoryError", "MemoryError", "RuntimeError: [enforce fail at alloc_cpu")
"""How reasons begin that say so: torch's for a GPU, Python's, and torch's for a CPU."""

TRIAL_SECONDS = 20.0
"""How long a trial should last: several times what a worker with torch takes to start (4 to 10 s)."""


class CellSearcher(Searcher):
    """Cells in the plan's order, each once its encoder exists.

    A cell that runs out of memory beside others is given back, and ``is_out_of_memory`` ends the search: what is left
    is for a searcher of fewer at once. One that ``is_alone`` on its device has failed.
    """

    def __init__(
        self, board: Scoreboard, cells_allowed: Callable[[int], int], stop: threading.Event, is_alone: bool = False
    ) -> None:
        super().__init__()
        self.is_out_of_memory = False
        self._is_alone = is_alone
        self._stop = stop
        self._board = board
        self._cells_allowed = cells_allowed
        self._running: dict[str, list[PlannedCell]] = {}
        self._cell_seconds = TRIAL_SECONDS

    def set_search_properties(self, metric: Any, mode: Any, config: Any, **spec: Any) -> bool:
        """Accept that there is no metric to search by."""
        return True

    def suggest(self, trial_id: str) -> Any:
        """Return the next cell, None while none can start, or FINISHED."""
        board = self._board
        if self._stop.is_set() or self.is_out_of_memory or not board.cells_pending():
            return Searcher.FINISHED
        allowed = self._cells_allowed(board.stages_pending())
        if len(self._running) >= allowed:
            return None
        fair_share = math.ceil(board.cells_ready() / allowed)
        wanted = min(math.ceil(TRIAL_SECONDS / self._cell_seconds), fair_share)
        cells = board.take_cells(wanted, trial_id)
        if not cells:
            return None
        self._running[trial_id] = cells
        return {"cells": [cell.job.model_dump(mode="json") for cell in cells]}

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        """Record how the trial's cells ended; what counts is whether their rows exist."""
        if result and result.get("cell_seconds"):
            self._cell_seconds = max(float(result["cell_seconds"]), 0.01)
        for cell in self._running.pop(trial_id, []):
            finished = is_finished(cell.job.results, cell.job.cell_id)
            if error and not finished:
                lost = RuntimeError("its worker process died and was not started again; memory is the usual cause")
                record_failure(cell.job.results, cell.job.failure(lost))
            reason = "" if finished else failure_reason(cell.job.results, cell.job.cell_id)
            if reason.startswith(OUT_OF_MEMORY) and not self._is_alone:
                self.is_out_of_memory = True
                clear_failure(cell.job.results, cell.job.cell_id)
                self._board.cell_returned(cell)
                continue
            self._board.cell_ended(cell, finished, reason)

    def __getstate__(self) -> dict[str, Any]:
        """Nothing is kept: Tune pickles its searcher, but the results folder is the state."""
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Nothing is kept."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing is restored: the next run plans what is missing."""

"""How Ray Tune gets its trials: finished cells from our grid instead of samples from a search space.

In: a Scoreboard and how many cells may run beside the stages still to come. Out: one cell per trial, as soon as its
encoder exists.
"""

import threading
from collections.abc import Callable
from typing import Any

from ray.tune.search import Searcher

from sweep.plan import PlannedCell
from sweep.scoreboard import Scoreboard
from trainables.results import is_finished, record_failure


class CellSearcher(Searcher):
    """Cells in the plan's order, each once its encoder exists."""

    def __init__(self, board: Scoreboard, cells_allowed: Callable[[int], int], stop: threading.Event) -> None:
        super().__init__()
        self._stop = stop
        self._board = board
        self._cells_allowed = cells_allowed
        self._running: dict[str, PlannedCell] = {}

    def set_search_properties(self, metric: Any, mode: Any, config: Any, **spec: Any) -> bool:
        """Accept that there is no metric to search by."""
        return True

    def suggest(self, trial_id: str) -> Any:
        """Return the next cell, None while none can start, or FINISHED."""
        board = self._board
        if self._stop.is_set() or not board.cells_pending():
            return Searcher.FINISHED
        if board.cells_running() >= self._cells_allowed(board.stages_pending()):
            return None
        cell = board.take_cell()
        if cell is None:
            return None
        self._running[trial_id] = cell
        return {"cell": cell.job.model_dump(mode="json")}

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        """Record how a cell ended; what counts is whether its row exists."""
        cell = self._running.pop(trial_id, None)
        if cell is None:
            return
        finished = is_finished(cell.job.results, cell.job.cell_id)
        if error and not finished:
            lost = RuntimeError(
                "its worker process died and it was not retried again; out of memory is the usual cause"
            )
            record_failure(cell.job.results, cell.job.failure(lost))
        self._board.cell_ended(cell, succeeded=finished)

    def __getstate__(self) -> dict[str, Any]:
        """Nothing is kept: Tune pickles its searcher, but the results folder is the state."""
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Nothing is kept."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing is restored: the next run plans what is missing."""

"""How Ray Tune gets its trials: batches of cells from our grid instead of samples from a search space.

Short cells go out several to a trial; each is committed alone. Tune itself repeats no trial: of one that broke, the
cell that was running has failed, and the others are handed out again.

In: a Scoreboard, how many cells may run beside the stages still to come, and a folder for the workers' notes. Out:
cells for each trial, as soon as their encoders exist.
"""

import threading
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from ray import cloudpickle
from ray.exceptions import OutOfMemoryError
from ray.tune import Callback
from ray.tune.experiment import Trial
from ray.tune.search import Searcher

from sweep.on_ray.cell_workers import CellWorkers
from sweep.on_ray.shares import NoWorkersError
from sweep.on_ray.trial_errors import TrialError, explained, pids_killed_for_memory
from sweep.on_ray.trial_sizes import TrialSizes
from sweep.plan import PlannedCell
from sweep.state.scoreboard import Scoreboard
from trainables.failures import is_out_of_memory
from trainables.results import clear_failure, failure_reason, is_finished, record_failure
from trainables.trial_notes import Notes, read_notes


class CellSearcher(Searcher):
    """Cells in the plan's order, each once its encoder exists.

    A cell that runs out of memory beside others is given back, and ``is_out_of_memory`` ends the search: what is left
    is for a searcher of fewer at once. One that ``is_alone`` on its device has failed. ``full_disk`` is the error of a
    worker that found no room, which ends the search, too.
    """

    def __init__(
        self,
        board: Scoreboard,
        cells_allowed: Callable[[int], int],
        stop: threading.Event,
        notes: Path,
        is_alone: bool = False,
    ) -> None:
        super().__init__()
        self.is_out_of_memory = False
        self.full_disk: BaseException | None = None
        self._is_alone = is_alone
        self._stop = stop
        self._board = board
        self._cells_allowed = cells_allowed
        self._notes = notes
        self._running: dict[str, list[PlannedCell]] = {}
        self._sizes = TrialSizes()
        self._has_idle_worker = False

    def set_search_properties(self, metric: Any, mode: Any, config: Any, **spec: Any) -> bool:
        """Accept that there is no metric to search by."""
        return True

    def suggest(self, trial_id: str) -> Any:
        """Return the next cells, None while none can start, or FINISHED."""
        board = self._board
        if self._stop.is_set() or self.is_out_of_memory or self.full_disk:
            return Searcher.FINISHED
        if not board.cells_pending() and not (self._running and not board.is_over()):  # one that runs may come back
            return Searcher.FINISHED
        if board.idle_should_make_room():  # Tune keeps a worker for the next trial until its search has ended
            return Searcher.FINISHED
        allowed = self._cells_allowed(board.stages_pending())
        if len(self._running) >= allowed:
            return Searcher.FINISHED if self._last_should_make_room(allowed) else None
        cells = board.take_cells(self._sizes.next_size(board.cells_ready(), allowed), trial_id)
        if not cells:
            self._sizes.workers_may_have_gone()
            return None
        self._running[trial_id] = cells
        self._has_idle_worker = False
        return {"cells": [cell.job.model_dump(mode="json") for cell in cells], "notes": str(self._notes / trial_id)}

    def _last_should_make_room(self, allowed: int) -> bool:
        """Whether the last workers of cells must go at once to make room for a stage that is kept waiting.

        Of several that run, each that ends goes but for one that Tune keeps; waiting for the second costs less than to
        start all anew. Of the last one, no second follows.
        """
        if not self._board.is_stage_kept_waiting():
            return False
        self._sizes.workers_may_have_gone()
        num_running = len(self._running)
        return num_running <= 1 and (num_running > allowed or self._has_idle_worker)

    @property
    def trial_ids(self) -> list[str]:
        """The trials under way, whether or not they have workers."""
        return list(self._running)

    def settle_finished(self, trial_id: str, ended: Collection[str]) -> None:
        """Record the finished cells of a trial under way; those that have failed are settled with the trial."""
        cells = self._running[trial_id]
        self._running[trial_id] = []
        for cell in cells:
            if cell.job.cell_id in ended and is_finished(cell.job.results, cell.job.cell_id):
                self._board.cell_ended(cell, succeeded=True)
            else:
                self._running[trial_id].append(cell)

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        """Record how the trial's cells ended; what counts is whether their rows exist.

        What broke a trial Tune tells its callbacks, not its searcher: ``trial_broke`` follows.
        """
        if error:
            return
        if result and result.get("cell_seconds"):
            notes = read_notes(self._notes / trial_id)
            self._sizes.trial_ended(float(result["cell_seconds"]), notes.host, notes.pid)
        self._has_idle_worker = True
        for cell in self._running.pop(trial_id, []):
            self._settle(cell)
        (self._notes / trial_id).unlink(missing_ok=True)

    def trial_broke(self, trial_id: str, error: BaseException) -> None:
        """Record how the cells of a trial ended that Ray reports an error of."""
        notes = read_notes(self._notes / trial_id)
        found = explained(error, notes)
        if found.is_full_disk:
            self.full_disk = found.error
        self._broke(trial_id, notes, None if found.is_full_disk or found.is_spent_worker else found)

    def memory_ran_out(self, error: OutOfMemoryError) -> None:
        """Record what a kill by Ray's memory monitor ended: Tune knows of no such error, and stops all of its trials.

        Beside others no cell is at fault. Alone it is the one whose worker was killed; if that cannot be told, each.
        """
        killed = pids_killed_for_memory(error)
        notes = {trial_id: read_notes(self._notes / trial_id) for trial_id in self._running}
        found = TrialError(error, str(error))
        is_told = any(note.pid in killed for note in notes.values())
        for trial_id, note in notes.items():
            self._broke(trial_id, note, found if note.pid in killed or not is_told else None)
        self.is_out_of_memory = not self._is_alone

    def _broke(self, trial_id: str, notes: Notes, found: TrialError | None) -> None:
        """Settle cells that had ended, give back those that never ran, and record ``found`` of the one between."""
        self._sizes.workers_may_have_gone()
        left: list[PlannedCell] = []
        for cell in self._running.pop(trial_id, []):
            if cell.job.cell_id in notes.ended or is_finished(cell.job.results, cell.job.cell_id):
                self._settle(cell)
            else:
                left.append(cell)
        running = next((cell for cell in left if cell.job.cell_id == notes.running), left[0] if left else None)
        for cell in reversed(left):
            if found is None or cell is not running:
                self._board.cell_returned(cell)
        if found and running:
            self._failed(running, found)

    def _failed(self, cell: PlannedCell, found: TrialError) -> None:
        failure = cell.job.failure(found.error, found.story)
        if found.is_lost_node and self._board.cell_lost(cell):
            return
        record_failure(cell.job.results, failure)
        self._settle(cell)

    def _settle(self, cell: PlannedCell) -> None:
        """Tell the scoreboard how a cell ended, from what the results folder holds of it."""
        if is_finished(cell.job.results, cell.job.cell_id):
            self._board.cell_ended(cell, succeeded=True)
            return
        reason = failure_reason(cell.job.results, cell.job.cell_id)
        if is_out_of_memory(reason) and not self._is_alone:
            self.is_out_of_memory = True
            clear_failure(cell.job.results, cell.job.cell_id)
            self._board.cell_returned(cell)
            return
        self._board.cell_failed(cell, reason)

    def __getstate__(self) -> dict[str, Any]:
        """Nothing is kept: Tune pickles its searcher, but the results folder is the state."""
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Nothing is kept."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing is restored: the next run plans what is missing."""


class TrialEvents(Callback):
    """Tells the searcher what Tune tells its callbacks alone: what broke a trial, and that time passes."""

    def __init__(self, searcher: CellSearcher, workers: CellWorkers) -> None:
        self._searcher: CellSearcher | None = searcher
        self._workers: CellWorkers | None = workers

    def on_step_end(self, iteration: int, trials: list[Trial], **_: Any) -> None:
        """Look at the workers. Raises NoWorkersError, which ends the Tuner, where none has come for too long."""
        assert self._searcher is not None
        assert self._workers is not None
        for trial_id, notes in self._workers.look(self._searcher.trial_ids).items():
            self._searcher.settle_finished(trial_id, notes.ended)
        if self._workers.have_waited():
            raise NoWorkersError

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        """Hand the error on; Tune keeps it in a file beside the trial."""
        assert self._searcher is not None  # that of a copy which Tune pickles is never called
        self._searcher.trial_broke(trial.trial_id, _kept_error(trial))

    def __getstate__(self) -> dict[str, Any]:
        """Nothing is kept, as of the searcher."""
        return {"_searcher": None, "_workers": None}


def _kept_error(trial: Trial) -> BaseException:
    if path := trial.pickled_error_file:
        error: BaseException = cloudpickle.loads(Path(path).read_bytes())
        return error
    return RuntimeError(trial.get_error() or "Ray ended the trial without a reason")

"""Run the cells of a plan on Ray: under one Tuner, and under another with less at once where memory runs out.

In: a Plan and a Scoreboard, how the cluster is divided. Out: rows in the results folder, written by the workers.
"""

import errno
import functools
import shutil
import tempfile
import threading
from pathlib import Path

from sweep.costs.latest_run import note_room
from sweep.on_ray.cell_workers import CellWorkers, no_room
from sweep.on_ray.cluster import present_nodes
from sweep.on_ray.shares import LaunchError, NoWorkersError, Shares, cells_beside_waiting
from sweep.plan import Plan
from sweep.state.scoreboard import Scoreboard
from trainables.config import ComputeConfig
from trainables.failures import NO_SPACE, is_full_disk
from trainables.results import note_device_share

POLL_SECONDS = 0.5
FULL_BYTES = 2**16  # less is left of a disk: too little for a trial's files


def run_cells(
    plan: Plan, board: Scoreboard, shares: Shares, compute: ComputeConfig, scratch: Path, stop: threading.Event
) -> None:
    """Run all cells; less of them at once when their devices run out of memory."""
    packing = shares
    while board.cells_pending() and not stop.is_set():
        if not _run_packed(board, packing, compute, scratch, stop):
            _await_cells(board, stop)
            continue
        less = packing.less_packed()
        assert less is not None  # cells that are alone already fail for good
        packing = less
        board.room = packing.room
        board.occupancy.devices_per_cell = packing.gpus_per_cell or 1.0
        note_device_share(plan.cells[0].job.results, board.occupancy.devices_per_cell)
        note_room(plan.cells[0].job.results, board.room)
        board.packing_reduced(packing.words)


def _await_cells(board: Scoreboard, stop: threading.Event) -> None:
    """Wait, without a worker, until a cell can start or none will: a stage needed the room of an idle one."""
    while board.cells_pending() and not board.cells_ready() and not stop.wait(POLL_SECONDS):
        pass


def _run_packed(
    board: Scoreboard, shares: Shares, compute: ComputeConfig, scratch: Path, stop: threading.Event
) -> bool:
    """Run cells until none is left, or until one ran out of memory beside others: then return True.

    Raises OSError where a disk is full, LaunchError where Ray cannot go on or has no room for a cell.
    """
    from ray import tune
    from ray.exceptions import OutOfMemoryError, RayError

    from sweep.on_ray.searcher import CellSearcher, TrialEvents
    from trainables.ray_adapters import finetune_trial

    folder = Path(tempfile.mkdtemp(prefix="cells-", dir=scratch))
    allowed = functools.partial(_cells_allowed, board, shares, compute)
    searcher = CellSearcher(board, allowed, stop, folder, is_alone=shares.less_packed() is None)
    workers = CellWorkers(board, folder, compute.worker_wait_minutes)
    tuner = tune.Tuner(
        tune.with_resources(finetune_trial, {"cpu": compute.threads, "gpu": shares.gpus_per_cell}),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            num_samples=-1,  # the searcher says when it is finished: cells that failed come back
            max_concurrent_trials=shares.slots,
            reuse_actors=True,  # a fresh process costs as much as a small cell
        ),
        run_config=tune.RunConfig(
            name="trials", storage_path=str(folder), verbose=0, callbacks=[TrialEvents(searcher, workers)]
        ),
    )
    try:
        tuner.fit()
    except Exception as error:
        if searcher.full_disk or _is_full(folder, error):
            raise searcher.full_disk or OSError(errno.ENOSPC, _last_line(error)) from error
        if isinstance(error, NoWorkersError):
            raise no_room(compute, present_nodes(), shares) from error
        if isinstance(error, RayError | tune.TuneError):
            raise LaunchError(f"Ray stopped the grid ({_last_line(error)}); the same command goes on") from error
        if not isinstance(error.__cause__, OutOfMemoryError):
            raise
        searcher.memory_ran_out(error.__cause__)
    if searcher.full_disk:
        raise searcher.full_disk
    return searcher.is_out_of_memory and not stop.is_set()


def _cells_allowed(board: Scoreboard, shares: Shares, compute: ComputeConfig, stages_pending: int) -> int:
    """Return how many cells may run: as the cluster was divided, less where a stage waits since nodes were lost."""
    if board.is_stage_kept_waiting():
        return cells_beside_waiting(compute, present_nodes(), shares, stages_pending)
    return shares.room.cells_allowed(stages_pending)


def _is_full(folder: Path, error: Exception) -> bool:
    """Whether the disk is full under Tune's own files, which then fail in many ways, often told as a traceback."""
    return NO_SPACE in str(error) or is_full_disk(error) or shutil.disk_usage(folder).free < FULL_BYTES


def _last_line(error: Exception) -> str:
    """Return what an error says: Tune's hold the text of a traceback, whose last line tells."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]

"""Run a plan on Ray: a TorchTrainer for each pretraining stage, one Tuner over the cells.

In: a Plan and a Scoreboard. Out: rows in the results folder, written by the workers. The plan decides what runs,
Ray where. Stages run in threads of the driver beside the Tuner, whose searcher hands out a cell as soon as its
encoder exists and leaves the resources of stages in training alone. Ray's own experiment state is scratch: what is
finished is what the results folder holds.
"""

import contextlib
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sweep.costs.latest_run import note_room
from sweep.on_ray.cells import run_cells
from sweep.on_ray.cluster import connected
from sweep.on_ray.dead_drivers import SCRATCH, give_back, note_driver
from sweep.on_ray.shares import LOCAL, cluster_address
from sweep.on_ray.stages import train_stages
from sweep.plan import Plan
from sweep.state.scoreboard import Scoreboard
from trainables.config import ComputeConfig
from trainables.results import note_device_share


def launch(plan: Plan, board: Scoreboard, compute: ComputeConfig) -> None:
    """Run everything that is missing. Raises KeyboardInterrupt after an orderly stop on a signal."""
    stop = threading.Event()
    with connected(compute) as shares, _scratch(plan) as scratch, _stopped_by_signals(stop):
        if cluster_address(compute) != LOCAL:  # which would end with its driver
            note_driver(scratch)
        give_back(scratch.parent, scratch)
        board.room = shares.room
        board.occupancy.devices_per_cell = shares.gpus_per_cell or 1.0
        board.occupancy.devices_per_stage = compute.pretraining_workers  # of those to come
        note_device_share(plan.cells[0].job.results, board.occupancy.devices_per_cell)
        note_room(plan.cells[0].job.results, board.room)
        errors: list[Exception] = []
        threads = [
            threading.Thread(target=train_stages, args=(board, shares, compute, scratch, stop, errors), daemon=True)
            for _ in range(min(shares.parallel_stages, len(plan.stages)))
        ]
        for thread in threads:
            thread.start()
        try:
            run_cells(plan, board, shares, compute, scratch, stop)
        finally:
            was_stopped = stop.is_set() or board.cells_pending() or board.cells_running()
            stop.set()
            for thread in threads:
                thread.join()
        if errors:
            raise errors[0]
        if was_stopped:
            raise KeyboardInterrupt


@contextlib.contextmanager
def _scratch(plan: Plan) -> Iterator[Path]:
    """A folder for Ray's own state, beside the results so that every node sees it; removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix=SCRATCH, dir=plan.cells[0].job.results))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _stopped_by_signals(stop: threading.Event) -> Iterator[None]:
    """Turn Ctrl-C, SIGTERM and a closing terminal into ``stop``, and into Tune's own orderly stop where trials run.

    Tune alone would look at a signal only between trials that exist, and not while it waits for the first encoder. A
    second signal raises KeyboardInterrupt at once.
    """

    def handle(*_: Any) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        if callable(signal.getsignal(signal.SIGUSR1)):  # Tune listens to it
            os.kill(os.getpid(), signal.SIGUSR1)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as nohup leaves it
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

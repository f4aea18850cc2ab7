"""Run a plan on Ray: a TorchTrainer for each pretraining stage, one Tuner over the cells.

In: a Plan and a Scoreboard. Out: rows in the results folder, written by the workers. The plan decides what runs,
Ray where. Stages run in threads of the driver beside the Tuner, whose searcher hands out a cell as soon as its
encoder exists and leaves the resources of stages in training alone. Ray's own experiment state is scratch: what is
finished is what the results folder holds.
"""

import contextlib
import errno
import functools
import logging
import os
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sweep.costs.device_shares import note_share
from sweep.costs.latest_run import note_room
from sweep.on_ray.cell_workers import CellWorkers, no_room
from sweep.on_ray.dead_drivers import SCRATCH, give_back, note_driver
from sweep.on_ray.shares import (
    LOCAL,
    LaunchError,
    NoWorkersError,
    Resources,
    Shares,
    cells_beside_waiting,
    cluster_address,
    divide,
)
from sweep.on_ray.stage_workers import StageWorkers, no_workers
from sweep.plan import Plan, PlannedStage
from sweep.state.attempts import StageAttempts
from sweep.state.scoreboard import Scoreboard
from trainables.config import ComputeConfig
from trainables.encoder_store import epochs_done
from trainables.failures import NO_SPACE, full_disk_behind, is_full_disk
from trainables.results import record_failure

ENVIRONMENT = {
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # would start every worker through uv
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",  # paces reports: 2 s otherwise
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",  # a worker without a GPU sees none
    "TUNE_FORCE_TRIAL_CLEANUP_S": "3",  # after Ctrl-C a running cell is abandoned, not waited for
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # ours sees Ctrl-C first
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # six files a trial
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",  # they stand in the failures table
    "RAY_AIR_NEW_OUTPUT": "0",  # the new output prints a table even when asked for silence
}
POLL_SECONDS = 0.5
GRACE_SECONDS = 60.0  # in which Ray, which starts to wait a little later, ends a stage itself
FULL_BYTES = 2**16  # less is left of a disk: too little for a trial's files


def launch(plan: Plan, board: Scoreboard, compute: ComputeConfig) -> None:
    """Run everything that is missing. Raises KeyboardInterrupt after an orderly stop on a signal."""
    stop = threading.Event()
    with _connected(compute) as shares, _scratch(plan) as scratch, _stopped_by_signals(stop):
        if cluster_address(compute) != LOCAL:  # which would end with its driver
            note_driver(scratch)
        give_back(scratch.parent, scratch)
        board.room = shares.room
        board.occupancy.devices_per_cell = shares.gpus_per_cell or 1.0
        board.occupancy.devices_per_stage = compute.pretraining_workers  # of those to come
        note_share(plan.cells[0].job.results, board.occupancy.devices_per_cell)
        note_room(plan.cells[0].job.results, board.room)
        errors: list[Exception] = []
        threads = [
            threading.Thread(target=_run_stages, args=(board, shares, compute, scratch, stop, errors), daemon=True)
            for _ in range(min(shares.parallel_stages, len(plan.stages)))
        ]
        for thread in threads:
            thread.start()
        try:
            _run_cells(plan, board, shares, compute, scratch, stop)
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
def _connected(compute: ComputeConfig) -> Iterator[Shares]:
    """Start Ray on this machine, or join a running cluster; yield how it is divided."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import ray

    import trainables.ray_adapters  # noqa: F401  # here, since Ray's modules cannot be imported by two threads at once

    address = cluster_address(compute)
    is_local = address == LOCAL
    options: dict[str, Any] = {"include_dashboard": False} if is_local else {"runtime_env": {"env_vars": ENVIRONMENT}}
    try:
        _reach(address)
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **options)
    except Exception as error:  # of a start that took too long, Ray raises no class of its own
        ray.shutdown()
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        if is_local:
            remedy = "run the command again on a less busy machine, or without Ray by --launcher serial"
            raise LaunchError(f"Ray did not start on this machine ({reason}); {remedy}") from error
        raise LaunchError(f"no Ray cluster at {address} ({reason}); start it, or unset RAY_ADDRESS") from error
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # what breaks there is ours to tell, in one line
    try:
        yield divide(compute, present_nodes(), is_fixed=is_local)
    finally:
        ray.shutdown()


def present_nodes() -> list[Resources]:
    """Return what each node of the cluster has, used or not."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _reach(address: str) -> None:
    """Raise OSError at once where nobody listens at host:port: Ray itself would try for many minutes."""
    host, colon, port = address.rpartition(":")
    if colon and port.isdigit() and "/" not in host:
        socket.create_connection((host, int(port)), timeout=10).close()


@contextlib.contextmanager
def _scratch(plan: Plan) -> Iterator[Path]:
    """A folder for Ray's own state, beside the results so that every node sees it; removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix=SCRATCH, dir=plan.cells[0].job.results))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run_stages(
    board: Scoreboard,
    shares: Shares,
    compute: ComputeConfig,
    scratch: Path,
    stop: threading.Event,
    errors: list[Exception],
) -> None:
    """Train stages one after another until none is left or ``stop`` is set."""
    while board.stages_pending() and not stop.is_set():
        stage = board.take_stage()
        if stage is None:
            time.sleep(POLL_SECONDS)
            continue
        try:
            if _train(stage, board, shares, compute, scratch, stop):
                board.stage_ended(stage, succeeded=True)
            else:
                board.stage_stopped(stage)
        except Exception as error:  # the boundary of a unit: recorded with its reason, never passed over
            try:
                _record(stage, board, error)
            except Exception as broken:  # such as a full disk: told by the main thread
                board.stage_stopped(stage)
                errors.append(broken)
                stop.set()
            _release(stage, scratch)


def _record(stage: PlannedStage, board: Scoreboard, error: Exception) -> None:
    """Record the failure of a stage. Raises OSError where the disk is full, which is no fault of the stage."""
    from sweep.on_ray.stage_errors import stage_error

    found = stage_error(error)
    if full_disk := full_disk_behind(found.error):
        raise full_disk
    failure = stage.job.failure(found.error, found.story)
    record_failure(stage.job.results, failure)
    board.stage_ended(stage, succeeded=False, reason=failure["reason"])


def _release(stage: PlannedStage, scratch: Path) -> None:
    """Give back the devices of a stage whose task was killed for good."""
    from trainables.ray_adapters import release

    release(scratch, stage.stage_id)


def _train(
    stage: PlannedStage, board: Scoreboard, shares: Shares, compute: ComputeConfig, scratch: Path, stop: threading.Event
) -> bool:
    """Train one stage in a Ray task, which starts the TorchTrainer; return False if the run was stopped first.

    A task can be cancelled when the run is stopped; a trainer started in a thread of the driver could not.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    from sweep.on_ray.stage_errors import is_started_again
    from trainables.ray_adapters import train_stage

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)  # not on a spot machine
    fewest = compute.min_pretraining_workers
    done = epochs_done(stage.job.encoders, stage.stage_id, stage.config.kept_epochs)
    attempts = StageAttempts(compute.max_retries, done, is_elastic=fewest is not None)
    task = ray.remote(num_cpus=0, max_retries=compute.max_retries, scheduling_strategy=here)(train_stage)
    reference = task.remote(
        stage.job.model_dump(mode="json"),
        str(scratch),
        num_workers=compute.pretraining_workers if fewest is None else (fewest, compute.pretraining_workers),
        gpus_per_worker=shares.gpus_per_worker,
        is_started_again=functools.partial(is_started_again, attempts),
    )
    workers = StageWorkers(stage, board, scratch)
    try:
        while not ray.wait([reference], timeout=POLL_SECONDS)[0]:
            workers.look()
            if stop.is_set() or board.is_over():
                ray.cancel(reference, force=True)
                return False
            if workers.have_waited(GRACE_SECONDS):
                raise no_workers(compute, present_nodes(), shares.gpus_per_worker)
    except BaseException:  # nobody waits for the task any more: it would train on
        ray.cancel(reference, force=True)
        raise
    try:
        ray.get(reference)
    except ray.exceptions.RayError as error:
        if workers.have_waited():
            raise no_workers(compute, present_nodes(), shares.gpus_per_worker) from error
        raise
    return True


def _run_cells(
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
        note_share(plan.cells[0].job.results, board.occupancy.devices_per_cell)
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

"""Stages on a small Ray cluster: two train at once, and one that finds no room ends and is charged nothing."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from sweep.exit_codes import DONE, ERROR, SOME_FAILED
from tests.chaos.processes import descendants, running, title
from trainables.results import finished_cells

pytestmark = [pytest.mark.ray, pytest.mark.slow]

ONE_STAGE = ["grid.arms=[byol-domain]", "report.reference_arm=byol-domain"]
STAGES = ("byol-domain", "byol-natural")
EPOCHS, LONG = 60, 200
NUM_SEEDS, STEPS = 16, 400  # cells of some seconds, together of more than a minute on one core
PATIENCE_SECONDS = 400.0  # on a machine that others keep busy, too
TWO_STAGES = ["grid.arms=[byol-domain, byol-natural]", "report.reference_arm=byol-domain"]
FEW_CELLS = ["grid.label_counts=[2]", "grid.intermediate_label_counts=null", "grid.subset_seeds=[0]"]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A cluster of two nodes of two cores each."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    cluster.add_node(num_cpus=2)
    try:
        yield cluster.address
    finally:
        cluster.shutdown()


def started(
    results: Path, cache: Path, address: str, *arguments: str
) -> "contextlib.AbstractContextManager[subprocess.Popen[str]]":
    """Start the smoke preset on the cluster."""
    program = [sys.executable, "-m", "sweep.data_efficiency", "--preset", "smoke", "--results", str(results)]
    log = ["--log-json", str(log_of(results))]
    command = [*program, *log, f"compute.cache={cache}", "compute.device=cpu", *FEW_CELLS, *arguments]
    return running(command, {**os.environ, "RAY_ADDRESS": address})


def ended(results: Path, cache: Path, address: str, *arguments: str) -> tuple[int, str]:
    """Run it to its end, and return its exit code and what it said."""
    with started(results, cache, address, *arguments) as process:
        _, said = process.communicate(timeout=PATIENCE_SECONDS)
    return process.returncode, said


def log_of(results: Path) -> Path:
    return results.with_suffix(".jsonl")


def events(log: Path) -> list[dict[str, Any]]:
    whole, _, _ = log.read_text().rpartition("\n")
    return [json.loads(line) for line in whole.splitlines()]


def number_of(results: Path, event: str) -> int:
    """How many units a run that goes on has told of, all of which succeeded."""
    told = [each for each in events(log_of(results)) if each["event"] == event]
    assert all(each["succeeded"] for each in told), told
    return len(told)


def test_workers_that_no_node_can_hold_are_refused_at_once(tmp_path: Path, cache: Path, address: str) -> None:
    """Two workers of three cores would find six among all nodes' eight, and no node has more than two."""
    workers = ["compute.threads=2", "compute.pretraining_workers=3", "stages.byol-domain.batch_size=12"]
    code, said = ended(tmp_path / "results", cache, address, *ONE_STAGE, *workers)
    assert code == ERROR
    expected = "a pretraining stage needs 3 workers of 2 CPU each, and the cluster (2 nodes of 2 CPU) has room for 2"
    assert expected in said
    assert "Traceback" not in said


@pytest.mark.parametrize("fewest", [6, 5])
def test_a_stage_that_waits_for_a_cluster_to_grow_ends_with_what_it_wanted_and_is_charged_nothing(
    tmp_path: Path, cache: Path, address: str, fewest: int
) -> None:
    waiting = ["compute.slots=8", "compute.worker_wait_minutes=0.1", "stages.byol-domain.batch_size=30"]
    workers = ["compute.pretraining_workers=6", f"compute.min_pretraining_workers={fewest}"]
    results = tmp_path / "results"
    code, said = ended(results, cache, address, *ONE_STAGE, *waiting, *workers)
    log = log_of(results)
    assert code == SOME_FAILED, said
    (reason,) = [event["reason"] for event in events(log) if event["event"] == "stage_ended"]
    wanted = "6 workers" if fewest == 6 else "5 to 6 workers"
    assert f"no room for {wanted} of 1 CPU each within 0.1 minutes (compute.worker_wait_minutes)" in reason
    assert "the cluster has 2 nodes of 2 CPU, room for 4 where nothing else runs; add nodes" in reason
    assert max(event["device_seconds"] for event in events(log) if event["event"] == "progress") == 0
    assert "Traceback" not in said


def test_cells_that_no_node_can_hold_end_the_run_and_the_same_results_go_on(
    tmp_path: Path, cache: Path, address: str
) -> None:
    results = tmp_path / "results"
    cells = ["grid.arms=[random]", "report.reference_arm=random", "compute.slots=2"]
    code, said = ended(results, cache, address, *cells, "compute.threads=3", "compute.worker_wait_minutes=0.1")
    assert code == ERROR
    assert "error: no room for a cell of 3 CPU on one node within 0.1 minutes (compute.worker_wait_minutes)" in said
    assert "the cluster has 2 nodes of 2 CPU; add nodes" in said
    assert "Traceback" not in said
    assert [event["exit_code"] for event in events(log_of(results)) if event["event"] == "run_ended"] == [ERROR]
    assert not list(results.glob(".ray-*"))
    code, said = ended(results, cache, address, *cells)
    assert code == DONE, said


def test_two_stages_train_at_once_where_there_is_room(tmp_path: Path, cache: Path, address: str) -> None:
    results = tmp_path / "results"
    stages = [f"stages.{name}.{key}" for name in STAGES for key in (f"epochs={EPOCHS}", f"milestones=[{EPOCHS}]")]
    written: dict[str, list[float]] = {}  # when each stage's rows were
    with started(results, cache, address, *TWO_STAGES, *stages) as process:
        while process.poll() is None:
            for path in (results / "pretraining").glob("*.parquet"):
                written.setdefault(path.name, []).append(path.stat().st_mtime)
            time.sleep(0.05)
        _, said = process.communicate()
    assert process.returncode == DONE, said
    rows = pd.read_parquet(results / "pretraining")
    assert rows.groupby("stage").epoch.max().to_dict() == dict.fromkeys(STAGES, EPOCHS)
    first, second = written.values()
    assert max(min(first), min(second)) < min(max(first), max(second))  # the spans of their epochs overlap


def test_a_stage_that_loses_its_node_takes_the_room_of_an_idle_worker_of_cells(tmp_path: Path, cache: Path) -> None:
    """Tune keeps the worker of the only cell for those that the stage is trained for: it has the last core."""
    results = tmp_path / "results"
    with without_the_stages_node(results, cache) as process:
        _, said = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == DONE, said
    assert len(finished_cells(results)) == 2


def test_a_stage_that_loses_its_node_does_not_wait_for_all_cells_that_are_ready(tmp_path: Path, cache: Path) -> None:
    """They have the last core, and enough to do there for longer than a stage waits before it takes their room."""
    results = tmp_path / "results"
    cells = [
        f"grid.subset_seeds={list(range(NUM_SEEDS))}",
        f"finetune.steps={STEPS}",
        f"finetune.evaluate_every={STEPS}",
    ]
    with without_the_stages_node(results, cache, *cells) as process:
        wait_until(process, lambda: number_of(results, "stage_ended") == 1)
        num_ended = number_of(results, "cell_ended")
        assert num_ended < NUM_SEEDS  # of those that could start without the stage
        wait_until(process, lambda: number_of(results, "cell_ended") > num_ended)


def wait_until(process: subprocess.Popen[str], condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.05)


@contextlib.contextmanager
def without_the_stages_node(results: Path, cache: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run a stage and cells on a node each, and lose the stage's, which nothing replaces, once a cell has ended."""
    from ray.cluster_utils import Cluster

    grid = ["grid.arms=[random, byol-domain]", "report.reference_arm=random", "compute.worker_wait_minutes=2"]
    stage = [f"stages.byol-domain.{key}" for key in (f"epochs={LONG}", f"milestones=[{LONG}]")]
    settings = [*grid, *stage, "compute.checkpoint_share=1", *arguments]
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
        with started(results, cache, cluster.address, *settings) as process:
            wait_until(process, lambda: bool(finished_cells(results)) and any(results.glob("pretraining/*.parquet")))
            (lost,) = [node for node in nodes if runs_a_stage(node)]
            cluster.remove_node(lost, allow_graceful=False)
            yield process
    finally:
        cluster.shutdown()


def runs_a_stage(node: Any) -> bool:
    raylet = node.all_processes["raylet"][0].process.pid
    return any("RayTrainWorker" in title(pid) for pid in descendants(raylet))

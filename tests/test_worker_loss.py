"""A stage whose worker or node dies goes on from its last epoch, and ends with the encoder of an undisturbed run."""

import io
import itertools
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from tests.chaos.processes import descendants, running, title

pytestmark = [pytest.mark.ray, pytest.mark.slow]

EPOCHS = 12
PATIENCE_SECONDS = 400.0  # on a machine that others keep busy, too
STAGE = [
    "grid.arms=[byol-domain]",
    "report.reference_arm=byol-domain",
    "grid.label_counts=[2]",
    "grid.subset_seeds=[0]",
]
STAGE += [f"stages.byol-domain.epochs={EPOCHS}", f"stages.byol-domain.milestones=[{EPOCHS}]"]
STAGE += ["stages.byol-domain.optimizer=sgd", "stages.byol-domain.learning_rate=0.01"]  # Adam would blow up rounding
STAGE += ["compute.pretraining_workers=2", "compute.max_retries=3"]
ALONE_SECONDS = 90.0  # of a stage on one worker: Ray looks for more room a minute after it has started one
LARGE = ["model.width=32", "stages.byol-domain.batch_size=64"]  # so that two workers compute more than they exchange


def command(results: Path, cache: Path, *arguments: str) -> list[str]:
    program = [sys.executable, "-m", "sweep.data_efficiency", "--preset", "smoke", "--results", str(results)]
    return [*program, f"compute.cache={cache}", "compute.device=cpu", "compute.checkpoint_share=1", *STAGE, *arguments]


def encoder(results: Path) -> dict[str, torch.Tensor]:
    (path,) = results.glob(f"encoders/*/epoch-{EPOCHS:04d}.safetensors")
    return load_file(path)


def epochs(results: Path) -> pd.DataFrame:
    return pd.read_parquet(results / "pretraining").sort_values("epoch").reset_index(drop=True)


def until(condition: Callable[[], bool], process: subprocess.Popen[str], seconds: float = PATIENCE_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.05)


def rows_so_far(results: Path) -> pd.DataFrame:
    """The stage's epochs, of a file that is replaced meanwhile; none before it has begun."""
    paths = list(results.glob("pretraining/*.parquet"))
    return pd.read_parquet(io.BytesIO(paths[0].read_bytes())) if paths else pd.DataFrame()


def epochs_begun(results: Path) -> int:
    return len(rows_so_far(results))


def latest_num_workers(results: Path) -> int:
    rows = rows_so_far(results)
    return 0 if rows.empty else int(rows.sort_values("epoch")["num_workers"].iloc[-1])


def processes_of(driver: int, part: str) -> list[int]:
    """The processes below a driver on its own machine whose titles have this part."""
    return [pid for pid in descendants(driver) if part in title(pid)]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    """A run with two workers that nothing happens to."""
    results = tmp_path_factory.mktemp("undisturbed") / "results"
    done = subprocess.run(command(results, cache), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return results


@pytest.mark.parametrize("part", ["RayTrainWorker", "ray::train_stage"])
def test_a_killed_process_of_a_stage_costs_an_epoch_and_not_the_result(
    undisturbed: Path, tmp_path: Path, cache: Path, part: str
) -> None:
    """The second one's children hold the machine's cores, and must give them back."""
    results = tmp_path / "results"
    with running(command(results, cache)) as process:
        until(lambda: epochs_begun(results) >= 3, process)
        victims = processes_of(process.pid, part)
        assert victims
        assert epochs_begun(results) < EPOCHS
        os.kill(victims[-1], signal.SIGKILL)
        _, said = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0, said
    assert_equal(results, undisturbed)


def assert_equal(results: Path, undisturbed: Path) -> None:
    assert epochs(results)["epoch"].tolist() == list(range(1, EPOCHS + 1))
    assert epochs(results)["loss"].tolist() == epochs(undisturbed)["loss"].tolist()
    expected = encoder(undisturbed)
    assert all(torch.equal(value, expected[key]) for key, value in encoder(results).items())


def test_a_worker_killed_after_further_epochs_costs_a_stage_no_try(
    undisturbed: Path, tmp_path: Path, cache: Path
) -> None:
    """With Ray's own counters it failed at the second."""
    results = tmp_path / "results"
    killed: set[int] = set()
    with running(command(results, cache, "compute.max_retries=1")) as process:
        for _ in range(2):
            least = epochs_begun(results) + 2
            until(lambda least=least: epochs_begun(results) >= least, process)  # type: ignore[misc]
            (*_, victim) = set(processes_of(process.pid, "RayTrainWorker")) - killed
            assert epochs_begun(results) < EPOCHS
            os.kill(victim, signal.SIGKILL)
            killed.add(victim)
        _, said = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0, said
    assert_equal(results, undisturbed)


@pytest.mark.parametrize("goes_on_with", [2, 1])
def test_a_stage_survives_the_loss_of_a_node(undisturbed: Path, tmp_path: Path, cache: Path, goes_on_with: int) -> None:
    """Either a new node takes the lost one's place, or the stage goes on with the worker that is left."""
    from ray.cluster_utils import Cluster

    results = tmp_path / "results"
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        cluster.add_node(num_cpus=1)
        lost = cluster.add_node(num_cpus=1)
        environment = {**os.environ, "RAY_ADDRESS": cluster.address}
        elastic = [f"compute.min_pretraining_workers={goes_on_with}"]
        with running(command(results, cache, *elastic), environment) as process:
            until(lambda: epochs_begun(results) >= 3, process)
            assert epochs_begun(results) < EPOCHS
            cluster.remove_node(lost, allow_graceful=False)
            if goes_on_with == 2:
                cluster.add_node(num_cpus=1)
            _, said = process.communicate(timeout=PATIENCE_SECONDS)
    finally:
        cluster.shutdown()
    assert process.returncode == 0, said
    rows = epochs(results)
    assert rows["epoch"].tolist() == list(range(1, EPOCHS + 1))
    assert rows["num_workers"].iloc[0] == 2
    assert rows["num_workers"].iloc[-1] == goes_on_with
    losses, expected = rows["loss"].tolist(), epochs(undisturbed)["loss"].tolist()
    if goes_on_with == 2:
        assert losses == pytest.approx(expected, abs=1e-6)
        return
    # One worker rounds sums in another order than two: a difference of 1e-7 in its first epoch, which training then
    # multiplies, by 5 to 200 in the next. A wrong share, schedule or momentum would show in the steps of the first.
    alone = rows["num_workers"].tolist().index(1)
    assert losses[: alone + 1] == pytest.approx(expected[: alone + 1], abs=1e-6)
    assert losses[: alone + 2] == pytest.approx(expected[: alone + 2], abs=1e-4)
    assert losses == pytest.approx(expected, abs=1e-2)


def num_epochs_alone(results: Path, cache: Path, seconds: float) -> int:
    """How many epochs take one worker so long on this machine, by the fastest of a few."""
    alone = command(results, cache, "--launcher", "serial", "compute.pretraining_workers=1", *LARGE)
    subprocess.run(alone, check=True, capture_output=True)
    return math.ceil(seconds / epochs(results)["seconds"].min())


def test_a_stage_that_goes_on_with_fewer_workers_grows_back_once_a_node_comes(tmp_path: Path, cache: Path) -> None:
    from ray.cluster_utils import Cluster

    results = tmp_path / "results"
    last = num_epochs_alone(tmp_path / "alone", cache, ALONE_SECONDS)
    settings = [f"stages.byol-domain.epochs={last}", f"stages.byol-domain.milestones=[{last}]"]
    settings += ["compute.min_pretraining_workers=1", *LARGE]
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        cluster.add_node(num_cpus=1)
        lost = cluster.add_node(num_cpus=1)
        environment = {**os.environ, "RAY_ADDRESS": cluster.address}
        with running(command(results, cache, *settings), environment) as process:
            until(lambda: epochs_begun(results) >= 3, process)
            cluster.remove_node(lost, allow_graceful=False)
            until(lambda: latest_num_workers(results) == 1, process)
            cluster.add_node(num_cpus=1)
            until(lambda: latest_num_workers(results) == 2, process)
            _, said = process.communicate(timeout=PATIENCE_SECONDS)
    finally:
        cluster.shutdown()
    assert process.returncode == 0, said
    rows = epochs(results)
    assert rows["epoch"].tolist() == list(range(1, last + 1))
    assert [num_workers for num_workers, _ in itertools.groupby(rows["num_workers"])] == [2, 1, 2]
    assert list(results.glob(f"encoders/*/epoch-{last:04d}.safetensors"))

"""Cells whose node dies are run again on another, and the tables are those of an undisturbed run."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from tests.chaos.processes import running
from tests.chaos.small_sweep import assert_same_numbers, command
from trainables.results import finished_cells, read_table

pytestmark = [pytest.mark.ray, pytest.mark.slow]

CELLS = ["grid.arms=[random]", "grid.subset_seeds=[0,1,2,3,4,5]"]  # twelve, none of which needs a stage
PATIENCE_SECONDS = 300.0


def test_cells_survive_the_loss_of_their_node(tmp_path: Path, cache: Path) -> None:
    from ray.cluster_utils import Cluster

    reference, results = tmp_path / "reference", tmp_path / "results"
    subprocess.run(command(reference, cache, "--launcher", "serial", *CELLS), check=True, capture_output=True)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        cluster.add_node(num_cpus=1)
        lost = cluster.add_node(num_cpus=1)
        environment = {**os.environ, "RAY_ADDRESS": cluster.address}
        with running(command(results, cache, *CELLS), environment) as process:
            deadline = time.monotonic() + PATIENCE_SECONDS
            while len(finished_cells(results)) < 2:
                assert process.poll() is None, process.communicate()[1]
                assert time.monotonic() < deadline, "no two cells were finished in time"
                time.sleep(0.05)
            assert len(finished_cells(results)) < 12
            cluster.remove_node(lost, allow_graceful=False)
            cluster.add_node(num_cpus=1)
            _, said = process.communicate(timeout=PATIENCE_SECONDS)
    finally:
        cluster.shutdown()
    assert process.returncode == 0, said
    assert len(finished_cells(results)) == 12
    assert read_table(results, "failures")[0].num_rows == 0
    assert_same_numbers(reference, results)

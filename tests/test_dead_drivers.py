"""What a killed driver leaves on a cluster that outlives it is given back by the next run, and nobody else's is."""

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sweep.exit_codes import DONE
from sweep.on_ray.dead_drivers import MARK, remove_abandoned_scratch
from tests.chaos.processes import running

PATIENCE_SECONDS = 400.0  # on a machine that others keep busy, too
ONE_STAGE = ["grid.arms=[byol-domain]", "report.reference_arm=byol-domain", "grid.label_counts=[2]"]
HOLDING = """
import sys, time
import ray
from ray.util.placement_group import placement_group
from sweep.data_efficiency import main
from trainables import ray_adapters

def hold(*_, **__):
    group = placement_group([{"CPU": 1}], lifetime="detached")  # which no end of a job gives back
    ray.get(group.ready())
    time.sleep(1000)

ray_adapters.train_stage = hold
sys.exit(main())
"""
"""A driver whose stage leaves a group as one is left that Ray serves after the driver's end."""


def test_of_a_killed_driver_on_a_cluster_its_mark_alone_is_kept(tmp_path: Path) -> None:
    for name in (".ray-here", ".ray-cluster"):
        (tmp_path / name / "cells-1").mkdir(parents=True)
        (tmp_path / name / "stage-1.own").touch()
    (tmp_path / ".ray-cluster" / MARK).write_text("{}")
    (tmp_path / "cells").mkdir()
    remove_abandoned_scratch(tmp_path)
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")}
    assert left == {".ray-cluster", f".ray-cluster/{MARK}", "cells"}


def groups(state: str) -> list[str]:
    """The ids of the cluster's placement groups in this state."""
    from ray.util.placement_group import placement_group_table

    return [key for key, group in placement_group_table().items() if group["state"] == state]


@pytest.fixture
def address() -> Iterator[str]:
    """A cluster of two cores that this process has joined, too."""
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    try:
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        yield cluster.address
    finally:
        ray.shutdown()
        cluster.shutdown()


@pytest.mark.ray
@pytest.mark.slow
def test_the_next_run_gives_back_what_a_killed_driver_left_and_nothing_of_a_living_one(
    tmp_path: Path, cache: Path, address: str
) -> None:
    import ray
    from ray.util.placement_group import placement_group

    results = tmp_path / "results"
    arguments = ["--preset", "smoke", "--results", str(results), f"compute.cache={cache}", *ONE_STAGE]
    environment = {**os.environ, "RAY_ADDRESS": address}
    with running([sys.executable, "-c", HOLDING, *arguments, "compute.device=cpu"], environment) as process:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not groups("CREATED"):
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < deadline, "the stage got no core"
            time.sleep(0.1)
        os.kill(process.pid, signal.SIGKILL)
    (killed,) = groups("CREATED")
    living = placement_group([{"CPU": 1}])  # of this process
    ray.get(living.ready())
    here = ray.get_runtime_context()
    mark = results / ".ray-living" / MARK
    mark.parent.mkdir()
    mark.write_text(json.dumps({"job_id": here.get_job_id(), "node_id": here.get_node_id()}))
    command = [sys.executable, "-m", "sweep.data_efficiency", *arguments, "compute.device=cpu"]
    with running(command, environment) as process:
        _, said = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == DONE, said
    assert killed not in groups("CREATED")
    assert living.id.hex() in groups("CREATED")
    assert list(results.glob(".ray-*")) == [mark.parent]

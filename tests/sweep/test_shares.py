"""How the cluster is divided, without starting it."""

import dataclasses

import pytest

from sweep.shares import LaunchError, divide
from trainables.config import ComputeConfig


def test_two_cores_run_one_stage_beside_one_cell_and_then_two_cells() -> None:
    shares = divide(ComputeConfig(), {"CPU": 2.0})
    assert shares.slots == 2
    assert shares.room.cells_allowed(stages_pending=5) == 1
    assert shares.room.cells_allowed(stages_pending=0) == 2


def test_one_core_pretrains_before_it_fine_tunes() -> None:
    shares = divide(ComputeConfig(), {"CPU": 1.0})
    assert shares.room.cells_allowed(stages_pending=1) == 0
    assert shares.room.cells_allowed(stages_pending=0) == 1


def test_cells_share_gpus_and_a_stage_takes_whole_ones() -> None:
    shares = divide(ComputeConfig(gpus_per_cell=0.25, pretraining_workers=2), {"CPU": 64.0, "GPU": 8.0})
    assert (shares.slots, shares.stage, shares.gpus_per_worker) == (32, 8, 1)
    assert shares.parallel_stages == 3
    assert shares.room.cells_allowed(stages_pending=1) == 24


def test_a_stage_that_may_go_on_with_fewer_workers_takes_what_there_is() -> None:
    elastic = ComputeConfig(gpus_per_cell=0.5, pretraining_workers=8, min_pretraining_workers=2)
    assert divide(elastic, {"CPU": 64.0, "GPU": 4.0}).stage == 8
    assert divide(elastic, {"CPU": 64.0, "GPU": 16.0}).stage == 16
    with pytest.raises(LaunchError, match="room for 2 cells at once and a pretraining stage needs 4"):
        divide(elastic, {"CPU": 64.0, "GPU": 1.0})


def test_gpus_are_left_alone_when_the_cpu_is_asked_for() -> None:
    assert divide(ComputeConfig(device="cpu", threads=4), {"CPU": 16.0, "GPU": 8.0}).slots == 4


@pytest.mark.parametrize(
    ("share", "slots", "stage"), [(0.6, 1, 1), (0.4, 2, 2), (0.35, 2, 2), (0.15, 6, 6), (1.0, 1, 1)]
)
def test_any_share_of_one_gpu_leaves_room_for_a_stage(share: float, slots: int, stage: int) -> None:
    shares = divide(ComputeConfig(gpus_per_cell=share), {"CPU": 16.0, "GPU": 1.0})
    assert (shares.slots, shares.stage) == (slots, stage)


def test_cells_on_gpus_need_cpus_too() -> None:
    assert divide(ComputeConfig(gpus_per_cell=0.25, threads=2), {"CPU": 12.0, "GPU": 8.0}).slots == 6


def test_slots_beyond_a_machine_that_cannot_grow_are_not_believed() -> None:
    assert divide(ComputeConfig(slots=8), {"CPU": 2.0}, is_fixed=True).slots == 2
    assert divide(ComputeConfig(slots=1), {"CPU": 2.0}, is_fixed=True).slots == 1


def test_a_stage_that_this_machine_can_never_hold_is_refused_whatever_slots_say() -> None:
    two_gpus = ComputeConfig(gpus_per_cell=0.25, slots=4, pretraining_workers=2)
    with pytest.raises(LaunchError, match="room for 4 cells at once and a pretraining stage needs 8"):
        divide(two_gpus, {"CPU": 16.0, "GPU": 1.0}, is_fixed=True)
    assert divide(two_gpus, {"CPU": 16.0, "GPU": 1.0}).stage == 8  # a node with another may come


def test_a_cluster_that_grows_on_demand_takes_its_slots_from_the_config() -> None:
    assert divide(ComputeConfig(device="cuda", slots=24), {"CPU": 0.0}).slots == 24


@pytest.mark.parametrize(
    ("compute", "resources", "message"),
    [
        (ComputeConfig(device="cuda"), {"CPU": 8.0}, "the cluster has no GPU"),
        (ComputeConfig(threads=8), {"CPU": 4.0}, "room for 0 cells at once"),
        (ComputeConfig(pretraining_workers=4), {"CPU": 2.0}, "a pretraining stage needs 4"),
    ],
)
def test_a_plan_that_can_never_run_is_refused(
    compute: ComputeConfig, resources: dict[str, float], message: str
) -> None:
    with pytest.raises(LaunchError, match=message):
        divide(compute, resources)


def test_less_packed_shares_have_one_cell_less_on_each_gpu_down_to_one() -> None:
    shares = divide(ComputeConfig(gpus_per_cell=0.25, pretraining_workers=2), {"CPU": 64.0, "GPU": 8.0})
    found = []
    fewer = shares.less_packed()
    while fewer:
        found.append((fewer.words, fewer.slots, fewer.stage, fewer.gpus_per_cell))
        fewer = fewer.less_packed()
    assert found == [("3 a GPU", 24, 6, 1 / 3), ("2 a GPU", 16, 4, 1 / 2), ("1 a GPU", 8, 2, 1.0)]


def test_a_cell_that_few_cores_leave_alone_on_its_gpu_is_not_packed_less() -> None:
    shares = divide(ComputeConfig(gpus_per_cell=0.25), {"CPU": 4.0, "GPU": 1.0})
    one_core = dataclasses.replace(shares, slots=1)
    assert one_core.less_packed() is None


def test_without_gpus_less_packed_shares_run_one_cell_less_at_a_time() -> None:
    shares = divide(ComputeConfig(), {"CPU": 2.0})
    fewer = shares.less_packed()
    assert fewer is not None
    assert (fewer.words, fewer.slots) == ("1 at a time", 1)
    assert fewer.less_packed() is None

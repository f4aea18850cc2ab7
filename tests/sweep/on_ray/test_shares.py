"""How the cluster is divided, without starting it."""

from typing import Any

import pytest

from sweep.on_ray.shares import LaunchError, cells_beside_waiting, divide, workers_that_fit
from trainables.config import ComputeConfig


def test_two_cores_run_one_stage_beside_one_cell_and_then_two_cells() -> None:
    shares = divide(ComputeConfig(), [{"CPU": 2.0}])
    assert shares.slots == 2
    assert shares.room.cells_allowed(stages_pending=5) == 1
    assert shares.room.cells_allowed(stages_pending=0) == 2


def test_one_core_pretrains_before_it_fine_tunes() -> None:
    shares = divide(ComputeConfig(), [{"CPU": 1.0}])
    assert shares.room.cells_allowed(stages_pending=1) == 0
    assert shares.room.cells_allowed(stages_pending=0) == 1


def test_cells_share_gpus_and_a_stage_takes_whole_ones() -> None:
    shares = divide(ComputeConfig(gpus_per_cell=0.25, pretraining_workers=2), [{"CPU": 64.0, "GPU": 8.0}])
    assert (shares.slots, shares.stage, shares.gpus_per_worker) == (32, 8, 1)
    assert shares.parallel_stages == 3
    assert shares.room.cells_allowed(stages_pending=1) == 24


def test_a_stage_that_may_go_on_with_fewer_workers_takes_what_there_is() -> None:
    elastic = ComputeConfig(gpus_per_cell=0.5, pretraining_workers=8, min_pretraining_workers=2)
    assert divide(elastic, [{"CPU": 64.0, "GPU": 4.0}]).stage == 8
    assert divide(elastic, [{"CPU": 64.0, "GPU": 16.0}]).stage == 16
    expected = r"needs 2 to 8 workers of 1 CPU and 1 GPU each, and the cluster \(64 CPU, 1 GPU\) has room for 1;"
    with pytest.raises(LaunchError, match=expected):
        divide(elastic, [{"CPU": 64.0, "GPU": 1.0}])


def test_gpus_are_left_alone_when_the_cpu_is_asked_for() -> None:
    assert divide(ComputeConfig(device="cpu", threads=4), [{"CPU": 16.0, "GPU": 8.0}]).slots == 4


@pytest.mark.parametrize(
    ("share", "slots", "stage"), [(0.6, 1, 1), (0.4, 2, 2), (0.35, 2, 2), (0.15, 6, 6), (1.0, 1, 1)]
)
def test_any_share_of_one_gpu_leaves_room_for_a_stage(share: float, slots: int, stage: int) -> None:
    shares = divide(ComputeConfig(gpus_per_cell=share), [{"CPU": 16.0, "GPU": 1.0}])
    assert (shares.slots, shares.stage) == (slots, stage)


def test_cells_on_gpus_need_cpus_too() -> None:
    assert divide(ComputeConfig(gpus_per_cell=0.25, threads=2), [{"CPU": 12.0, "GPU": 8.0}]).slots == 6


GPU_NODE = {"CPU": 16.0, "GPU": 1.0}


@pytest.mark.parametrize(
    ("settings", "nodes", "share", "slots", "stage", "parallel_stages"),
    [
        ({}, [{"CPU": 2.0, "GPU": 1.0}], 1 / 2, 2, 2, 1),
        ({}, [{"CPU": 4.0, "GPU": 2.0}], 1 / 2, 4, 2, 1),
        ({}, [{"CPU": 6.0, "GPU": 2.0}], 1 / 3, 6, 3, 1),
        ({}, [{"CPU": 5.0, "GPU": 2.0}], 1 / 3, 5, 3, 1),  # three and two
        ({}, [{"CPU": 8.0, "GPU": 4.0}], 1 / 2, 8, 2, 3),
        ({"threads": 8}, [{"CPU": 96.0, "GPU": 8.0}], 1 / 2, 12, 2, 5),
        ({"threads": 4}, [{"CPU": 4.0, "GPU": 1.0}] * 6, 1.0, 6, 1, 5),
        ({"threads": 4, "gpus_per_cell": 0.4}, [{"CPU": 4.0, "GPU": 1.0}], 1.0, 1, 1, 1),
        ({}, [{"CPU": 64.0, "GPU": 8.0}], 1 / 4, 32, 4, 7),  # cores for all
        ({"gpus_per_cell": 0.4}, [GPU_NODE], 0.4, 2, 2, 1),
        ({}, [{"CPU": 4.0, "GPU": 1.0}, {"CPU": 1.0, "GPU": 1.0}], 1 / 4, 5, 4, 1),  # one node has cores for four
        ({}, [{"CPU": 32.0}, {"CPU": 2.0, "GPU": 2.0}], 1.0, 2, 1, 1),  # cores without a GPU do not count
        ({"slots": 4}, [GPU_NODE] * 2, 1 / 2, 4, 2, 1),
        ({"slots": 12}, [GPU_NODE] * 6, 1 / 2, 12, 2, 5),
        ({"slots": 12}, [GPU_NODE] * 3, 1 / 4, 12, 4, 2),
        ({"slots": 12}, [GPU_NODE], 1 / 4, 12, 4, 2),  # more nodes are to come
        ({"slots": 12, "device": "cuda"}, [{"CPU": 0.0}], 1 / 4, 12, 4, 2),  # all are
        ({"slots": 12, "device": "cuda"}, [{"CPU": 64.0}], 1 / 4, 12, 4, 2),
    ],
)
def test_no_more_cells_share_a_gpu_than_their_number_asks_for(
    settings: dict[str, Any],
    nodes: list[dict[str, float]],
    share: float,
    slots: int,
    stage: int,
    parallel_stages: int,
) -> None:
    shares = divide(ComputeConfig(**settings), nodes)
    assert shares.gpus_per_cell == pytest.approx(share, abs=1e-12)
    assert (shares.slots, shares.stage, shares.parallel_stages) == (slots, stage, parallel_stages)


def test_fewer_slots_than_a_machine_holds_spread_over_its_gpus() -> None:
    shares = divide(ComputeConfig(slots=4), [{"CPU": 16.0, "GPU": 2.0}], is_fixed=True)
    assert (shares.slots, shares.gpus_per_cell) == (4, 0.5)
    capped = divide(ComputeConfig(slots=40), [{"CPU": 4.0, "GPU": 2.0}], is_fixed=True)
    assert (capped.slots, capped.gpus_per_cell) == (4, 0.5)


def test_slots_beyond_a_machine_that_cannot_grow_are_not_believed() -> None:
    assert divide(ComputeConfig(slots=8), [{"CPU": 2.0}], is_fixed=True).slots == 2
    assert divide(ComputeConfig(slots=1), [{"CPU": 2.0}], is_fixed=True).slots == 1


def test_a_stage_that_this_machine_can_never_hold_is_refused_whatever_slots_say() -> None:
    two_gpus = ComputeConfig(gpus_per_cell=0.25, slots=4, pretraining_workers=2)
    expected = r"needs 2 workers of 1 CPU and 1 GPU each, and this machine \(16 CPU, 1 GPU\) has room for 1; lower "
    with pytest.raises(LaunchError, match=f"{expected}compute.pretraining_workers or compute.threads$"):
        divide(two_gpus, [{"CPU": 16.0, "GPU": 1.0}], is_fixed=True)
    assert divide(two_gpus, [{"CPU": 16.0, "GPU": 1.0}]).stage == 8  # a node with another may come


def test_a_cluster_that_grows_on_demand_takes_its_slots_from_the_config() -> None:
    assert divide(ComputeConfig(device="cuda", slots=24), [{"CPU": 0.0}]).slots == 24


@pytest.mark.parametrize(
    ("compute", "resources", "message"),
    [
        (
            ComputeConfig(device="cuda"),
            [{"CPU": 8.0}],
            r"the cluster \(8 CPU\) has no GPU; use .*, or set",
        ),
        (
            ComputeConfig(threads=8),
            [{"CPU": 4.0}],
            r"a cell needs 8 CPU on one node, which none has of .* \(4 CPU\)",
        ),
        (
            ComputeConfig(threads=3),
            [{"CPU": 2.0}] * 2,
            r"needs 3 CPU on one node, which none has of .* \(2 nodes of 2 ",
        ),
        (  # cores here, a GPU there
            ComputeConfig(threads=2),
            [{"CPU": 8.0}, {"CPU": 1.0, "GPU": 1.0}],
            r"needs 2 CPU and a GPU on one node, which none has of the cluster \(8 CPU; 1 CPU, 1 GPU\); lower ",
        ),
        (ComputeConfig(pretraining_workers=4), [{"CPU": 2.0}], "a pretraining stage needs 4 workers of 1 CPU each"),
        (
            ComputeConfig(pretraining_workers=2, threads=3),
            [{"CPU": 4.0}, {"CPU": 2.0}],
            r"needs 2 workers of 3 CPU each, and the cluster \(4 CPU; 2 CPU\) has room for 1",
        ),
        (  # a GPU here, cores there
            ComputeConfig(pretraining_workers=2, threads=4),
            [{"CPU": 4.0, "GPU": 1.0}, {"CPU": 32.0}, {"CPU": 2.0, "GPU": 4.0}],
            "2 workers of 4 CPU and 1 GPU each, and .* has room for 1",
        ),
    ],
)
def test_a_plan_that_can_never_run_is_refused_with_what_there_is(
    compute: ComputeConfig, resources: list[dict[str, float]], message: str
) -> None:
    with pytest.raises(LaunchError, match=message):
        divide(compute, resources)


def test_cuda_on_a_machine_without_a_gpu_is_not_answered_with_the_slots_that_were_set() -> None:
    with pytest.raises(LaunchError, match=r"but this machine \(8 CPU\) has no GPU; use compute\.device=cpu$"):
        divide(ComputeConfig(device="cuda", slots=4), [{"CPU": 8.0}], is_fixed=True)


@pytest.mark.parametrize(
    ("nodes", "found"),
    [
        ([{"CPU": 0.0}], r"the cluster \(0 CPU\) has no GPU now, and room for 0 of compute\.slots=12;"),
        (
            [{"CPU": 0.0}, {"CPU": 8.0}],
            r"the cluster \(0 CPU; 8 CPU\) has no GPU now, and room for 8 of compute\.slots=12;",
        ),
        ([], r"the cluster \(no node\) has no GPU now, and room for 0 of compute\.slots=12;"),
    ],
)
def test_a_cluster_that_grows_is_told_whether_it_grows_by_gpus(nodes: list[dict[str, float]], found: str) -> None:
    with pytest.raises(LaunchError, match=f"device is auto, but {found} .* compute.device=cuda or compute.device=cpu$"):
        divide(ComputeConfig(slots=12), nodes)
    assert divide(ComputeConfig(slots=12, device="cpu"), nodes).gpus_per_worker == 0
    assert divide(ComputeConfig(slots=12, device="cuda"), nodes).gpus_per_worker == 1
    assert divide(ComputeConfig(slots=12), [*nodes, GPU_NODE]).gpus_per_worker == 1


def test_slots_that_the_cpus_of_a_cluster_hold_already_need_no_device() -> None:
    assert divide(ComputeConfig(slots=8), [{"CPU": 0.0}, {"CPU": 8.0}]).slots == 8


def test_a_worker_lies_on_one_node_whatever_all_nodes_have_together() -> None:
    nodes = [{"CPU": 4.0}, {"CPU": 3.0}, {"CPU": 1.0}]
    for threads, workers in [(1, 8), (2, 3), (3, 2), (4, 1), (5, 0)]:
        assert workers_that_fit(ComputeConfig(threads=threads), nodes, gpus_per_worker=0) == workers
    assert divide(ComputeConfig(threads=3, pretraining_workers=2), nodes).slots == 2


def test_a_gpu_counts_only_with_the_cores_beside_it() -> None:
    nodes = [{"CPU": 1.0, "GPU": 4.0}, {"CPU": 8.0}, {"CPU": 8.0, "GPU": 2.0}]
    assert workers_that_fit(ComputeConfig(threads=2), nodes, gpus_per_worker=1) == 2


def test_a_stage_takes_whole_gpus_with_few_cores() -> None:
    assert divide(ComputeConfig(gpus_per_cell=0.25), [{"CPU": 2.0, "GPU": 1.0}]).slots == 2


def test_less_packed_shares_have_one_cell_less_on_each_gpu_down_to_one() -> None:
    shares = divide(ComputeConfig(gpus_per_cell=0.25, pretraining_workers=2), [{"CPU": 64.0, "GPU": 8.0}])
    found = []
    fewer = shares.less_packed()
    while fewer:
        found.append((fewer.words, fewer.slots, fewer.stage, fewer.gpus_per_cell))
        fewer = fewer.less_packed()
    assert found == [("3 a GPU", 24, 6, 1 / 3), ("2 a GPU", 16, 4, 1 / 2), ("1 a GPU", 8, 2, 1.0)]


@pytest.mark.parametrize(
    ("settings", "nodes"),
    [
        ({}, [{"CPU": 1.0, "GPU": 1.0}]),
        ({"threads": 4}, [{"CPU": 4.0, "GPU": 1.0}] * 6),
        ({"slots": 2}, [{"CPU": 16.0, "GPU": 2.0}]),
        ({"slots": 1, "device": "cuda"}, [{"CPU": 0.0}]),
    ],
)
def test_cells_that_few_cores_or_slots_leave_alone_on_their_gpus_are_not_packed_less(
    settings: dict[str, Any], nodes: list[dict[str, float]]
) -> None:
    assert divide(ComputeConfig(**settings), nodes).less_packed() is None


@pytest.mark.parametrize(
    ("settings", "nodes", "expected"),
    [
        ({}, [{"CPU": 4.0, "GPU": 2.0}], [(2, 1, 1.0)]),
        ({"threads": 8}, [{"CPU": 96.0, "GPU": 8.0}], [(8, 1, 1.0)]),  # each GPU keeps a cell
        ({}, [{"CPU": 10.0, "GPU": 4.0}], [(8, 2, 1 / 2), (4, 1, 1.0)]),
        ({}, [{"CPU": 4.0, "GPU": 1.0}, {"CPU": 1.0, "GPU": 1.0}], [(4, 3, 1 / 3), (3, 2, 1 / 2), (2, 1, 1.0)]),
        ({"slots": 5}, [GPU_NODE] * 4, [(4, 1, 1.0)]),
        ({"slots": 24}, [GPU_NODE], [(18, 3, 1 / 3), (12, 2, 1 / 2), (6, 1, 1.0)]),  # of a cluster that grows
    ],
)
def test_less_packed_cells_use_every_gpu_that_there_is(
    settings: dict[str, Any], nodes: list[dict[str, float]], expected: list[tuple[int, int, float]]
) -> None:
    found, fewer = [], divide(ComputeConfig(**settings), nodes).less_packed()
    while fewer:
        found.append((fewer.slots, fewer.stage, fewer.gpus_per_cell))
        fewer = fewer.less_packed()
    assert found == expected


def test_without_gpus_less_packed_shares_run_one_cell_less_at_a_time() -> None:
    shares = divide(ComputeConfig(), [{"CPU": 2.0}])
    fewer = shares.less_packed()
    assert fewer is not None
    assert (fewer.words, fewer.slots) == ("1 at a time", 1)
    assert fewer.less_packed() is None


@pytest.mark.parametrize(
    ("settings", "num_nodes", "num_left", "expected"),
    [
        ({}, 3, 3, 8),  # three GPUs of four cells each, less one GPU for the stage
        ({}, 3, 2, 4),
        ({}, 3, 1, 0),
        ({}, 3, 0, 8),  # the stage would find no room even so
        ({"pretraining_workers": 2}, 3, 1, 4),  # nor here: two workers need two GPUs
        ({"pretraining_workers": 2, "min_pretraining_workers": 1}, 3, 1, 0),  # but one would do
        ({"slots": 40}, 1, 1, 0),  # a cluster that grows: nobody knows when
    ],
)
def test_beside_a_stage_that_is_kept_waiting_as_many_cells_run_as_the_nodes_that_are_left_hold(
    settings: dict[str, int], num_nodes: int, num_left: int, expected: int
) -> None:
    compute = ComputeConfig(gpus_per_cell=0.25, **settings)  # type: ignore[arg-type]
    shares = divide(compute, [GPU_NODE] * num_nodes)
    assert cells_beside_waiting(compute, [GPU_NODE] * num_left, shares, stages_pending=1) == expected

"""How a cluster is divided between pretraining stages and fine-tuning cells.

In: what each node of the cluster has, and what the experiment asks for. Out: Shares, in units of one cell; less packed
ones when cells run out of memory beside one another. Ray is not imported.
"""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sweep.costs.time_left import Room
from trainables.config import ComputeConfig

LOCAL = "local"  # the address of a Ray of this run's own, on this machine
Resources = Mapping[str, float]  # of a node, by Ray's names
STAGE_START_SECONDS = 10.0  # of a TorchTrainer with its worker, before its first step; twice that on busy cores


class LaunchError(Exception):
    """Ray cannot be reached or cannot run the plan; the message says what to do."""


class NoWorkersError(Exception):
    """Workers have found no room for longer than they may wait; of a stage's the message says what there is."""


@dataclass(frozen=True)
class Shares:
    """How the cluster is divided, in units of one cell.

    ``slots``: cells at once on the whole cluster. ``stage``: what one pretraining stage takes. ``parallel_stages``:
    stages at once; one cell's room is left beside them where there is any. ``gpus_per_cell``: a cell's part of a GPU, 0
    without GPUs. ``rooms``: cells that the nodes hold with one, two and more to a GPU, up to as many as share one.
    """

    slots: int
    stage: int
    parallel_stages: int
    gpus_per_cell: float
    gpus_per_worker: int
    rooms: tuple[int, ...] = ()

    def less_packed(self) -> "Shares | None":
        """Return shares with one cell less on each GPU, or at a time without GPUs; None where each cell is alone."""
        packing = _packing(self.gpus_per_cell) if self.gpus_per_cell else self.slots
        if self.slots == 1 or packing == 1:
            return None
        if not self.gpus_per_cell:
            return replace(self, slots=self.slots - 1)
        fewer = packing - 1
        held = min(self.slots, self.rooms[fewer - 1]) if self.rooms else 1
        slots, stage = max(held, self.slots * fewer // packing), max(1, self.stage * fewer // packing)
        return replace(self, slots=slots, stage=stage, gpus_per_cell=1 / fewer)

    @property
    def words(self) -> str:
        """How cells are packed, for people."""
        return f"{_packing(self.gpus_per_cell)} a GPU" if self.gpus_per_cell else f"{self.slots} at a time"

    @property
    def room(self) -> Room:
        """What runs at once."""
        return Room(self.slots, self.stage, self.parallel_stages, STAGE_START_SECONDS)


def cluster_address(compute: ComputeConfig) -> str:
    """Return the address of the Ray cluster that is joined, or ``local``."""
    return compute.address or os.environ.get("RAY_ADDRESS") or LOCAL


def divide(compute: ComputeConfig, nodes: Sequence[Resources], is_fixed: bool = False) -> Shares:
    """Divide what the nodes of a cluster have between stages and cells.

    A cell, and each worker of a stage, lies on one node. ``compute.slots`` may exceed what is there now, for a cluster
    that grows; not for one that ``is_fixed``. Raises LaunchError when a stage or cell can never fit, or when nobody
    knows whether the nodes to come have GPUs.
    """
    on_gpu = _is_on_gpus(compute, nodes, is_fixed)
    may_grow = compute.slots is not None and not is_fixed
    rooms = _rooms(compute, nodes) if on_gpu else ()
    packing = (len(rooms) or _packing(compute.gpus_per_cell)) if on_gpu else 1  # a worker of a stage takes a whole GPU
    room = _room(compute, nodes, packing if on_gpu else None)
    slots = (min(compute.slots, room) if is_fixed else compute.slots) if compute.slots else room
    if slots < 1:
        gpu, held = " and a GPU" if on_gpu else "", _place(nodes, is_fixed)
        needed = f"a cell needs {compute.threads} CPU{gpu} on one node, which none has"
        raise LaunchError(f"{needed} of {held}; lower compute.threads" + _or_grow(is_fixed))
    fewest = compute.min_pretraining_workers or compute.pretraining_workers
    num_workers = workers_that_fit(compute, nodes, int(on_gpu))
    if not may_grow and fewest > num_workers:
        needed = f"a pretraining stage needs {wanted_words(compute, int(on_gpu))}"
        raise LaunchError(
            f"{needed}, and {_place(nodes, is_fixed)} has room for {num_workers}; lower compute.pretraining_workers or "
            "compute.threads" + _or_grow(is_fixed)
        )
    stage = packing * fewest
    stage = max(stage, min(packing * compute.pretraining_workers, slots))
    parallel = max(1, (slots - 1) // stage)
    share = compute.gpus_per_cell if packing == _packing(compute.gpus_per_cell) else 1 / packing
    return Shares(slots, stage, parallel, share if on_gpu else 0.0, int(on_gpu), rooms)


def workers_that_fit(compute: ComputeConfig, nodes: Sequence[Resources], gpus_per_worker: int) -> int:
    """Return how many workers of stages, each whole on one node, these nodes hold where they do nothing else."""
    return _room(compute, nodes, gpus_per_worker or None)


def cells_beside_waiting(
    compute: ComputeConfig, nodes: Sequence[Resources], shares: Shares, stages_pending: int
) -> int:
    """Return how many cells may run while a stage is kept waiting: what the nodes that are left hold beside stages.

    As many as ever where the stage would find no room even so, or waits for a cluster to grow beyond its cells.
    """
    usual = shares.room.cells_allowed(stages_pending)
    fewest = compute.min_pretraining_workers or compute.pretraining_workers
    if workers_that_fit(compute, nodes, shares.gpus_per_worker) < fewest:
        return usual
    packing = _packing(shares.gpus_per_cell) if shares.gpus_per_cell else None
    left = replace(shares, slots=_room(compute, nodes, packing))
    return min(usual, left.room.cells_allowed(stages_pending))


def wanted_words(compute: ComputeConfig, gpus_per_worker: int) -> str:
    """Say what the workers of a stage take, for people."""
    fewest, most = compute.min_pretraining_workers or compute.pretraining_workers, compute.pretraining_workers
    number = f"{fewest}" if fewest == most else f"{fewest} to {most}"
    gpu = f" and {gpus_per_worker} GPU" if gpus_per_worker else ""
    return f"{number} {'worker' if most == 1 else 'workers'} of {compute.threads} CPU{gpu} each"


def node_words(nodes: Sequence[Resources]) -> str:
    """List the nodes' CPUs and GPUs, equal nodes together, for people."""
    kinds = Counter(
        ", ".join(f"{node.get(name, 0.0):g} {name}" for name in ("CPU", "GPU") if node.get(name) or name == "CPU")
        for node in nodes
    )
    return "; ".join(f"{number} nodes of {kind}" if number > 1 else kind for kind, number in kinds.items()) or "no node"


def _place(nodes: Sequence[Resources], is_fixed: bool) -> str:
    return f"{'this machine' if is_fixed else 'the cluster'} ({node_words(nodes)})"


def _or_grow(is_fixed: bool) -> str:
    return "" if is_fixed else ", or set compute.slots=N for a cluster that grows on demand"


def _is_on_gpus(compute: ComputeConfig, nodes: Sequence[Resources], is_fixed: bool) -> bool:
    """Whether units run on GPUs. Raises LaunchError where no GPU is there or to come, or where the moment decides."""
    if compute.device == "cpu" or any(node.get("GPU", 0.0) for node in nodes):
        return compute.device != "cpu"
    may_grow = compute.slots is not None and not is_fixed
    found, room = f"{_place(nodes, is_fixed)} has no GPU", _room(compute, nodes, None)
    if compute.device == "cuda" and not may_grow:
        raise LaunchError(f"compute.device is cuda, but {found}; use compute.device=cpu{_or_grow(is_fixed)}")
    if compute.device == "auto" and may_grow and (compute.slots or 0) > room:
        raise LaunchError(
            f"compute.device is auto, but {found} now, and room for {room} of compute.slots={compute.slots}; nodes to "
            "come may have GPUs or not: use compute.device=cuda or compute.device=cpu"
        )
    return compute.device == "cuda"


def _rooms(compute: ComputeConfig, nodes: Sequence[Resources]) -> tuple[int, ...]:
    """Return how many cells the nodes hold with one, two and more to a GPU, up to the fewest that leave none out.

    Ray fills a GPU before it takes the next, so more to a GPU than cores or ``compute.slots`` call for would leave GPUs
    idle. Nothing where no node holds a cell yet.
    """
    most = _room(compute, nodes, _packing(compute.gpus_per_cell))
    wanted = min(compute.slots or most, most)
    rooms: list[int] = []
    while wanted > (rooms[-1] if rooms else 0):
        rooms.append(_room(compute, nodes, len(rooms) + 1))
    return tuple(rooms)


def _room(compute: ComputeConfig, nodes: Sequence[Resources], of_a_gpu: int | None) -> int:
    """Return how many processes the nodes hold, each whole on one."""
    return sum(_fitting(node, compute.threads, of_a_gpu) for node in nodes)


def _fitting(node: Resources, threads: int, of_a_gpu: int | None) -> int:
    """Return how many processes a node holds: by its CPUs and, with so many of them to a GPU, by its GPUs."""
    by_cpus = int(node.get("CPU", 0.0) // threads)
    return by_cpus if of_a_gpu is None else min(by_cpus, int(node.get("GPU", 0.0)) * of_a_gpu)


def _packing(gpus_per_cell: float) -> int:
    """Return how many cells share a GPU."""
    return int(1 / gpus_per_cell + 1e-9)

"""How a cluster is divided between pretraining stages and fine-tuning cells.

In: what the cluster has, and what the experiment asks for. Out: Shares, in units of one cell; less packed ones when
cells run out of memory beside one another. Ray is not imported.
"""

import os
from dataclasses import dataclass, replace

from sweep.costs.time_left import Room
from trainables.config import ComputeConfig

LOCAL = "local"  # the address of a Ray of this run's own, on this machine
STAGE_START_SECONDS = 10.0  # of a TorchTrainer with its worker, before its first step; twice that on busy cores


class LaunchError(Exception):
    """Ray cannot be reached or cannot run the plan; the message says what to do."""


@dataclass(frozen=True)
class Shares:
    """How the cluster is divided, in units of one cell.

    ``slots``: cells at once on the whole cluster. ``stage``: what one pretraining stage takes. ``parallel_stages``:
    stages at once; one cell's room is left beside them where there is any.
    """

    slots: int
    stage: int
    parallel_stages: int
    gpus_per_cell: float
    gpus_per_worker: int

    def less_packed(self) -> "Shares | None":
        """Return shares with one cell less on each GPU, or at a time without GPUs; None where each cell is alone."""
        packing = _packing(self.gpus_per_cell) if self.gpus_per_cell else self.slots
        if self.slots == 1 or packing == 1:
            return None
        if not self.gpus_per_cell:
            return replace(self, slots=self.slots - 1)
        fewer = packing - 1
        slots, stage = max(1, self.slots * fewer // packing), max(1, self.stage * fewer // packing)
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


def divide(compute: ComputeConfig, resources: dict[str, float], is_fixed: bool = False) -> Shares:
    """Divide a cluster's resources between stages and cells.

    ``compute.slots`` may exceed what is there now, for a cluster that grows; not for one that ``is_fixed``. Raises
    LaunchError when a stage can never fit.
    """
    num_gpus = resources.get("GPU", 0.0) if compute.device != "cpu" else 0.0
    if compute.device == "cuda" and not num_gpus and compute.slots is None:
        raise LaunchError(
            "compute.device is cuda, but the cluster has no GPU; use compute.device=cpu, "
            "or compute.slots=N for a cluster that grows on demand"
        )
    cpu_slots = int(resources.get("CPU", 0.0) // compute.threads)
    on_gpu = bool(num_gpus) or compute.device == "cuda"
    worker = _packing(compute.gpus_per_cell) if on_gpu else 1  # a worker of a stage takes a whole GPU
    room = min(int(num_gpus) * worker, cpu_slots) if on_gpu else cpu_slots
    slots = (min(compute.slots, room) if is_fixed else compute.slots) if compute.slots else room
    smallest = worker * (compute.min_pretraining_workers or compute.pretraining_workers)
    if slots < 1 or ((compute.slots is None or is_fixed) and smallest > room):
        raise LaunchError(
            f"the cluster has room for {room} cells at once and a pretraining stage needs {smallest}; "
            "lower compute.threads or compute.pretraining_workers, or set compute.slots for a growing cluster"
        )
    stage = max(smallest, min(worker * compute.pretraining_workers, slots))
    parallel = max(1, (slots - 1) // stage)
    return Shares(slots, stage, parallel, compute.gpus_per_cell if on_gpu else 0.0, int(on_gpu))


def _packing(gpus_per_cell: float) -> int:
    """Return how many cells share a GPU."""
    return int(1 / gpus_per_cell + 1e-9)

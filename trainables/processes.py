"""What a worker process needs to know about itself and its siblings; the identity in a single process.

In: a device choice and a number of threads. Out: device, rank and world size, and a network wrapped for data-parallel
training. torch.distributed enters here and in ``synchronised_norm`` only; whoever starts the processes (Ray, torchrun)
has initialised it.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from trainables.config import ComputeConfig
from trainables.synchronised_norm import convert

Known = TypeVar("Known")


class DeviceError(Exception):
    """A device that is asked for and not there."""


@dataclass(frozen=True)
class Worker:
    """This process: its device and its place among its siblings."""

    device: torch.device
    rank: int
    world_size: int

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and reports."""
        return self.rank == 0


def this_worker(compute: ComputeConfig) -> Worker:
    """Set the number of threads and return this process's place. Raises DeviceError if CUDA is absent.

    On a GPU convolutions sum in a fixed order from here on: equal seeds give equal numbers there, too.
    """
    if torch.get_num_threads() != compute.threads:
        torch.set_num_threads(compute.threads)
    device = pick_device(compute.device)
    if device.type == "cuda":
        torch.backends.cudnn.deterministic = True
    if dist.is_available() and dist.is_initialized():
        return Worker(device, dist.get_rank(), dist.get_world_size())
    return Worker(device, 0, 1)


def is_gpu_here() -> bool:
    """Whether this process sees a CUDA device."""
    return torch.cuda.is_available()


def pick_device(choice: str) -> torch.device:
    """Return the current CUDA device or the CPU."""
    if choice == "cuda" and not torch.cuda.is_available():
        raise DeviceError(
            "compute.device is cuda, but this process sees no CUDA device; use compute.device=cpu or auto"
        )
    if choice == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", torch.cuda.current_device())


def synchronise_norms(network: nn.Module, worker: Worker) -> None:
    """Make every batch norm inside a network normalise over all siblings' samples, in place.

    Then n workers with batch B equal one with batch n*B. On a CPU torch has no synchronised batch norm, so ours serves.
    """
    if worker.world_size == 1:
        return
    if worker.device.type == "cuda":
        nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
    else:
        convert(network)


def mean_over_siblings(value: Tensor, worker: Worker) -> Tensor:
    """Return the mean of a number over the siblings; the shares of a batch are of nearly equal size."""
    if worker.world_size > 1:
        dist.all_reduce(value)
    return value / worker.world_size


def broadcast_from_first(value: Known, worker: Worker) -> Known:
    """Return what the first process found: files may look different to its siblings on other nodes."""
    if worker.world_size == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def all_gather_rows(rows: Tensor, worker: Worker) -> Tensor:
    """Return the rows (sample, ...) of all siblings, who have as many each, one sibling after another."""
    if worker.world_size == 1:
        return rows
    parts = [torch.empty_like(rows) for _ in range(worker.world_size)]
    dist.all_gather(parts, rows.contiguous())
    return torch.cat(parts)


def wrap(network: nn.Module, worker: Worker) -> nn.Module:
    """Wrap a network for gradient averaging over the siblings."""
    if worker.world_size == 1:
        return network
    if worker.device.type == "cuda":
        return DistributedDataParallel(network, device_ids=[worker.device.index])
    wrapped = DistributedDataParallel(network)
    wrapped.broadcast_buffers = False  # synchronised norms hold equal ones; torch 2.14 warns of the argument
    return wrapped


@contextlib.contextmanager
def gradients_shared(network: nn.Module, is_last: bool) -> Iterator[None]:
    """Average gradients over the siblings in the last of several backward passes alone."""
    if is_last or not isinstance(network, DistributedDataParallel):
        yield
        return
    with network.no_sync():
        yield


def barrier(worker: Worker) -> None:
    """Return when every sibling has got here."""
    if worker.world_size > 1:
        dist.barrier()


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Run the body with torch's global stream seeded, and put the stream back afterwards (module initialisation)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield

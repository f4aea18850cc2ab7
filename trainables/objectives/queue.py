"""Contrast with a queue: negatives are keys of past batches, the oldest replaced first.

In: l2-normalised queries and keys. Out: the InfoNCE loss. Source: He et al. 2020, arXiv 1911.05722 (MoCo). lightly's
memory bank is not in the state dict, and drops keys where its size is no multiple of the batch.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trainables.objectives.contract import Batch


class Queue(nn.Module):
    """The newest ``size`` keys; random directions until it is filled."""

    keys: Tensor  # (size, dimension)
    position: Tensor  # of the oldest key

    def __init__(self, size: int, dimension: int) -> None:
        super().__init__()
        self.register_buffer("keys", F.normalize(torch.randn(size, dimension)))
        self.register_buffer("position", torch.zeros(1, dtype=torch.long))

    @torch.no_grad()
    def add(self, keys: Tensor) -> None:
        """Replace the oldest keys by these (sample, dimension)."""
        size = len(self.keys)
        places = (self.position + torch.arange(len(keys), device=keys.device)) % size
        self.keys[places] = keys.to(self.keys.dtype)
        self.position.copy_((self.position + len(keys)) % size)


def info_nce(queries: Tensor, keys: Tensor, negatives: Tensor, temperature: float) -> Tensor:
    """Return the mean cross-entropy of finding each query's own key (row by row) among the negatives."""
    positive = (queries * keys).sum(1, keepdim=True)
    logits = torch.cat([positive, queries @ negatives.T], 1) / temperature
    return F.cross_entropy(logits, torch.zeros(len(queries), dtype=torch.long, device=queries.device))


def check_queue(size: int, batch: Batch) -> None:
    """Raise ValueError where a queue cannot hold one batch."""
    if size < batch.num_samples:
        raise ValueError(
            f"options.queue_size: expected at least the {batch.num_samples} samples of a batch, found {size}"
        )

"""The rows of all workers as one batch, and losses in full precision.

In: this worker's rows (sample first). Out: the rows of the undivided batch. Losses over it are equal in every worker;
since data-parallel training averages gradients, each worker's share of them is then that of one large worker. Source of
the gathering with gradients: lightly.
"""

import torch
from lightly.utils.dist import gather, world_size
from torch import Tensor


def whole_batch(rows: Tensor) -> Tensor:
    """Return all workers' rows with their gradients, in the order of the batch that was dealt out to them in turn."""
    if world_size() == 1:
        return rows
    return torch.stack(tuple(gather(rows)), 1).flatten(0, 1)


def full_precision(tensor: Tensor) -> Tensor:
    """Return the tensor in float32 at least: statistics and exponentials of bfloat16 rows lose too much."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def no_autocast(tensor: Tensor) -> torch.autocast:
    """Return a context in which products of float32 tensors on the tensor's device stay float32."""
    return torch.autocast(tensor.device.type, enabled=False)

"""Tensors that go to a device while it works.

In: a tensor on the CPU, a device. Out: the same there. A plain copy to a GPU waits until the GPU has done all that was
asked of it; one from page-locked memory is queued behind that, and the next steps can be asked for meanwhile.
"""

import torch
from torch import Tensor


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Return the tensor on the device; what is there already is not copied."""
    if device.type != "cuda" or tensor.device == device:
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def rows_to_device(tensor: Tensor, rows: Tensor, device: torch.device) -> Tensor:
    """Return chosen rows of a tensor on the device; ``rows`` lie on the CPU.

    Of a tensor on the host they are gathered in page-locked memory at once.
    """
    if tensor.device.type == "cuda":
        return tensor[to_device(rows, tensor.device)]
    if device.type != "cuda":
        return tensor[rows]
    layout = torch.contiguous_format if tensor.is_contiguous() else torch.channels_last
    shape = (len(rows), *tensor.shape[1:])
    gathered = torch.empty(shape, dtype=tensor.dtype, memory_format=layout, pin_memory=True)
    torch.index_select(tensor, 0, rows, out=gathered)
    return gathered.to(device, non_blocking=True)

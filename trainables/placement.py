"""Networks and tensors that go to a device, the latter while it works.

In: a network or a tensor on the CPU, a device. Out: the same there. A plain copy to a GPU waits until the GPU has done
all that was asked of it; one from page-locked memory is queued behind that, and the next steps can be asked for
meanwhile.
"""

from typing import TypeVar

import torch
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)


def network_to_device(network: Network, device: torch.device) -> Network:
    """Move a network, in place, with its channels last in memory; on a CPU its pointwise convolutions take oneDNN.

    torch gives an fp32 convolution with kernels of one pixel to the BLAS where one thread has fewer than 16 images and
    nothing strides or dilates (``ConvParams::use_mkldnn``). Dilation of a single pixel changes nothing else:
    ``python -m benchmarks.pointwise`` has what it is worth.
    """
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if device.type == "cpu" and torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        for module in network.modules():
            if type(module) is nn.Conv2d and module.kernel_size == (1, 1):
                module.dilation = (2, 2)
    return network


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

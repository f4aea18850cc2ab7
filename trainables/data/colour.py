"""Changes of intensity for a whole batch, with a parameter per sample.

In: images (batch, channel, row, column) of range about 0 to 1, and parameters (batch,). Out: images of the same shape.
Source: each operation as in torchvision, but values are not clipped, since scaled medical slices leave 0 to 1.
"""

import math

import torch
from torch import Tensor

from trainables.placement import to_device

LUMINANCE = (0.2989, 0.587, 0.114)  # of red, green and blue: ITU-R BT.601
HALF_RANGE = 0.5


def grey(images: Tensor) -> Tensor:
    """Return the greys of three channels, which are colours, as (batch, 1, row, column), and other channels as are."""
    if images.shape[1] != 3:
        return images
    weights = to_device(torch.tensor(LUMINANCE, dtype=images.dtype), images.device)[:, None, None]
    return (images * weights).sum(1, keepdim=True)


def saturate(images: Tensor, factors: Tensor) -> Tensor:
    """Return images moved from their greys by factors: 0 is grey, 1 the same. Only three channels are colours."""
    if images.shape[1] != 3:
        return images
    greys = grey(images)
    return greys + (images - greys) * _per_sample(factors, images)


def blur(images: Tensor, sigmas: Tensor, largest: float) -> Tensor:
    """Return images under a Gaussian blur of sigma pixels, reflected at the border; 0 leaves a sample as it is.

    A sample's kernel reaches three times its sigma, whatever its batch. ``largest`` of them is told, so that no GPU has
    to be waited for.
    """
    rows, columns = (_blur_matrix(sigmas, size, largest).to(images) for size in images.shape[-2:])
    return rows[:, None] @ images @ columns[:, None].transpose(-1, -2)


def _blur_matrix(sigmas: Tensor, size: int, largest: float) -> Tensor:
    """Weights (batch, size, size) of each source pixel in each blurred one."""
    device = sigmas.device
    reach = min(math.ceil(3 * largest), size - 1)
    offsets = torch.arange(-reach, reach + 1, device=device)
    sigmas = sigmas.clamp(min=1e-3)[:, None]
    kernel = torch.exp(-0.5 * (offsets / sigmas) ** 2) * (offsets.abs() <= (3 * sigmas).ceil())
    kernel = kernel / kernel.sum(1, keepdim=True)  # (batch, offset)
    source = (torch.arange(size, device=device)[:, None] + offsets).abs()
    source = torch.where(source >= size, 2 * (size - 1) - source, source)  # (row, offset), reflected
    return torch.zeros(len(sigmas), size, size, device=device).scatter_add_(
        2, source.expand(len(sigmas), -1, -1), kernel[:, None].expand(-1, size, -1)
    )


def solarise(images: Tensor, chosen: Tensor) -> Tensor:
    """Return images whose brighter half of the range is inverted, where chosen."""
    return torch.where(_per_sample(chosen, images).bool() & (images >= HALF_RANGE), 1 - images, images)


def _per_sample(parameters: Tensor, images: Tensor) -> Tensor:
    return parameters.to(images)[:, None, None, None]

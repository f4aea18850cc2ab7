"""Batches from a store that lives on the device: no decoding, no worker processes, no Python per sample.

In: slices or RGB images as arrays, a view recipe, a seed. Out: tensors on the device. Samples are drawn with
replacement for fine-tuning (a fixed step budget whatever the label count) and by seeded permutations for
pretraining.
"""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trainables.config import ViewConfig
from trainables.data.augment import draw_uniform, draw_views, view_images, view_masks, views_from
from trainables.placement import rows_to_device

PIXEL_MEAN, PIXEL_STD = 0.25, 0.25
"""Roughly centre and scale of a percentile-scaled slice; fixed, so that nothing is measured on data."""

MADE_AT_ONCE = 2**18
"""Values of the batches that are made at once: of small images several batches, of large ones one."""

DEVICE_SHARE = 0.2
"""A store that takes less of a GPU's free memory is copied there; several workers may share the GPU."""


@dataclass(frozen=True)
class Samples:
    """Images (sample, channel, row, column) in a compact type, their masks or classes if any, and where batches go.

    The store lies on the device where it takes little of its memory, and otherwise stays memory-mapped on the host;
    ``rows`` are those of the store that the samples stand for, so that a subset of it copies nothing.
    """

    images: Tensor
    targets: Tensor | None
    device: torch.device
    rows: Tensor

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, indices: Tensor) -> Tensor:
        """Return the chosen images on the device as float32, their range about 0 to 1."""
        chosen = rows_to_device(self.images, self.rows[indices], self.device)
        return chosen / 255 if chosen.dtype == torch.uint8 else chosen.float()

    def take_targets(self, indices: Tensor) -> Tensor:
        """Return the targets of the chosen images on the device, in the type that they are kept in."""
        assert self.targets is not None
        return rows_to_device(self.targets, self.rows[indices], self.device)

    def subset(self, positions: Sequence[int]) -> "Samples":
        """Return the samples at these positions."""
        chosen = torch.tensor(list(positions), dtype=torch.long)
        return Samples(self.images, self.targets, self.device, self.rows[chosen])


def network_input(images: Tensor) -> Tensor:
    """Scale images of range 0 to 1 for the network, in the memory layout that convolutions are fastest in."""
    return (images - PIXEL_MEAN).div_(PIXEL_STD).contiguous(memory_format=torch.channels_last)


def from_slices(
    images: npt.NDArray[np.float16],
    masks: npt.NDArray[np.uint8] | None,
    rows: npt.NDArray[np.int64],
    device: torch.device,
) -> Samples:
    """Take some rows of slices (slice, channel, row, column), and of masks (slice, row, column) if there are any."""
    if _fits(len(rows) * images[0].nbytes, device):
        chosen = torch.from_numpy(images[rows]).to(device)
        targets = None if masks is None else torch.from_numpy(masks[rows]).to(device)
        return Samples(chosen, targets, device, torch.arange(len(rows)))
    targets = None if masks is None else _shared(masks)
    return Samples(_shared(images), targets, device, torch.from_numpy(rows))


def from_natural(images: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64], device: torch.device) -> Samples:
    """Take RGB images (image, row, column, 3) and their classes."""
    shared = _shared(images), _shared(labels)
    placed = tuple(each.to(device) for each in shared) if _fits(images.nbytes, device) else shared
    return Samples(placed[0].permute(0, 3, 1, 2), placed[1], device, torch.arange(len(images)))


def _fits(num_bytes: int, device: torch.device) -> bool:
    """Whether the samples are copied to a GPU; on a CPU all processes share the memory-mapped file."""
    return device.type == "cuda" and num_bytes < DEVICE_SHARE * torch.cuda.mem_get_info(device)[0]


def _shared(array: npt.NDArray[np.generic]) -> Tensor:
    """Share a memory-mapped array with torch. Nothing here writes to it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(array)


def finetune_batches(
    samples: Samples, num_batches: int, batch_size: int, views: ViewConfig, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield augmented batches drawn with replacement: input (batch, channel, row, column), masks (batch, row, column).

    Several small ones are made at once, since a small tensor costs as much time as a larger one. The draws are those of
    one batch after another, and no view depends on another, so how many are made at once changes no number by more than
    rounding.
    """
    rows, columns = samples.images.shape[-2:]
    at_once = max(1, MADE_AT_ONCE // (batch_size * samples.images[0].numel()))
    for start in range(0, num_batches, at_once):
        drawn = []
        for _ in range(min(at_once, num_batches - start)):
            chosen = torch.randint(len(samples), (batch_size,), generator=generator)
            drawn.append((chosen, draw_uniform(views, batch_size, generator)))
        indices, uniform = (torch.cat(each, -1) for each in zip(*drawn, strict=True))
        parameters = views_from(views, uniform, rows, columns)
        masks = view_masks(samples.take_targets(indices), parameters, rows)
        images = network_input(view_images(samples.take(indices), parameters, rows))
        yield from zip(torch.split(images, batch_size), torch.split(masks, batch_size), strict=True)


def random_view(
    samples: Samples,
    indices: Tensor,
    views: ViewConfig,
    generator: torch.Generator,
    share: slice = slice(None),
    size: int | None = None,
) -> Tensor:
    """Return one augmented view (batch, channel, size, size) of a share of the chosen images, of their size by default.

    Parameters are drawn for all of ``indices``, whatever the share: the shares of several workers make up the view
    that one worker would have.
    """
    rows, columns = samples.images.shape[-2:]
    drawn = draw_views(views, len(indices), rows, columns, generator).part(share)
    return network_input(view_images(samples.take(indices[share]), drawn, size or rows))


def epoch_batches(num_samples: int, batch_size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Yield the indices of one shuffled epoch in full batches and drop the rest; a small set is one batch."""
    order = torch.randperm(num_samples, generator=generator)
    size = min(batch_size, num_samples)
    for start in range(0, num_samples - size + 1, size):
        yield order[start : start + size]

"""Batches from a store that lives on the device: no decoding, no worker processes, no Python per sample.

In: slices or RGB images as arrays, a view recipe, a seed. Out: tensors on the device. Samples are drawn with
replacement for fine-tuning (a fixed step budget whatever the label count) and by seeded permutations for
pretraining.
"""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trainables.config import ViewConfig
from trainables.data.augment import draw_views, view_images, view_masks

PIXEL_MEAN, PIXEL_STD = 0.25, 0.25
"""Roughly centre and scale of a percentile-scaled slice; fixed, so that nothing is measured on data."""


@dataclass(frozen=True)
class Samples:
    """Images (sample, channel, row, column) in a compact type on the device, and their masks or classes if any."""

    images: Tensor
    targets: Tensor | None

    def __len__(self) -> int:
        return len(self.images)

    def take(self, indices: Tensor) -> Tensor:
        """Return the chosen images as float32, scaled for the network."""
        chosen = self.images[indices.to(self.images.device)]
        scaled = chosen.float() / 255 if chosen.dtype == torch.uint8 else chosen.float()
        return (scaled - PIXEL_MEAN) / PIXEL_STD

    def take_targets(self, indices: Tensor) -> Tensor:
        """Return the targets of the chosen images as int64."""
        assert self.targets is not None
        return self.targets[indices.to(self.targets.device)].long()


def from_slices(images: npt.NDArray[np.float16], masks: npt.NDArray[np.uint8] | None, device: torch.device) -> Samples:
    """Put grey slices (slice, row, column), and masks of the same shape, on the device."""
    targets = None if masks is None else _tensor(masks, device)
    return Samples(_tensor(images, device)[:, None], targets)


def from_natural(images: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64], device: torch.device) -> Samples:
    """Put RGB images (image, row, column, 3) and their classes on the device."""
    return Samples(_tensor(images, device).permute(0, 3, 1, 2), _tensor(labels, device))


def _tensor(array: npt.NDArray[np.generic], device: torch.device) -> Tensor:
    """Share a memory-mapped array with torch on a CPU; copy it to any other device. Nothing here writes to it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(array).to(device)


def finetune_batch(
    samples: Samples, batch_size: int, views: ViewConfig, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw an augmented batch with replacement: images (batch, 1, row, column), masks (batch, row, column)."""
    indices = torch.randint(len(samples), (batch_size,), generator=generator)
    rows, columns = samples.images.shape[-2:]
    drawn = draw_views(views, batch_size, rows, columns, generator)
    masks = view_masks(samples.take_targets(indices), drawn, rows)
    return view_images(samples.take(indices), drawn, rows), masks


def random_view(samples: Samples, indices: Tensor, size: int, views: ViewConfig, generator: torch.Generator) -> Tensor:
    """Return one augmented view (batch, channel, size, size) of the chosen images."""
    rows, columns = samples.images.shape[-2:]
    return view_images(samples.take(indices), draw_views(views, len(indices), rows, columns, generator), size)


def epoch_batches(num_samples: int, batch_size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Yield the indices of one shuffled epoch in full batches and drop the rest; a small set is one batch."""
    order = torch.randperm(num_samples, generator=generator)
    size = min(batch_size, num_samples)
    for start in range(0, num_samples - size + 1, size):
        yield order[start : start + size]

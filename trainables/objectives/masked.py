"""Masked image modelling for convolutional encoders: patches of the input are blanked and their pixels predicted.

Source: Xie et al. 2022, arXiv 2111.09886 (SimMIM): the decoder is one layer on the encoder's last feature map, and the
loss is L1 on the masked pixels alone. Blanked pixels are 0, in the middle of the input range; no token is learnt. SparK
(Tian et al. 2023, arXiv 2301.03580) differs: its convolutions are sparse, so that masked places never mix with visible
ones from layer to layer, and its decoder takes every scale; here the encoder runs dense, as it will in fine-tuning.
"""

import math
from typing import ClassVar

import torch
from lightly.utils.dist import rank, world_size
from pydantic import Field
from torch import Tensor, nn

from trainables.models.encoder import Encoder
from trainables.objectives.contract import Batch, Objective, Options, Step
from trainables.objectives.whole_batch import full_precision
from trainables.placement import to_device

STRIDE = 32  # pixels between neighbours on the last feature map


class MaskedOptions(Options):
    """The paper's values."""

    patch_size: int = Field(32, ge=1)  # pixels
    mask_share: float = Field(0.6, gt=0, lt=1)  # of the patches

    def check_batch(self, batch: Batch) -> None:
        """Raise ValueError where a batch is too small for batch norm, or its images for a visible patch."""
        super().check_batch(batch)
        num_patches = math.ceil(batch.image_size / self.patch_size) ** 2
        if math.ceil(self.mask_share * num_patches) >= num_patches:
            raise ValueError(
                f"options.patch_size: {self.patch_size} px leaves none of {num_patches} patches visible in images of "
                f"{batch.image_size} px; lower it or options.mask_share"
            )


class _Predictor(nn.Module):
    """Encoder and a linear layer from each place of its last map to the pixels of that place."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.decode = nn.Sequential(
            nn.Conv2d(encoder.num_features, encoder.out_channels[0] * STRIDE**2, kernel_size=1), nn.PixelShuffle(STRIDE)
        )

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return predicted images of the same shape, and detached features (batch, feature)."""
        last = self.encoder.stages(images)[-1]
        predicted: Tensor = self.decode(last)[..., : images.shape[-2], : images.shape[-1]]
        return predicted, last.mean((2, 3)).detach()


class Masked(Objective):
    """Predict the pixels of masked patches."""

    reference = "Xie et al. (2022) SimMIM. arXiv:2111.09886"
    options_type: ClassVar = MaskedOptions
    num_views = 1

    def __init__(self, encoder: Encoder, options: MaskedOptions, num_classes: int) -> None:
        super().__init__(encoder, options, num_classes)
        self.predictor = _Predictor(encoder)
        self.trained = self.predictor
        self._seed, self._num_draws = int(torch.randint(2**62, (1,))), 0
        self._options = options

    def forward(self, views: list[Tensor], targets: Tensor | None = None) -> Step:
        """Return the mean absolute error of each image's masked pixels, averaged over the images."""
        images = views[0]
        mask = to_device(self._masks(len(images), images.shape[-2], images.shape[-1]), images.device)
        predicted, features = self.trained(images.masked_fill(mask, 0))
        error = (full_precision(predicted) - full_precision(images)).abs().mean(1, keepdim=True)
        return Step(((error * mask).sum((1, 2, 3)) / mask.sum((1, 2, 3))).mean(), features)

    def _masks(self, num_samples: int, rows: int, columns: int) -> Tensor:
        """Draw the masks (sample, 1, row, column) of this step: those of all workers, then this worker's share."""
        patch = self._options.patch_size
        grid = math.ceil(rows / patch), math.ceil(columns / patch)
        generator = torch.Generator().manual_seed(self._seed + self._num_draws)
        self._num_draws += self.training
        order = torch.rand(num_samples * world_size(), grid[0] * grid[1], generator=generator).argsort(1).argsort(1)
        masked = order[rank() :: world_size()] < math.ceil(self._options.mask_share * grid[0] * grid[1])
        patches = masked.view(num_samples, 1, *grid)
        return patches.repeat_interleave(patch, 2).repeat_interleave(patch, 3)[..., :rows, :columns]

    def kept_encoder(self) -> Encoder:
        """Return the trained encoder."""
        return self.predictor.encoder

    def get_extra_state(self) -> Tensor:
        """Return what the next masks are drawn from, which a resumed stage goes on with."""
        return torch.tensor([self._seed, self._num_draws])

    def set_extra_state(self, state: Tensor) -> None:
        """Go on drawing where a saved stage was."""
        self._seed, self._num_draws = map(int, state)

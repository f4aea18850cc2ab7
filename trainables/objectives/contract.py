"""What every pretraining objective offers to the pretraining loop.

In: an encoder and the stage's config. Out: a loss per batch, and the encoder to keep. The loop wraps
``self.trained`` for data-parallel training, calls the objective on each batch, and ``after_step`` once the
optimiser has stepped.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from trainables.config import StageConfig
from trainables.models.encoder import Encoder


@dataclass(frozen=True)
class Step:
    """The loss of one batch, and the features (batch, feature) that collapse is measured on."""

    loss: Tensor
    features: Tensor


class Objective(nn.Module, ABC):
    """A pretraining method. ``num_views``: how many augmented views of each image it takes."""

    num_views: ClassVar[int]
    trained: nn.Module  # what gradients reach; replaced by its data-parallel wrapper

    @abstractmethod
    def __init__(self, encoder: Encoder, config: StageConfig, num_classes: int) -> None:
        super().__init__()

    @abstractmethod
    def forward(self, views: list[Tensor], targets: Tensor | None) -> Step:
        """Return the loss of a batch of views (batch, channel, row, column) each, and targets (batch,) if any."""

    @abstractmethod
    def kept_encoder(self) -> Encoder:
        """Return the encoder that is saved."""

    def after_step(self, step: int, num_steps: int) -> None:  # most methods have nothing to do
        """Update what is not trained by gradients, after optimiser step ``step`` of ``num_steps``."""

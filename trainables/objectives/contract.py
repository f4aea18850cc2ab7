"""What every pretraining objective offers to the pretraining loop.

In: an encoder, the method's options and the number of classes. Out: a loss per batch, and the encoder to keep. The loop
makes the views that the objective asks for, wraps ``self.trained`` for data-parallel training, calls the objective on
each batch, and ``after_step`` once the optimiser has stepped. The loss is the mean over the batch, and gradients are
averaged over the workers: n workers with batch B learn what one with batch n*B learns. Whatever a method carries from
step to step (moving copies, queues, centres) is in its state dict, so that a resumed stage goes on exactly.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from trainables.config import Section, StageConfig, ViewConfig
from trainables.models.encoder import Encoder


@dataclass(frozen=True)
class Batch:
    """What is known of every batch before training."""

    num_samples: int  # over all workers
    num_workers: int
    image_size: int  # pixels


class Options(Section):
    """The settings of one method. Each method lists its own, with the defaults of its paper."""

    def check_batch(self, batch: Batch) -> None:
        """Raise ValueError where the method cannot learn from such batches."""
        workers = f"{batch.num_workers} worker{'s' * (batch.num_workers != 1)}"
        if batch.num_samples < 2 * batch.num_workers:
            fewer = " or lower compute.pretraining_workers" if batch.num_workers > 1 else ""
            raise ValueError(
                f"a batch of {batch.num_samples} cannot feed {workers} two samples each, which batch norm needs; raise "
                f"batch_size{fewer}"
            )
        if batch.num_samples % batch.num_workers:
            raise ValueError(
                f"a batch of {batch.num_samples} cannot be shared equally by {workers}; set batch_size to a multiple "
                f"of {batch.num_workers}"
            )


@dataclass(frozen=True)
class View:
    """One augmented view of each image: how it is drawn, and its edge in pixels."""

    recipe: ViewConfig
    size: int


@dataclass(frozen=True)
class Step:
    """The loss of one batch, and the features (batch, feature) that collapse is measured on."""

    loss: Tensor
    features: Tensor


class Objective(nn.Module, ABC):
    """A pretraining method."""

    reference: ClassVar[str] = ""  # what a paper that uses it cites; none for what needs no citation
    options_type: ClassVar[type[Options]] = Options
    num_views: ClassVar[int] = 2
    needs_targets: ClassVar[bool] = False
    keeps_decoder: ClassVar[bool] = False  # such a method is built with a fourth argument, the decoder that it trains
    trained: nn.Module  # what gradients reach; replaced by its data-parallel wrapper

    @abstractmethod
    def __init__(self, encoder: Encoder, options: Options, num_classes: int) -> None:
        super().__init__()

    def views(self, stage: StageConfig, size: int) -> list[View]:
        """Return the views of an image of ``size`` pixels that a batch holds, in order."""
        recipes = [stage.views, *[stage.other_views or stage.views] * (self.num_views - 1)]
        return [View(recipe, size) for recipe in recipes]

    @abstractmethod
    def forward(self, views: list[Tensor], targets: Tensor | None) -> Step:
        """Return the loss of a batch of views (batch, channel, row, column) each, and targets (batch,) if any."""

    @abstractmethod
    def kept_encoder(self) -> Encoder:
        """Return the encoder that is saved."""

    def kept_decoder(self) -> nn.Module | None:
        """Return the decoder that is saved with the encoder, where the method ``keeps_decoder``; most pretrain none."""
        return None

    def after_step(self, step: int, num_steps: int) -> None:  # most methods have nothing to do
        """Update what is not trained by gradients, after optimiser step ``step`` of ``num_steps``."""

"""What every pretraining objective offers to the pretraining loop.

In: an encoder, the method's options and the number of classes. Out: a loss per batch, and the encoder to keep. The loop
makes the views that the objective asks for, wraps ``self.trained`` for data-parallel training, calls the objective on
each batch, and ``after_step`` once the optimiser has stepped. The loss is the mean over the batch, and gradients are
averaged over the workers: n workers with batch B learn what one with batch n*B learns. Whatever a method carries from
step to step (moving copies, queues, centres) is in its state dict, so that a resumed stage goes on exactly. That state
is saved without ``trained``, whose names change with its wrapper: a method keeps the same network under a name of its
own, too (``self.online = self.trained = network``).
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from trainables.config import Section, StageConfig, ViewConfig
from trainables.models.encoder import Encoder

WRAPPED = "trained."  # before the names of what the data-parallel wrapper holds


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

    def smallest_view(self, image_size: int) -> int:
        """Return the edge in pixels of the smallest view that the method takes of an image."""
        return image_size


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
    trained: nn.Module  # what gradients reach, also under another name; replaced by its data-parallel wrapper

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

    def own_state(self) -> dict[str, Any]:
        """Return what a resumed stage goes on from: the state dict under the names that no wrapper changes.

        Raises TypeError as ``check_owned`` does.
        """
        self.check_owned()
        return {key: value for key, value in self.state_dict().items() if not key.startswith(WRAPPED)}

    def load_own_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a state that ``own_state`` returned. Raises ValueError for one of other names, and TypeError."""
        self.check_owned()
        missing, unexpected = self.load_state_dict(state, strict=False)
        if differing := [*unexpected, *(key for key in missing if not key.startswith(WRAPPED))]:
            raise ValueError(f"expected the state of {type(self).__name__}, found other names: {differing[:3]}")

    def check_owned(self) -> None:
        """Raise TypeError where a part of ``trained`` has no other name, under which it would be saved."""
        parts = [*self.named_parameters(remove_duplicate=False), *self.named_buffers(remove_duplicate=False)]
        owned = {id(value) for name, value in parts if not name.startswith(WRAPPED)}
        if lost := [name for name, value in parts if id(value) not in owned]:
            raise TypeError(
                f"{type(self).__name__} holds {lost[0]} under that name alone; expected a name of its own beside it, "
                "as in self.online = self.trained = network, since stages are resumed without what lies in trained"
            )

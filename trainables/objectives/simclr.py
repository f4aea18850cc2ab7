"""SimCLR: a view finds the other view of its image among all views of all images in the batch.

Source: Chen et al. 2020, arXiv 2002.05709. Head and loss are lightly's; negatives are all workers', with gradients.
"""

from typing import ClassVar

from lightly.loss import NTXentLoss
from lightly.models.modules.heads import SimCLRProjectionHead
from pydantic import Field
from torch import Tensor

from trainables.models.encoder import Encoder
from trainables.objectives.contract import Objective, Options, Step
from trainables.objectives.projected import Projected
from trainables.objectives.whole_batch import full_precision, no_autocast


class SimCLROptions(Options):
    """The paper's values for ImageNet."""

    projection_hidden: int = Field(2048, ge=1)
    projection_size: int = Field(128, ge=1)
    temperature: float = Field(0.1, gt=0)


class SimCLR(Objective):
    """Contrast within the batch."""

    reference = "Chen et al. (2020) A simple framework for contrastive learning. arXiv:2002.05709"
    options_type: ClassVar = SimCLROptions

    def __init__(self, encoder: Encoder, options: SimCLROptions, num_classes: int) -> None:
        super().__init__(encoder, options, num_classes)
        head = SimCLRProjectionHead(encoder.num_features, options.projection_hidden, options.projection_size)
        self.online = Projected(encoder, head)
        self.trained = self.online
        self._criterion = NTXentLoss(options.temperature, gather_distributed=True)

    def forward(self, views: list[Tensor], targets: Tensor | None = None) -> Step:
        """Return the normalised temperature-scaled cross-entropy, averaged over all views of the batch."""
        (first, second), features = self.trained(views)
        with no_autocast(first):
            return Step(self._criterion(full_precision(first), full_precision(second)), features)

    def kept_encoder(self) -> Encoder:
        """Return the trained encoder."""
        return self.online.encoder

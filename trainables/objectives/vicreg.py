"""VICReg: two views' projections agree, while each dimension keeps its variance and dimensions stay uncorrelated.

Source: Bardes et al. 2022, arXiv 2105.04906. Head and loss are lightly's; as in the authors' code the variance term is
the mean of both views', where the paper's equation has their sum. Statistics are over the batch of all workers.
"""

from typing import ClassVar

from lightly.loss import VICRegLoss
from lightly.models.modules.heads import VICRegProjectionHead
from pydantic import Field
from torch import Tensor

from trainables.models.encoder import Encoder
from trainables.objectives.contract import Objective, Options, Step
from trainables.objectives.projected import Projected
from trainables.objectives.whole_batch import full_precision, no_autocast, whole_batch


class VICRegOptions(Options):
    """The paper's values."""

    projection_hidden: int = Field(8192, ge=1)
    projection_size: int = Field(8192, ge=2)
    invariance_weight: float = Field(25.0, ge=0)
    variance_weight: float = Field(25.0, ge=0)
    covariance_weight: float = Field(1.0, ge=0)


class VICReg(Objective):
    """Variance, invariance, covariance."""

    reference = "Bardes et al. (2022) VICReg. arXiv:2105.04906"
    options_type: ClassVar = VICRegOptions

    def __init__(self, encoder: Encoder, options: VICRegOptions, num_classes: int) -> None:
        super().__init__(encoder, options, num_classes)
        head = VICRegProjectionHead(encoder.num_features, options.projection_hidden, options.projection_size)
        self.online = Projected(encoder, head)
        self.trained = self.online
        self._criterion = VICRegLoss(options.invariance_weight, options.variance_weight, options.covariance_weight)

    def forward(self, views: list[Tensor], targets: Tensor | None = None) -> Step:
        """Return the weighted sum of the three terms."""
        projections, features = self.trained(views)
        first, second = (whole_batch(full_precision(each)) for each in projections)
        with no_autocast(first):
            return Step(self._criterion(first, second), features)

    def kept_encoder(self) -> Encoder:
        """Return the trained encoder."""
        return self.online.encoder

"""Barlow Twins: the correlation of two views' projections over the batch becomes the identity.

Source: Zbontar et al. 2021, arXiv 2103.03230. Head and loss are lightly's. Projections are normalised and correlated
over the batch of all workers, as by the authors' synchronised batch norm; lightly's own gathering would normalise
each worker's share by itself.
"""

from typing import ClassVar

from lightly.loss import BarlowTwinsLoss
from lightly.models.modules.heads import BarlowTwinsProjectionHead
from pydantic import Field
from torch import Tensor

from trainables.models.encoder import Encoder
from trainables.objectives.contract import Objective, Options, Step
from trainables.objectives.projected import Projected
from trainables.objectives.whole_batch import full_precision, no_autocast, whole_batch


class BarlowTwinsOptions(Options):
    """The paper's values."""

    projection_hidden: int = Field(8192, ge=1)
    projection_size: int = Field(8192, ge=2)
    redundancy_weight: float = Field(5e-3, ge=0)  # of the off-diagonal correlations


class BarlowTwins(Objective):
    """Redundancy reduction."""

    reference = "Zbontar et al. (2021) Barlow Twins. arXiv:2103.03230"
    options_type: ClassVar = BarlowTwinsOptions

    def __init__(self, encoder: Encoder, options: BarlowTwinsOptions, num_classes: int) -> None:
        super().__init__(encoder, options, num_classes)
        head = BarlowTwinsProjectionHead(encoder.num_features, options.projection_hidden, options.projection_size)
        self.online = Projected(encoder, head)
        self.trained = self.online
        self._criterion = BarlowTwinsLoss(options.redundancy_weight)

    def forward(self, views: list[Tensor], targets: Tensor | None = None) -> Step:
        """Return the squared distance of the correlations from the identity, off-diagonal ones weighted down."""
        projections, features = self.trained(views)
        first, second = (whole_batch(full_precision(each)) for each in projections)
        with no_autocast(first):
            return Step(self._criterion(first, second), features)

    def kept_encoder(self) -> Encoder:
        """Return the trained encoder."""
        return self.online.encoder

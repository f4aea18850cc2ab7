"""An encoder with a projection head: what methods train that compare the projections of two views.

In: an encoder and a head. Out: projections of each view, and the first view's features.
"""

from torch import Tensor, nn

from trainables.models.encoder import Encoder


class Projected(nn.Module):
    """Encoder and head in one forward call, as data-parallel training needs."""

    def __init__(self, encoder: Encoder, project: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.project = project

    def forward(self, views: list[Tensor]) -> tuple[list[Tensor], Tensor]:
        """Return projections (batch, size) of each view, and detached features (batch, feature) of the first."""
        features = [self.encoder(view) for view in views]
        return [self.project(each) for each in features], features[0].detach()

"""Supervised pretraining: classify labelled natural images, keep the encoder (cross-entropy on one linear layer)."""

from torch import Tensor, nn
from torch.nn import functional as F

from trainables.models.encoder import Encoder
from trainables.objectives.contract import Objective, Options, Step


class _Classifier(nn.Module):
    def __init__(self, encoder: Encoder, num_classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.fc = nn.Linear(encoder.num_features, num_classes)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = self.encoder(images)
        return self.fc(features), features.detach()


class Supervised(Objective):
    """Classification with a linear head."""

    num_views = 1
    needs_targets = True

    def __init__(self, encoder: Encoder, options: Options, num_classes: int) -> None:
        super().__init__(encoder, options, num_classes)
        self.classifier = _Classifier(encoder, num_classes)
        self.trained = self.classifier

    def forward(self, views: list[Tensor], targets: Tensor | None) -> Step:
        """Return the cross-entropy of one view of each image against its class."""
        assert targets is not None
        logits, features = self.trained(views[0])
        return Step(F.cross_entropy(logits, targets), features)

    def kept_encoder(self) -> Encoder:
        """Return the trained encoder."""
        return self.classifier.encoder

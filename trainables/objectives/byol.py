"""BYOL: an online network predicts the projections of a slowly moving copy of itself.

Source: Grill et al. 2020, arXiv 2006.07733. Heads, loss, moving average and its schedule are lightly's. The
symmetric loss is the mean of both directions. The moving copy is the encoder that is kept (as in the paper's
hierarchical arms); its batch-norm statistics follow its own batches, and its parameters the online network's.
"""

import copy
from typing import ClassVar

from lightly.loss import NegativeCosineSimilarity
from lightly.models.modules.heads import BYOLPredictionHead, BYOLProjectionHead
from lightly.models.utils import deactivate_requires_grad, update_momentum
from lightly.utils.scheduler import cosine_schedule
from pydantic import Field
from torch import Tensor, nn, no_grad

from trainables.models.encoder import Encoder
from trainables.objectives.contract import Objective, Options, Step
from trainables.objectives.whole_batch import full_precision, no_autocast


class BYOLOptions(Options):
    """Sizes of the heads as in the paper; the moving average as in Kalapos & Gyires-Tóth 2022."""

    projection_hidden: int = Field(4096, ge=1)
    projection_size: int = Field(256, ge=1)
    prediction_hidden: int = Field(4096, ge=1)
    momentum_start: float = Field(0.99, ge=0, le=1)  # of the moving average; rises to 1 along a cosine


class _Online(nn.Module):
    """Encoder, projection and prediction in one forward call, as data-parallel training needs."""

    def __init__(self, encoder: Encoder, options: BYOLOptions) -> None:
        super().__init__()
        self.encoder = encoder
        self.project = BYOLProjectionHead(encoder.num_features, options.projection_hidden, options.projection_size)
        self.predict = BYOLPredictionHead(options.projection_size, options.prediction_hidden, options.projection_size)

    def forward(self, views: list[Tensor]) -> tuple[list[Tensor], Tensor]:
        features = [self.encoder(view) for view in views]
        return [self.predict(self.project(each)) for each in features], features[0].detach()


class BYOL(Objective):
    """Bootstrap your own latent."""

    reference = "Grill et al. (2020) Bootstrap your own latent. arXiv:2006.07733"
    options_type: ClassVar = BYOLOptions

    def __init__(self, encoder: Encoder, options: BYOLOptions, num_classes: int) -> None:
        super().__init__(encoder, options, num_classes)
        online = _Online(encoder, options)
        self.online = online
        self.trained = online
        self.target_encoder = copy.deepcopy(online.encoder)
        self.target_project = copy.deepcopy(online.project)
        deactivate_requires_grad(self.target_encoder)
        deactivate_requires_grad(self.target_project)
        self._criterion = NegativeCosineSimilarity()
        self._momentum_start = options.momentum_start

    def forward(self, views: list[Tensor], targets: Tensor | None = None) -> Step:
        """Return minus the cosine, averaged over both directions; its minimum is -1."""
        predictions, features = self.trained(views)
        with no_grad():
            goals = [full_precision(self.target_project(self.target_encoder(view))) for view in views]
        first, second = map(full_precision, predictions)
        with no_autocast(features):  # near -1 bfloat16 knows steps of 1/256 alone
            loss = 0.5 * (self._criterion(first, goals[1]) + self._criterion(second, goals[0]))
        return Step(loss, features)

    def kept_encoder(self) -> Encoder:
        """Return the moving copy."""
        return self.target_encoder

    def after_step(self, step: int, num_steps: int) -> None:
        """Move the copy towards the online network; the momentum rises from its start to 1 along a cosine."""
        momentum = cosine_schedule(step, num_steps, self._momentum_start, 1.0)
        update_momentum(self.online.encoder, self.target_encoder, momentum)
        update_momentum(self.online.project, self.target_project, momentum)

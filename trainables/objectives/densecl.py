"""DenseCL: MoCo's contrast on whole images, and the same contrast on the places of the encoder's last feature map.

Source: Wang et al. 2021, arXiv 2011.09157. Heads, moving average and the matching of places are lightly's. A place is
paired with that place of the other view whose encoder features are most similar; its negatives are the mean projections
of other images' places. The last map has a stride of 32 pixels, so small images have few places. The query encoder is
kept.
"""

import copy
from typing import ClassVar

import torch
from lightly.models.modules.heads import DenseCLProjectionHead
from lightly.models.utils import deactivate_requires_grad, select_most_similar, update_momentum
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from trainables.models.encoder import Encoder
from trainables.objectives.contract import Batch, Objective, Options, Step
from trainables.objectives.queue import Queue, check_queue, info_nce
from trainables.objectives.whole_batch import full_precision, no_autocast, whole_batch


class DenseCLOptions(Options):
    """The paper's values."""

    projection_hidden: int = Field(2048, ge=1)
    projection_size: int = Field(128, ge=1)
    temperature: float = Field(0.2, gt=0)
    momentum: float = Field(0.999, ge=0, le=1)  # of the moving copy
    queue_size: int = Field(65536, ge=2)
    dense_weight: float = Field(0.5, ge=0, le=1)  # of the contrast of places; the rest is the whole images'

    def check_batch(self, batch: Batch) -> None:
        """Raise ValueError where a batch is too small for batch norm or too large for the queue."""
        super().check_batch(batch)
        check_queue(self.queue_size, batch)


class _Dense(nn.Module):
    """Encoder with a head for pooled features and one for each place of the last feature map."""

    def __init__(self, encoder: Encoder, options: DenseCLOptions) -> None:
        super().__init__()
        sizes = (encoder.num_features, options.projection_hidden, options.projection_size)
        self.encoder = encoder
        self.project = DenseCLProjectionHead(*sizes)
        self.project_places = DenseCLProjectionHead(*sizes)

    def forward(self, view: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return features (batch, place, feature), projections (batch, size) and of places (batch, place, size)."""
        places = self.encoder.stages(view)[-1].flatten(2).transpose(1, 2)
        return places, self.project(places.mean(1)), self.project_places(places)


class DenseCL(Objective):
    """Dense contrastive learning."""

    reference = "Wang et al. (2021) Dense contrastive learning. arXiv:2011.09157"
    options_type: ClassVar = DenseCLOptions

    def __init__(self, encoder: Encoder, options: DenseCLOptions, num_classes: int) -> None:
        super().__init__(encoder, options, num_classes)
        self.query_network = _Dense(encoder, options)
        self.trained = self.query_network
        self.key_network = copy.deepcopy(self.query_network)
        deactivate_requires_grad(self.key_network)
        self.queue = Queue(options.queue_size, options.projection_size)
        self.place_queue = Queue(options.queue_size, options.projection_size)
        self._options = options

    def forward(self, views: list[Tensor], targets: Tensor | None = None) -> Step:
        """Return the weighted contrast of images and of places; in training the queues take the second view's keys."""
        features, *queries = (full_precision(each) for each in self.trained(views[0]))
        with torch.no_grad():
            key_features, *keys = (full_precision(each) for each in self.key_network(views[1]))
        with no_autocast(features):
            loss = self._loss(features, key_features, queries, keys)
        if self.training:
            self.queue.add(whole_batch(F.normalize(keys[0], dim=1)))
            self.place_queue.add(whole_batch(F.normalize(keys[1].mean(1), dim=1)))
        return Step(loss, features.mean(1).detach())

    def _loss(self, features: Tensor, key_features: Tensor, queries: list[Tensor], keys: list[Tensor]) -> Tensor:
        weight, temperature = self._options.dense_weight, self._options.temperature
        query, key = (F.normalize(each[0], dim=1) for each in (queries, keys))
        matched = select_most_similar(features.detach(), key_features, keys[1])  # (batch, place, size)
        place, its_key = (F.normalize(each.flatten(0, 1), dim=1) for each in (queries[1], matched))
        of_images = info_nce(query, key, self.queue.keys.clone(), temperature)
        of_places = info_nce(place, its_key, self.place_queue.keys.clone(), temperature)
        return (1 - weight) * of_images + weight * of_places

    def kept_encoder(self) -> Encoder:
        """Return the query encoder."""
        return self.query_network.encoder

    def after_step(self, step: int, num_steps: int) -> None:
        """Move the copy towards the trained network."""
        update_momentum(self.query_network, self.key_network, self._options.momentum)

"""MoCo v2: a query finds the key of its image among the keys of past batches, made by a slowly moving copy.

Source: Chen et al. 2020, arXiv 2003.04297 (v2); He et al. 2020, arXiv 1911.05722. Head and moving average: lightly's.
The authors shuffle samples between workers before the keys' batch norm, so that no statistic betrays a pair; here batch
norms are synchronised instead, and one worker equals several. The query encoder is kept.
"""

import copy
from typing import ClassVar

from lightly.models.modules.heads import MoCoProjectionHead
from lightly.models.utils import deactivate_requires_grad, update_momentum
from pydantic import Field
from torch import Tensor, no_grad
from torch.nn import functional as F

from trainables.models.encoder import Encoder
from trainables.objectives.contract import Batch, Objective, Options, Step
from trainables.objectives.projected import Projected
from trainables.objectives.queue import Queue, check_queue, info_nce
from trainables.objectives.whole_batch import full_precision, no_autocast, whole_batch


class MoCoOptions(Options):
    """The values of MoCo v2."""

    projection_hidden: int = Field(2048, ge=1)
    projection_size: int = Field(128, ge=1)
    temperature: float = Field(0.2, gt=0)
    momentum: float = Field(0.999, ge=0, le=1)  # of the moving copy
    queue_size: int = Field(65536, ge=2)

    def check_batch(self, batch: Batch) -> None:
        """Raise ValueError where a batch is too small for batch norm or too large for the queue."""
        super().check_batch(batch)
        check_queue(self.queue_size, batch)


class MoCo(Objective):
    """Momentum contrast."""

    reference = "Chen et al. (2020) Improved baselines with momentum contrastive learning. arXiv:2003.04297"
    options_type: ClassVar = MoCoOptions

    def __init__(self, encoder: Encoder, options: MoCoOptions, num_classes: int) -> None:
        super().__init__(encoder, options, num_classes)
        head = MoCoProjectionHead(encoder.num_features, options.projection_hidden, options.projection_size)
        self.query_network = Projected(encoder, head)
        self.trained = self.query_network
        self.key_network = copy.deepcopy(self.query_network)
        deactivate_requires_grad(self.key_network)
        self.queue = Queue(options.queue_size, options.projection_size)
        self._options = options

    def forward(self, views: list[Tensor], targets: Tensor | None = None) -> Step:
        """Return the contrast of the first view's queries with the second's keys; in training the queue takes these."""
        (queries,), features = self.trained(views[:1])
        with no_grad():
            (keys,), _ = self.key_network(views[1:])
        queries, keys = (F.normalize(full_precision(each), dim=1) for each in (queries, keys))
        with no_autocast(queries):
            loss = info_nce(queries, keys, self.queue.keys.clone(), self._options.temperature)
        if self.training:
            self.queue.add(whole_batch(keys))
        return Step(loss, features)

    def kept_encoder(self) -> Encoder:
        """Return the query encoder."""
        return self.query_network.encoder

    def after_step(self, step: int, num_steps: int) -> None:
        """Move the copy towards the trained network."""
        update_momentum(self.query_network, self.key_network, self._options.momentum)

"""DINO: a student's distribution over prototypes matches its slowly moving teacher's, on large and small crops.

Source: Caron et al. 2021, arXiv 2104.14294, for convolutional nets. Loss, centre, moving average and its schedule are
lightly's. The student sees all views, the teacher the two large ones; the teacher's encoder is kept. Three things are
simpler than in the authors' code: the teacher's temperature is not warmed up, the last layer trains from the start, and
batch norm takes each view by itself.
"""

import copy
from typing import ClassVar

import torch
from lightly.loss import DINOLoss
from lightly.models.modules.heads import ProjectionHead
from lightly.models.utils import deactivate_requires_grad, update_momentum
from lightly.utils.scheduler import cosine_schedule
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from trainables.config import StageConfig
from trainables.models.encoder import Encoder
from trainables.objectives.contract import Objective, Options, Step, View
from trainables.objectives.projected import Projected
from trainables.objectives.whole_batch import full_precision, no_autocast


class DINOOptions(Options):
    """The defaults of the authors' code. The large crops are the stage's views."""

    projection_hidden: int = Field(2048, ge=1)
    projection_size: int = Field(256, ge=1)
    num_prototypes: int = Field(65536, ge=2)
    teacher_temperature: float = Field(0.04, gt=0)
    student_temperature: float = Field(0.1, gt=0)
    centre_momentum: float = Field(0.9, ge=0, le=1)
    momentum_start: float = Field(0.996, ge=0, le=1)  # of the teacher; rises to 1 along a cosine
    num_local_views: int = Field(8, ge=0)
    local_size: float = Field(96 / 224, gt=0, le=1)  # edge of a small view, as a share of the image's
    local_scale_low: float = Field(0.05, gt=0, le=1)  # share of the image's area that a small crop covers
    local_scale_high: float = Field(0.4, gt=0, le=1)

    @model_validator(mode="after")
    def _scale_rises(self) -> "DINOOptions":
        if self.local_scale_low > self.local_scale_high:
            raise ValueError(f"local_scale_low: expected at most local_scale_high={self.local_scale_high}")
        return self

    def local_edge(self, image_size: int) -> int:
        """Return the edge of a small view in pixels."""
        return max(1, round(image_size * self.local_size))

    def smallest_view(self, image_size: int) -> int:
        """Return the edge of the small views, where there are any."""
        return self.local_edge(image_size) if self.num_local_views else image_size


class _Head(nn.Module):
    """Three layers, then cosines with prototypes (no weight normalisation that torch deprecates)."""

    def __init__(self, num_features: int, options: DINOOptions) -> None:
        super().__init__()
        hidden, size = options.projection_hidden, options.projection_size
        blocks = [
            (num_features, hidden, None, nn.GELU()),
            (hidden, hidden, None, nn.GELU()),
            (hidden, size, None, None),
        ]
        self.mlp = ProjectionHead(blocks)
        self.prototypes = nn.Linear(size, options.num_prototypes, bias=False)
        for module in self.mlp.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(self, features: Tensor) -> Tensor:
        projections = full_precision(self.mlp(features))
        with no_autocast(projections):  # a temperature of 0.04 would blow up the rounding of bfloat16
            return F.linear(F.normalize(projections, dim=1), F.normalize(self.prototypes.weight, dim=1))


class DINO(Objective):
    """Self-distillation without labels."""

    reference = "Caron et al. (2021) Emerging properties in self-supervised vision transformers. arXiv:2104.14294"
    options_type: ClassVar = DINOOptions

    def __init__(self, encoder: Encoder, options: DINOOptions, num_classes: int) -> None:
        super().__init__(encoder, options, num_classes)
        self.student = Projected(encoder, _Head(encoder.num_features, options))
        self.trained = self.student
        self.teacher = copy.deepcopy(self.student)
        deactivate_requires_grad(self.teacher)
        self.criterion = DINOLoss(
            options.num_prototypes,
            teacher_temp=options.teacher_temperature,
            student_temp=options.student_temperature,
            center_momentum=options.centre_momentum,
        )
        self._options = options

    def views(self, stage: StageConfig, size: int) -> list[View]:
        """Return two large views, then the small ones."""
        options = self._options
        scale = (options.local_scale_low, options.local_scale_high)
        recipe = (stage.other_views or stage.views).model_copy(update={"crop_scale": scale})
        local = View(recipe, options.local_edge(size))
        return [*super().views(stage, size), *[local] * options.num_local_views]

    def forward(self, views: list[Tensor], targets: Tensor | None = None) -> Step:
        """Return the mean cross-entropy over pairs of different views; the centre moves with the teacher's outputs."""
        students, features = self.trained(views)
        with torch.no_grad():
            teachers, _ = self.teacher(views[:2])
        with no_autocast(features):
            return Step(self.criterion(teachers, students), features)

    def kept_encoder(self) -> Encoder:
        """Return the teacher's encoder."""
        return self.teacher.encoder

    def after_step(self, step: int, num_steps: int) -> None:
        """Move the teacher towards the student; the momentum rises from its start to 1 along a cosine."""
        momentum = cosine_schedule(step, num_steps, self._options.momentum_start, 1.0)
        update_momentum(self.student, self.teacher, momentum)

"""BYOL as lightly's users write it: a DataLoader of PIL images under BYOLTransform, and a plain loop.

In: RGB images as an array, an image size, a batch. Out: steps of training. The structure of lightly's PyTorch example,
written anew: torchvision's ResNet-18 without its classifier, a forward call for each view and network, SGD, tensors in
the default memory layout. Images are augmented one by one in the training process.
"""

import copy
import itertools
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
import torchvision
from lightly.loss import NegativeCosineSimilarity
from lightly.models.modules import BYOLPredictionHead, BYOLProjectionHead
from lightly.models.utils import deactivate_requires_grad, update_momentum
from lightly.transforms.byol_transform import BYOLTransform, BYOLView1Transform, BYOLView2Transform
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

HIDDEN_SIZE, PROJECTION_SIZE = 1024, 256


class PilImages(Dataset[list[Tensor]]):
    """Images that lie decoded in memory, as two augmented views each."""

    def __init__(self, images: npt.NDArray[np.uint8], image_size: int) -> None:
        self._images = [Image.fromarray(image) for image in images]
        self._transform = BYOLTransform(
            BYOLView1Transform(input_size=image_size), BYOLView2Transform(input_size=image_size)
        )

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> list[Tensor]:
        views: list[Tensor] = self._transform(self._images[index])
        return views


class LightlyBYOL(nn.Module):
    """Two networks, of which one follows the other."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(*list(torchvision.models.resnet18().children())[:-1])
        self.project = BYOLProjectionHead(512, HIDDEN_SIZE, PROJECTION_SIZE)
        self.predict = BYOLPredictionHead(PROJECTION_SIZE, HIDDEN_SIZE, PROJECTION_SIZE)
        self.backbone_copy, self.project_copy = copy.deepcopy(self.backbone), copy.deepcopy(self.project)
        deactivate_requires_grad(self.backbone_copy)
        deactivate_requires_grad(self.project_copy)

    def forward(self, view: Tensor) -> Tensor:
        """Return the prediction for a view."""
        prediction: Tensor = self.predict(self.project(self.backbone(view).flatten(1)))
        return prediction

    def goal(self, view: Tensor) -> Tensor:
        """Return the copy's projection of a view."""
        projection: Tensor = self.project_copy(self.backbone_copy(view).flatten(1))
        return projection.detach()


class LightlyStep:
    """One step of the example, its data included."""

    def __init__(self, images: npt.NDArray[np.uint8], image_size: int, batch_size: int, device: torch.device) -> None:
        dataset = PilImages(images, image_size)
        self._loader = DataLoader(dataset, batch_size, shuffle=True, drop_last=True, num_workers=0)
        self._batches = self._endless()
        self._device, self._model = device, LightlyBYOL().to(device)
        self._criterion = NegativeCosineSimilarity()
        self._optimizer = torch.optim.SGD(self._model.parameters(), lr=0.06)

    def _endless(self) -> Iterator[list[Tensor]]:
        return itertools.chain.from_iterable(itertools.repeat(self._loader))

    def views(self) -> list[Tensor]:
        """Draw the two views of the next batch."""
        return [view.to(self._device) for view in next(self._batches)]

    def __call__(self) -> None:
        """Take one step."""
        model = self._model
        update_momentum(model.backbone, model.backbone_copy, 0.996)
        update_momentum(model.project, model.project_copy, 0.996)
        first, second = self.views()
        first_prediction, first_goal = model(first), model.goal(first)
        second_prediction, second_goal = model(second), model.goal(second)
        loss = 0.5 * (self._criterion(first_prediction, second_goal) + self._criterion(second_prediction, first_goal))
        loss.backward()
        self._optimizer.step()
        self._optimizer.zero_grad()

"""ResNet encoders with torchvision's parameter names, in any width.

In: a name, a width and the number of input channels. Out: a network whose stages feed a U-Net, or whose pooled
features feed a pretraining head. At width 64 ``resnet18/34/50`` take torchvision's weights key by key. Source: He
et al. 2016; the strided 3x3 convolution of the bottleneck as in torchvision (ResNet v1.5).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck, conv1x1

from trainables.config import ModelConfig

DEPTHS: dict[str, tuple[type[BasicBlock] | type[Bottleneck], tuple[int, int, int, int]]] = {
    "resnet10": (BasicBlock, (1, 1, 1, 1)),
    "resnet18": (BasicBlock, (2, 2, 2, 2)),
    "resnet34": (BasicBlock, (3, 4, 6, 3)),
    "resnet50": (Bottleneck, (3, 4, 6, 3)),
}


class Encoder(nn.Module):
    """A ResNet without its classifier.

    ``out_channels`` lists the channels of the six feature maps that ``stages`` returns, from the input itself
    (stride 1) to the last stage (stride 32).
    """

    def __init__(self, config: ModelConfig, in_channels: int) -> None:
        super().__init__()
        block, depths = DEPTHS[config.encoder]
        width = config.width
        self._planes = width
        self.conv1 = nn.Conv2d(in_channels, width, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.layer1 = self._stage(block, width, depths[0], stride=1)
        self.layer2 = self._stage(block, 2 * width, depths[1], stride=2)
        self.layer3 = self._stage(block, 4 * width, depths[2], stride=2)
        self.layer4 = self._stage(block, 8 * width, depths[3], stride=2)
        expanded: int = width * block.expansion
        self.out_channels = (in_channels, width, expanded, 2 * expanded, 4 * expanded, 8 * expanded)
        self._initialise()

    @property
    def num_features(self) -> int:
        """Channels of the pooled features."""
        return self.out_channels[-1]

    def _stage(self, block: type[BasicBlock] | type[Bottleneck], planes: int, depth: int, stride: int) -> nn.Sequential:
        outputs = planes * block.expansion
        downsample = None
        if stride != 1 or self._planes != outputs:
            downsample = nn.Sequential(conv1x1(self._planes, outputs, stride), nn.BatchNorm2d(outputs))
        blocks: list[nn.Module] = [block(self._planes, planes, stride, downsample)]
        self._planes = outputs
        blocks += [block(outputs, planes) for _ in range(1, depth)]
        return nn.Sequential(*blocks)

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def stages(self, images: Tensor) -> Sequence[Tensor]:
        """Return the six feature maps of (batch, channel, row, column) images, finest first."""
        stem = self.relu(self.bn1(self.conv1(images)))
        first = self.layer1(self.maxpool(stem))
        second = self.layer2(first)
        third = self.layer3(second)
        return [images, stem, first, second, third, self.layer4(third)]

    def forward(self, images: Tensor) -> Tensor:
        """Return pooled features (batch, num_features)."""
        return torch.flatten(nn.functional.adaptive_avg_pool2d(self.stages(images)[-1], 1), 1)

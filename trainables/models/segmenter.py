"""The segmentation network: a U-Net decoder on a pretrained encoder, and its loss.

In: an encoder. Out: logits per pixel and class. Decoder, head and loss are segmentation-models-pytorch's:
Ronneberger et al. 2015 with nearest upsampling, Kaiming-uniform convolutions, Xavier-uniform head.
"""

from collections.abc import Callable

from segmentation_models_pytorch.base import SegmentationHead
from segmentation_models_pytorch.base import initialization as initialise
from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder
from segmentation_models_pytorch.losses import JaccardLoss
from torch import Tensor, nn

from trainables.config import ModelConfig
from trainables.models.encoder import Encoder


class Segmenter(nn.Module):
    """A U-Net. The same state dict as ``smp.Unet`` of that encoder and width."""

    def __init__(self, encoder: Encoder, config: ModelConfig, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.encoder = encoder
        self.decoder = _decoder(encoder, config)
        self.segmentation_head = SegmentationHead(config.decoder_channels[-1], num_classes, kernel_size=3)
        initialise.initialize_decoder(self.decoder)
        initialise.initialize_head(self.segmentation_head)

    def forward(self, images: Tensor) -> Tensor:
        """Return (batch, class, row, column) logits."""
        logits: Tensor = self.segmentation_head(self.decoder(self.encoder.stages(images)))
        return logits


def build_decoder(encoder: Encoder, config: ModelConfig) -> nn.Module:
    """Return an initialised decoder for an encoder: from the maps of ``encoder.stages`` to one at full resolution."""
    decoder = _decoder(encoder, config)
    initialise.initialize_decoder(decoder)
    return decoder


def _decoder(encoder: Encoder, config: ModelConfig) -> nn.Module:
    return UnetDecoder(  # type: ignore[no-any-return]
        encoder_channels=encoder.out_channels, decoder_channels=config.decoder_channels, n_blocks=5
    )


def jaccard_loss() -> Callable[[Tensor, Tensor], Tensor]:
    """Return the training loss: soft Jaccard over the batch, a mean over the classes, absent ones counting 0."""
    loss: Callable[[Tensor, Tensor], Tensor] = JaccardLoss(mode="multiclass", from_logits=True)
    return loss

"""A decoder that was pretrained with its encoder, back in a network.

In: a weights string and a decoder of the network's own architecture. Out: that decoder with the weights that the file
holds; every key matched, or an error. Most files hold none, and the decoder stays as it was drawn.
"""

import torch
from torch import Tensor, nn

from trainables.config import ModelConfig
from trainables.models.encoder import Encoder
from trainables.weights.card import read_decoder
from trainables.weights.files import WeightsError
from trainables.weights.source import RANDOM, locate


def load_decoder(decoder: nn.Module, source: str) -> int:
    """Load what a source's file holds of a decoder and return how many tensors that were, 0 for none.

    Raises WeightsError where they are of another architecture.
    """
    state = {} if source == RANDOM else read_decoder(locate(source).path)
    if not state:
        return 0
    if problems := _problems(state, decoder.state_dict()):
        raise WeightsError(
            f"the decoder in weights '{source}' does not fit this network's: {problems}; set model.encoder, "
            "model.width and model.decoder_channels to those in the card beside the file"
        )
    decoder.load_state_dict(state)
    return len(state)


def check_decoder(source: str, config: ModelConfig) -> int:
    """Return how many tensors of a decoder would be loaded from a source. Raises WeightsError as ``load_decoder``."""
    from trainables.models.segmenter import build_decoder  # brings smp, which files without a decoder do not need

    if source == RANDOM or not read_decoder(locate(source).path):
        return 0
    return load_decoder(build_decoder(Encoder(config, in_channels=1), config), source)


def _problems(state: dict[str, Tensor], expected: dict[str, Tensor]) -> str:
    """Name the first key that differs, and how many do; an empty string where none does."""
    found = [f"{key} is missing" for key in sorted(expected.keys() - state.keys())]
    found += [f"{key} is unknown" for key in sorted(state.keys() - expected.keys())]
    for key in sorted(state.keys() & expected.keys()):
        if state[key].shape != expected[key].shape:
            found.append(f"{key} is {tuple(state[key].shape)} instead of {tuple(expected[key].shape)}")
        elif not torch.isfinite(state[key].float()).all():
            found.append(f"{key} is not finite")
    return "" if not found else found[0] + (f", and {len(found) - 1} more" if len(found) > 1 else "")

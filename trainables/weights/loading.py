"""An encoder with the weights that a string names.

In: a weights string, a ModelConfig, the number of input channels. Out: an encoder in which every key was matched.
Random weights come from ``random`` alone: whatever else does not load is an error.
"""

from dataclasses import dataclass

import torch

from trainables.config import ModelConfig
from trainables.models.encoder import Encoder
from trainables.processes import seeded
from trainables.weights.files import WeightsError, read_tensors, sha256
from trainables.weights.fit import FittedWeights, fit_weights
from trainables.weights.layouts import find_network
from trainables.weights.source import RANDOM, locate


@dataclass(frozen=True)
class CheckedWeights:
    """``weights_id``: ``random`` or ``sha256:...`` of the file. ``report``: what of the file was matched, in a line."""

    weights_id: str
    report: str
    licence: str

    @property
    def line(self) -> str:
        """Report and licence, as a plan prints them."""
        return f"{self.report}; licence: {self.licence}"


def check_weights(source: str, config: ModelConfig, in_channels: int = 1) -> CheckedWeights:
    """Load weights once and say what was matched.

    Raises WeightsError for an unknown form, an unreadable file, or keys and shapes that do not fit the encoder.
    """
    if source == RANDOM:
        return CheckedWeights(RANDOM, "drawn from the seed", "none")
    with torch.device("meta"):  # its shapes are enough
        encoder = Encoder(config, in_channels)
    fitted = _fitted(source, encoder, config)
    return CheckedWeights(_weights_id(source), fitted.report, locate(source).licence)


def check_unchanged(source: str, weights_id: str) -> None:
    """Raise WeightsError where a weights file is not the one that was planned with."""
    if weights_id.startswith("sha256:") and _weights_id(source) != weights_id:
        raise WeightsError(f"weights '{source}' differ from those that the run was planned with ({weights_id})")


def build_encoder(config: ModelConfig, source: str, in_channels: int, seed: int) -> Encoder:
    """Return an encoder for images of ``in_channels``, with the source's weights or seeded random ones."""
    with seeded(seed):
        encoder = Encoder(config, in_channels)
    if source != RANDOM:
        encoder.load_state_dict(_fitted(source, encoder, config).state)
    return encoder


def _fitted(source: str, encoder: Encoder, config: ModelConfig) -> FittedWeights:
    located = locate(source)
    network = find_network(read_tensors(located.path), located.network, f"weights '{source}'")
    return fit_weights(network, encoder, config, f"weights '{source}'")


def _weights_id(source: str) -> str:
    located = locate(source)
    return f"sha256:{sha256(located.path)}" + (f"#{located.network}" if located.network else "")

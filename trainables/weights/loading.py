"""An encoder with the weights that a string names.

In: a weights string, a ModelConfig, the number of input channels. Out: an encoder in which every key was matched.
Random weights come from ``random`` alone: whatever else does not load is an error. A process that builds many encoders
reads and fits a file once.
"""

import functools
from dataclasses import dataclass
from pathlib import Path

import torch

from trainables.config import ModelConfig
from trainables.models.encoder import Encoder
from trainables.processes import seeded
from trainables.weights.files import WeightsError, read_tensors, sha256, stamp
from trainables.weights.fit import FittedWeights, fit_weights
from trainables.weights.layouts import find_network
from trainables.weights.source import RANDOM, locate

NUM_KEPT = 2  # files whose weights stay in memory: cells that follow one another share their encoder


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
    fitted = _fitted(source, config, in_channels)
    return CheckedWeights(_weights_id(source), fitted.report, locate(source).licence)


def check_unchanged(source: str, weights_id: str) -> None:
    """Raise WeightsError where a weights file is not the one that was planned with."""
    if weights_id.startswith("sha256:") and _weights_id(source) != weights_id:
        raise WeightsError(f"weights '{source}' differ from those that the run was planned with ({weights_id})")


def build_encoder(config: ModelConfig, source: str, in_channels: int, seed: int) -> Encoder:
    """Return an encoder for images of ``in_channels``, with the source's weights or seeded random ones."""
    if source == RANDOM:
        with seeded(seed):
            return Encoder(config, in_channels)
    encoder = _shape(config, in_channels).to_empty(device="cpu")
    encoder.load_state_dict(_fitted(source, config, in_channels).state)  # every key, so nothing stays empty
    return encoder


def _shape(config: ModelConfig, in_channels: int) -> Encoder:
    with torch.device("meta"):
        return Encoder(config, in_channels)


def _fitted(source: str, config: ModelConfig, in_channels: int) -> FittedWeights:
    located = locate(source)
    return _read(source, located.path, stamp(located.path), located.network, config.model_dump_json(), in_channels)


@functools.lru_cache(maxsize=NUM_KEPT)
def _read(
    source: str, path: Path, _: tuple[int, int], network: str | None, config: str, in_channels: int
) -> FittedWeights:
    """Read and fit a file that was last changed at a moment; its tensors are copied from, never changed."""
    where, model = f"weights '{source}'", ModelConfig.model_validate_json(config)
    found = find_network(read_tensors(path), network, where)
    return fit_weights(found, _shape(model, in_channels), model, where)


def _weights_id(source: str) -> str:
    located = locate(source)
    return f"sha256:{sha256(located.path)}" + (f"#{located.network}" if located.network else "")

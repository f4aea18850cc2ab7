"""Whether weights fit an encoder, key by key.

In: a network found in a file, an encoder. Out: a state dict that loads strictly, and a line that says what was
matched and what ignored; or an error that names keys and shapes. Nothing is left at its random value.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.models.resnet import Bottleneck

from trainables.config import ModelConfig
from trainables.models.encoder import DEPTHS, Encoder
from trainables.weights.card import KEPT_DECODER
from trainables.weights.files import WeightsError
from trainables.weights.layouts import FoundNetwork

NUM_NAMED = 3  # keys of each kind that a message names
COUNTER = "num_batches_tracked"  # of batch norm: older files lack it, and with a fixed momentum nothing reads it


@dataclass(frozen=True)
class FittedWeights:
    """Weights with every key of an encoder, and what to tell of them."""

    state: dict[str, Tensor]
    report: str


def fit_weights(network: FoundNetwork, encoder: Encoder, config: ModelConfig, where: str) -> FittedWeights:
    """Match a network's keys to an encoder's. Raises WeightsError unless every key has its counterpart."""
    expected = encoder.state_dict()
    absent = {key for key in expected if key.endswith(COUNTER) and key not in network.state}
    state = dict(network.state)
    if "conv1.weight" in state and state["conv1.weight"].ndim == 4:
        state["conv1.weight"] = adapt_channels(state["conv1.weight"].float(), expected["conv1.weight"].shape[1])
    if problems := _problems(state, {key: value for key, value in expected.items() if key not in absent}):
        looks = _architecture(network.state)
        wanted = f"{config.encoder} of width {config.width}"
        found = f"the file looks like {looks}; " if looks != wanted else ""
        raise WeightsError(f"{where} do not fit {wanted}: {found}{'; '.join(problems)}")
    state |= {key: torch.zeros((), dtype=expected[key].dtype) for key in absent}  # as in a network that is new
    return FittedWeights(state, _report(network, len(expected) - len(absent), len(absent)))


def adapt_channels(weight: Tensor, in_channels: int) -> Tensor:
    """Change a first convolution (out, in, row, column) to ``in_channels``; a grey image gives equal features."""
    if weight.shape[1] == in_channels:
        return weight
    grey = weight.sum(1, keepdim=True)
    return (grey / in_channels).repeat(1, in_channels, 1, 1)


def _problems(state: dict[str, Tensor], expected: dict[str, Tensor]) -> list[str]:
    common = [key for key in expected if key in state]
    missing = [f"{key} {tuple(expected[key].shape)}" for key in expected if key not in state]
    unexpected = [f"{key} {tuple(state[key].shape)}" for key in state if key not in expected]
    misshapen = [
        f"{key} {tuple(state[key].shape)} instead of {tuple(expected[key].shape)}"
        for key in common
        if state[key].shape != expected[key].shape
    ]
    infinite = [key for key in common if not torch.isfinite(state[key].float()).all()]
    kinds = {"missing": missing, "unexpected": unexpected, "of another shape": misshapen, "not finite": infinite}
    return [f"{len(keys)} {kind} ({_some(sorted(keys))})" for kind, keys in kinds.items() if keys]


def _architecture(state: dict[str, Tensor]) -> str:
    """Name the ResNet that a state dict looks like, by its blocks and the channels of its first layer."""
    depths = tuple(len({key.split(".")[1] for key in state if key.startswith(f"layer{n}.")}) for n in range(1, 5))
    is_bottleneck = "layer1.0.conv3.weight" in state
    known = [name for name, (block, of) in DEPTHS.items() if of == depths and (block is Bottleneck) == is_bottleneck]
    deeper: dict[tuple[int, ...], str] = (
        {(3, 4, 23, 3): "resnet101", (3, 8, 36, 3): "resnet152"} if is_bottleneck else {}
    )
    name = (known or [deeper.get(depths, f"a ResNet of {depths} blocks")])[0]
    width = state["bn1.weight"].shape[0] if "bn1.weight" in state else "unknown"
    return f"{name} of width {width}"


def _report(network: FoundNetwork, num_matched: int, num_absent: int) -> str:
    parts = [f"{num_matched} of {num_matched} encoder keys matched"]
    if num_absent:
        parts.append(f"{num_absent} counters of batch norm absent, which nothing reads")
    if heads := [key for key in network.heads if not key.startswith(KEPT_DECODER)]:  # which is told of apart
        parts.append(f"{len(heads)} of heads ignored ({_some(heads)})")
    if network.num_outside:
        parts.append(f"{network.num_outside} other tensors ignored")
    parts.append(f"layout: {network.layout}")
    if network.others:
        parts.append(f"also inside: {', '.join(network.others)} (file:PATH#PREFIX takes another)")
    return "; ".join(parts)


def _some(keys: Sequence[str]) -> str:
    return ", ".join(keys[:NUM_NAMED]) + (", ..." if len(keys) > NUM_NAMED else "")

"""Where encoder weights come from and go to.

In: one string: ``random``, ``file:PATH`` (safetensors, or a torch file with tensors only) or ``torchvision:NAME``
(``torchvision:ResNet50_Weights.IMAGENET1K_V2``). Out: an encoder in which every key was matched; anything else is
an error that names the keys. Pickled code is never executed. RGB weights become grey ones by summing over the input
channels, which gives the same features as a grey image shown in all three. Saved encoders are safetensors with a
JSON card beside them.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from trainables.config import ModelConfig
from trainables.models.encoder import Encoder
from trainables.processes import seeded
from trainables.results import replacing, write_text

PREFIXES = (
    "module.",
    "model.",
    "state_dict.",
    "momentum_backbone.",
    "target_backbone.",
    "backbone.",
    "encoder.",
)
IGNORED = ("fc.", "head.", "classifier.")  # a classifier's own layers


class WeightsError(Exception):
    """Weights that cannot be used; the message names the source, what was expected and the keys."""


def check_weights(source: str, config: ModelConfig) -> str:
    """Return what identifies the weights (``random``, the name, or ``sha256:...``), having tried to load them.

    Raises WeightsError for an unknown form, an unreadable file, or keys and shapes that do not fit the encoder.
    """
    if source == "random":
        return source
    build_encoder(config, source, in_channels=1, seed=0)
    if source.startswith("file:"):
        return _file_id(source)
    return source


def check_unchanged(source: str, weights_id: str) -> None:
    """Raise WeightsError where a weights file is not the one that was planned with."""
    if weights_id.startswith("sha256:") and _file_id(source) != weights_id:
        raise WeightsError(f"weights '{source}' differ from those that the run was planned with ({weights_id})")


def _file_id(source: str) -> str:
    with Path(source.removeprefix("file:")).open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def build_encoder(config: ModelConfig, source: str, in_channels: int, seed: int) -> Encoder:
    """Return an encoder for images of ``in_channels``, with the source's weights or seeded random ones."""
    with seeded(seed):
        encoder = Encoder(config, in_channels)
    if source == "random":
        return encoder
    state = _encoder_keys(_read(source))
    if "conv1.weight" in state:
        state["conv1.weight"] = adapt_channels(state["conv1.weight"], in_channels)
    _check_fit(state, encoder, source, config)
    encoder.load_state_dict(state)
    return encoder


def adapt_channels(weight: Tensor, in_channels: int) -> Tensor:
    """Change a first convolution (out, in, row, column) to ``in_channels``; a grey image gives equal features."""
    if weight.shape[1] == in_channels:
        return weight
    grey = weight.sum(1, keepdim=True)
    return (grey / in_channels).repeat(1, in_channels, 1, 1)


def _read(source: str) -> dict[str, Tensor]:
    kind, _, name = source.partition(":")
    if kind == "file" and name:
        return _read_file(Path(name))
    if kind == "torchvision" and name:
        return _read_torchvision(name, source)
    raise WeightsError(f"weights '{source}': expected random, file:PATH or torchvision:NAME")


def _read_file(path: Path) -> dict[str, Tensor]:
    import torch

    if not path.is_file():
        raise WeightsError(f"weights file {path} does not exist")
    try:
        content = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except (SafetensorError, OSError, RuntimeError, EOFError, ValueError, _unpickling_error()) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(f"weights file {path} cannot be read ({reason}); expected tensors only") from error
    for key in ("state_dict", "model", "target_backbone"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict):
        raise WeightsError(f"weights file {path} holds a {type(content).__name__}; expected named tensors")
    return {str(key): value for key, value in content.items() if isinstance(value, Tensor)}


def _unpickling_error() -> type[Exception]:
    from pickle import UnpicklingError

    return UnpicklingError


def _read_torchvision(name: str, source: str) -> dict[str, Tensor]:
    from torchvision.models import get_weight

    try:
        weights = get_weight(name)
    except (ValueError, KeyError, AttributeError) as error:
        raise WeightsError(f"weights '{source}': torchvision has no such name ({error})") from error
    try:
        state: dict[str, Tensor] = dict(weights.get_state_dict(progress=False, check_hash=True))
    except OSError as error:
        raise WeightsError(
            f"weights '{source}' cannot be downloaded ({error}); fetch them and use file:PATH"
        ) from error
    return state


def _encoder_keys(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Strip wrapper prefixes and drop classifier layers. Where several networks are inside, the encoder's is taken."""
    for prefix in PREFIXES:
        inside = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        if any("conv1.weight" in key for key in inside):
            state = inside
    return {key: value for key, value in state.items() if not key.startswith(IGNORED)}


def _check_fit(state: dict[str, Tensor], encoder: Encoder, source: str, config: ModelConfig) -> None:
    wanted = {key: tuple(value.shape) for key, value in encoder.state_dict().items()}
    counters = {key for key in wanted if key.endswith("num_batches_tracked")}
    missing = sorted(set(wanted) - set(state) - counters)
    unexpected = sorted(set(state) - set(wanted))
    misshapen = [
        f"{key} {tuple(state[key].shape)} instead of {shape}"
        for key, shape in wanted.items()
        if key in state and tuple(state[key].shape) != shape
    ]
    for key in counters - set(state):
        state[key] = encoder.state_dict()[key]
    if missing or unexpected or misshapen:
        found = [
            f"{len(keys)} {kind} ({', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''})"
            for kind, keys in (
                ("missing", missing),
                ("unexpected", unexpected),
                ("of another shape", misshapen),
            )
            if keys
        ]
        raise WeightsError(
            f"weights '{source}' do not fit {config.encoder} of width {config.width}: {'; '.join(found)}"
        )


def save_encoder(path: Path, state: dict[str, Tensor], card: dict[str, Any]) -> None:
    """Write weights as safetensors and their card as JSON beside them; the weights appear last and whole."""
    write_text(path.with_suffix(".json"), json.dumps(card, indent=2) + "\n")
    with replacing(path) as temporary:
        save_file({key: value.detach().cpu().contiguous() for key, value in state.items()}, temporary)

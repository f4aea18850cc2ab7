"""Encoders as they are kept: safetensors, and a JSON card beside them.

In: a state dict and a card. Out: NAME.safetensors with torchvision's names, and NAME.json, which holds the sha256 of
the weights, so that a card is never taken for that of another file. A decoder that a method pretrained lies there, too.
"""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from trainables.failures import FULL
from trainables.results import replacing, write_text
from trainables.weights.files import sha256

KEPT_DECODER = "kept_decoder."  # before the names of a decoder's tensors: no other program's files have it


def save_encoder(
    path: Path, state: dict[str, Tensor], card: dict[str, Any], decoder: dict[str, Tensor] | None = None
) -> None:
    """Write weights as safetensors and their card as JSON beside them; the weights appear last and whole.

    The tensors of a ``decoder`` lie in the same file below a prefix of their own. Raises OSError on a full disk.
    """
    tensors = state | {f"{KEPT_DECODER}{key}": value for key, value in (decoder or {}).items()}
    with replacing(path) as temporary, _full_disk_told(path):
        save_file({key: value.detach().cpu().contiguous() for key, value in tensors.items()}, temporary)
        whole = card | {"decoder_tensors": len(decoder or {}), "sha256": sha256(temporary)}
        write_text(path.with_suffix(".json"), json.dumps(whole, indent=2) + "\n")


@contextlib.contextmanager
def _full_disk_told(path: Path) -> Iterator[None]:
    """Raise OSError for the error by which safetensors says that a disk or quota has no room, and which is none."""
    try:
        yield
    except SafetensorError as error:
        for number in FULL:
            if f"(os error {number})" in str(error):
                raise OSError(number, os.strerror(number), str(path)) from error
        raise


def read_decoder(path: Path) -> dict[str, Tensor]:
    """Return the decoder that an encoder's file holds, without reading the encoder; nothing where it holds none."""
    if path.suffix != ".safetensors":
        return {}
    with safe_open(path, framework="pt") as file:
        names = [name for name in file.keys() if name.startswith(KEPT_DECODER)]  # noqa: SIM118
        return {name.removeprefix(KEPT_DECODER): file.get_tensor(name) for name in names}


def read_card(path: Path) -> dict[str, Any]:
    """Return the card of a weights file; an empty one where there is none, or where it is another file's."""
    beside = path.with_suffix(".json")
    if not (path.is_file() and beside.is_file()):
        return {}
    try:
        card = json.loads(beside.read_text())
    except ValueError:
        return {}
    is_own = isinstance(card, dict) and card.get("sha256") == sha256(path)
    return card if is_own else {}

"""Encoders as they are kept: safetensors, and a JSON card beside them.

In: a state dict and a card. Out: NAME.safetensors with torchvision's names, and NAME.json, which holds the sha256 of
the weights, so that a card is never taken for that of another file.
"""

import json
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from trainables.results import replacing, write_text
from trainables.weights.files import sha256


def save_encoder(path: Path, state: dict[str, Tensor], card: dict[str, Any]) -> None:
    """Write weights as safetensors and their card as JSON beside them; the weights appear last and whole."""
    with replacing(path) as temporary:
        save_file({key: value.detach().cpu().contiguous() for key, value in state.items()}, temporary)
        whole = card | {"sha256": sha256(temporary)}
        write_text(path.with_suffix(".json"), json.dumps(whole, indent=2) + "\n")


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

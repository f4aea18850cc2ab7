"""One string says where weights come from.

In: ``random``, ``torchvision:NAME``, ``timm:NAME``, ``hf:ORG/REPO[@REVISION][#FILE]`` or ``file:PATH[#PREFIX]``. Out:
a file on this machine, fetched first where it has to be, and the licence of its weights where that is known.
"""

import difflib
import re
from dataclasses import dataclass
from pathlib import Path

from trainables.config import in_home
from trainables.results import ask_server
from trainables.weights.card import read_card
from trainables.weights.files import WeightsError
from trainables.weights.hubs import fetch_huggingface, fetch_timm, fetch_torchvision, huggingface_licence

RANDOM = "random"
UNKNOWN = "unknown"
GRAMMAR = (
    "random, torchvision:ResNet50_Weights.IMAGENET1K_V2, timm:resnet50.a1_in1k, hf:ORG/REPO[@REVISION][#FILE] or "
    "file:PATH[#PREFIX]"
)
KINDS = (RANDOM, "torchvision", "timm", "hf", "file")
REPOSITORY = re.compile(r"(?P<repo>[^/@#\s]+/[^/@#\s]+)(?:@(?P<revision>[^#\s]+))?(?:#(?P<file>.+))?")
TORCHVISION_LICENCE = "BSD-3-Clause (torchvision); trained on ImageNet, whose terms allow non-commercial research"


@dataclass(frozen=True)
class LocatedWeights:
    """A weights file on this machine. ``network``: the prefix in it that was asked for, if one was."""

    path: Path
    licence: str
    network: str | None = None


def locate(source: str) -> LocatedWeights:
    """Return the file that a weights string other than ``random`` names. Raises WeightsError."""
    kind, _, name = source.partition(":")
    if kind == "file" and name:
        return _locate_file(name)
    if kind == "torchvision" and name:
        return LocatedWeights(fetch_torchvision(name), TORCHVISION_LICENCE)
    if kind == "timm" and name:
        path, licence = fetch_timm(name)
        return LocatedWeights(path, licence or UNKNOWN)
    if kind == "hf" and (parts := REPOSITORY.fullmatch(name)):
        path = fetch_huggingface(**parts.groupdict())
        return LocatedWeights(path, huggingface_licence(parts["repo"], parts["revision"]) or UNKNOWN)
    raise WeightsError(f"weights '{source}': expected {GRAMMAR}{_nearest(source)}")


def _locate_file(name: str) -> LocatedWeights:
    path, network = in_home(Path(name)), None
    ask_server(path.parent)  # an encoder that another node has just trained
    if not path.exists() and "#" in name:
        start, _, network = name.rpartition("#")
        path = in_home(Path(start))
    return LocatedWeights(path, str(read_card(path).get("licence", UNKNOWN)), network)


def _nearest(source: str) -> str:
    kind, colon, name = source.partition(":")
    if Path(source).exists():
        return f"; did you mean 'file:{source}'?"
    near = difflib.get_close_matches(kind.lower(), KINDS, 1, cutoff=0.5)
    return f"; did you mean '{near[0]}{colon}{name}'?" if near and near[0] != kind else ""

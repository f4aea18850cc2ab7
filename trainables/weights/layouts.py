"""Which of a file's tensors are the encoder.

In: tensors under dotted names. Out: one ResNet with torchvision's names. It is found by its structure, a first block
below any prefix, so wrappers (Lightning, DDP, torch.compile, VISSL, smp) need no list. ``nn.Sequential`` over a
ResNet's children (lightly, BYOL-PyTorch) numbers them; numbers become names. Where a method keeps two networks, the
one that its authors use downstream is taken; where nobody has said which, it is an error that lists them.
"""

import re
from dataclasses import dataclass

from torch import Tensor

from trainables.weights.files import WeightsError

PREFERRED = {
    "encoder_q": "MoCo, query encoder",
    "base_encoder": "MoCo v3, base encoder",
    "target": "target network",
    "momentum": "momentum network",
    "teacher": "teacher",
    "_ema": "moving average",
}
"""Marks in a prefix, in order, of the network that is taken where there are several. Sources: MoCo and MoCo v3 evaluate
the trained encoder, DINO the teacher, timm the moving average; Kalapos & Gyires-Tóth 2022 take ``target_backbone`` and
``momentum_backbone``."""

HEADS = frozenset(
    (
        "fc",
        "head",
        "classifier",
        "projector",
        "projection_head",
        "predictor",
        "prediction_head",
        "prototypes",
        "decoder",
        "kept_decoder",  # our own
    )
)
NUMBERED = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}
FIRST_BLOCK = re.compile(r"((?:.*\.)?)(layer1|4)\.0\.conv1\.weight")


@dataclass(frozen=True)
class FoundNetwork:
    """A ResNet inside a file: ``state`` has torchvision's names, ``heads`` are keys beside it that are no encoder's."""

    layout: str
    state: dict[str, Tensor]
    heads: tuple[str, ...]
    num_outside: int  # tensors of the file that are not below the prefix
    others: tuple[str, ...]  # prefixes of further ResNets


def find_network(tensors: dict[str, Tensor], chosen: str | None, where: str) -> FoundNetwork:
    """Return the encoder below prefix ``chosen``, or the only or preferred one. Raises WeightsError if unclear."""
    matches = [match for key in tensors if (match := FIRST_BLOCK.fullmatch(key))]
    numbered = {match.group(1): match.group(2) == "4" for match in matches}
    prefix = _choose(list(numbered), tensors, chosen, where)
    others = tuple(each for each in numbered if each != prefix)
    inside = {key.removeprefix(prefix): value for key, value in tensors.items() if _is_below(key, prefix, others)}
    if numbered[prefix]:
        inside = {_named(key): value for key, value in inside.items()}
    heads = tuple(key for key in inside if key.partition(".")[0] in HEADS)
    return FoundNetwork(
        layout=_describe(prefix, numbered[prefix]),
        state={key: value for key, value in inside.items() if key not in heads},
        heads=heads,
        num_outside=len(tensors) - len(inside),
        others=tuple(map(_shown, others)),
    )


def _choose(prefixes: list[str], tensors: dict[str, Tensor], chosen: str | None, where: str) -> str:
    shown = ", ".join(map(_shown, prefixes))
    if not prefixes:
        keys = ", ".join(list(tensors)[:3])
        raise WeightsError(f"{where} holds no ResNet with the names of torchvision, or numbered ones; its keys: {keys}")
    if chosen is not None:
        if (wanted := chosen.rstrip(".")) not in (names := [each.removesuffix(".") for each in prefixes]):
            raise WeightsError(f"{where} holds no network '{chosen}'; expected one of {shown}")
        return prefixes[names.index(wanted)]
    if len(prefixes) == 1:
        return prefixes[0]
    for mark in PREFERRED:
        if len(marked := [each for each in prefixes if mark in each]) == 1:
            return marked[0]
    raise WeightsError(f"{where} holds {len(prefixes)} networks ({shown}); choose one, as in file:PATH#{prefixes[0]}")


def _is_below(key: str, prefix: str, others: tuple[str, ...]) -> bool:
    """Tell whether a key belongs to the network at ``prefix`` and not to one nested in it."""
    nested = tuple(each for each in others if each.startswith(prefix))
    return key.startswith(prefix) and not key.startswith(nested)


def _named(key: str) -> str:
    number, dot, rest = key.partition(".")
    return NUMBERED.get(number, number) + dot + rest


def _shown(prefix: str) -> str:
    return prefix.removesuffix(".") or "."


def _describe(prefix: str, is_numbered: bool) -> str:
    names = [name for mark, name in PREFERRED.items() if mark in prefix][:1]
    names += ["numbered layers"] if is_numbered else []
    names += [f"below {_shown(prefix)}"] if prefix else []
    return ", ".join(names) or "torchvision's names"

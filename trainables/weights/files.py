"""A weights file's tensors, read without running anything in it.

In: a path to safetensors, or to what torch.save wrote (pth, pth.tar, ckpt). Out: named tensors; those of nested
dictionaries get dotted names, so that a checkpoint and a bare state dict look alike. Code in a pickle is never run:
torch's restricted unpickler refuses it.
"""

import functools
import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

NOT_WEIGHTS = {b"<": "a web page", b"version https://git-lfs": "a Git LFS pointer, not the file it stands for"}
TORCH_STARTS = (b"PK\x03\x04", b"\x80")  # a zip archive, or a pickle as torch wrote it before 1.6
TORCH_PROTOCOL = 2  # of torch's own pickles; Python's are of 4 or 5, and torch's restricted reader knows neither
CONVERSION = "python -c \"import torch; torch.save(torch.load('IN', weights_only=False)['state_dict'], 'OUT.pth')\""


class WeightsError(Exception):
    """Weights that cannot be used; the message names the source, what was expected and the keys."""


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return a file's tensors under dotted names. Raises WeightsError for anything that is not a file of tensors."""
    _check_is_file_of_weights(path)
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        tensors = dict(_flatten(torch.load(path, map_location="cpu", weights_only=True)))
    except Exception as error:  # damaged or hostile bytes make the parsers fail in any way
        raise WeightsError(f"weights file {path} cannot be read: {_reason(error)}") from error
    if not tensors:
        raise WeightsError(f"weights file {path} holds no tensors; expected a state dict or a checkpoint with one")
    return tensors


def stamp(path: Path) -> tuple[int, int]:
    """Return when a file was changed last, in nanoseconds, and its size; zeros where it is not there.

    With the path it tells whether what was read of the file still holds.
    """
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_size


def sha256(path: Path) -> str:
    """Return what identifies a file's content; a file that has not changed since is not read again."""
    return _sha256(path, stamp(path))


@functools.lru_cache(maxsize=64)
def _sha256(path: Path, _: tuple[int, int]) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_is_file_of_weights(path: Path) -> None:
    if path.is_dir():
        inside = ", ".join(sorted(each.name for each in path.iterdir())[:5]) or "empty"
        raise WeightsError(f"weights file {path} is a folder ({inside}); name a file")
    if not path.is_file():
        remedy = (
            f"correct the path, or copy the file to it{'' if path.parent.is_dir() else '; its folder is not there'}"
        )
        raise WeightsError(f"weights file {path} does not exist on this machine; {remedy}")
    try:
        with path.open("rb") as file:
            start = file.read(200)
    except OSError as error:
        raise WeightsError(f"weights file {path} cannot be read: {error.strerror}") from error
    if start[:1] == b"\x80" and start[1:2] > bytes([TORCH_PROTOCOL]):
        raise WeightsError(
            f"weights file {path} is a pickle (protocol {start[1]}), which is never executed, no file of torch.save; "
            "save a state dict with torch.save or safetensors where it was made"
        )
    if found := _not_weights(start, path.suffix == ".safetensors"):
        raise WeightsError(f"weights file {path} is {found}; download it again")


def _not_weights(start: bytes, is_safetensors: bool) -> str:
    """Say what a file is whose first bytes are not those of weights; an empty string for weights."""
    if not start:
        return "empty"
    if found := [what for mark, what in NOT_WEIGHTS.items() if start.lstrip().startswith(mark)]:
        return found[0]
    is_known = is_safetensors or start.startswith(TORCH_STARTS)
    return "" if is_known else f"no file of torch.save: it begins with {start[:8]!r}"


def _flatten(content: Any, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    if isinstance(content, Tensor):
        if content.layout == torch.strided and not (content.is_quantized or content.is_meta):
            yield prefix.removesuffix("."), content
    elif isinstance(content, Mapping):
        for key, value in content.items():
            yield from _flatten(value, f"{prefix}{key}.")


def _reason(error: Exception) -> str:
    """Say in one line why a file was not read; torch's own advice, to run what is inside, is left out."""
    text = " ".join(str(error).split())
    if refused := re.search(r"unsupported (?:global|class):? (?:GLOBAL )?(\S+)", text, re.IGNORECASE):
        return (
            f"it holds Python objects beside tensors ({refused.group(1)}), which only running code could restore; if "
            f"you trust where it comes from, convert it once: {CONVERSION}"
        )
    cause = (
        text.rpartition("WeightsUnpickler error:")[2].partition("Check the documentation")[0].partition(". ")[0].strip()
    )
    return f"{cause or type(error).__name__}; expected a whole file of tensors: is it cut off?"

"""The file that a killed stage goes on from: everything that its next epoch starts from.

In: a state of tensors and plain values. Out: one file, there whole or not at all. Pickled code is never executed.
"""

import shutil
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from trainables.results import replacing


def write_state(path: Path, state: dict[str, Any]) -> None:
    """Put a state in the place of the one before, which stays where writing fails. Raises OSError."""
    try:
        with replacing(path) as temporary, temporary.open("wb") as file:
            torch.save(state, file)
    except OSError as error:
        free_mib = shutil.disk_usage(path.parent).free // 2**20
        raise OSError(
            f"{path} cannot be written ({error}; {free_mib} MiB are free there); make room and run the command again: "
            "the stage goes on from the epoch that was saved before"
        ) from error


def read_state(path: Path) -> dict[str, Any] | None:
    """Return the state on the CPU; none where there is no file, or a torn one."""
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (FileNotFoundError, RuntimeError, EOFError, UnpicklingError):  # torn files are told by all of these
        return None
    return state

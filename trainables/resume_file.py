"""The file that a killed stage goes on from: everything that its next epoch starts from.

In: a state of tensors and plain values. Out: one file, there whole or not at all. Pickled code is never executed.
"""

import shutil
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from trainables.failures import full_disk_behind
from trainables.results import replacing


def write_state(path: Path, state: dict[str, Any]) -> None:
    """Put a state in the place of the one before, which stays where writing fails. Raises OSError.

    On a full disk torch raises a RuntimeError about positions in the file, behind which the disk's own error stands. It
    is told here: a process that is handed the RuntimeError is not handed what stands behind it.
    """
    try:
        with replacing(path) as temporary, temporary.open("wb") as file:
            torch.save(state, file)
    except (OSError, RuntimeError) as error:
        found = full_disk_behind(error) or error
        if not isinstance(found, OSError):
            raise
        free_mib = shutil.disk_usage(path.parent).free // 2**20
        raise OSError(
            found.errno,
            f"{path} cannot be written ({found}; {free_mib} MiB are free there); make room and run the command again: "
            "the stage goes on from the epoch that was saved before",
        ) from error


def read_state(path: Path) -> dict[str, Any] | None:
    """Return the state on the CPU; none where there is no file, or a torn one."""
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (FileNotFoundError, RuntimeError, EOFError, UnpicklingError):  # torn files are told by all of these
        return None
    return state

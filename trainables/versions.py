"""Versions of everything that a number depends on, to stand beside results and encoders."""

import functools
import importlib.metadata
import platform
import subprocess
from pathlib import Path
from typing import Any

LIBRARIES = (
    "labelcurve",
    "torch",
    "torchvision",
    "ray",
    "lightly",
    "safetensors",
    "timm",
    "huggingface-hub",
    "segmentation-models-pytorch",
    "numpy",
    "nibabel",
    "pyarrow",
)

_QUIETLY: dict[str, Any] = {"capture_output": True, "text": True, "timeout": 10}


def library_versions() -> dict[str, str]:
    """Return the versions of what is installed, Python's and the machine's; training needs no Ray, for one."""
    versions = {name: version for name in LIBRARIES if (version := _version(name))}
    commit = commit_of(Path(__file__))
    return (
        versions
        | ({"commit": commit} if commit else {})
        | {
            "python": platform.python_version(),
            "machine": platform.machine(),
            "system": platform.system(),
        }
    )


@functools.cache
def commit_of(file: Path) -> str | None:
    """Return the commit of the git checkout that a file is tracked in, with ``-dirty`` where that is changed.

    None where there is none, or no git: an installed package may lie inside the checkout of another project.
    """
    git = ("git", "--no-optional-locks", "-C", str(file.parent))
    try:
        subprocess.run([*git, "ls-files", "--error-unmatch", file.name], check=True, **_QUIETLY)
        described = [*git, "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"]
        answer: str = subprocess.run(described, check=True, **_QUIETLY).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
    return answer


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None

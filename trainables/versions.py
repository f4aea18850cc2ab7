"""Versions of everything that a number depends on, to stand beside results and encoders."""

import importlib.metadata
import platform

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


def library_versions() -> dict[str, str]:
    """Return the versions of what is installed, Python's and the machine's; training needs no Ray, for one."""
    versions = {name: version for name in LIBRARIES if (version := _version(name))}
    return versions | {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "system": platform.system(),
    }


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None

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
    """Return the installed versions, Python's and the machine's."""
    versions = {name: importlib.metadata.version(name) for name in LIBRARIES}
    return versions | {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "system": platform.system(),
    }

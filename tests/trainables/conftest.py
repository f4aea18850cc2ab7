"""The writers of small data sets as a module, and every layout on disk once a session."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


def _load(name: str) -> ModuleType:
    """Import a module of this folder under a name that no installed package has."""
    spec = importlib.util.spec_from_file_location(f"trainables_{name}", Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[f"trainables_{name}"] = module
    spec.loader.exec_module(module)
    return module


_datasets = _load("datasets")


@pytest.fixture(scope="session")
def datasets() -> ModuleType:
    """The writers' module."""
    return _datasets


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, "_datasets.Written"]:
    """Every layout by name. Tests that change files change a copy."""
    folder = tmp_path_factory.mktemp("written")
    return {
        name: _datasets.Written(folder / name, _datasets.write(name, folder / name), layout, layout.truth())
        for name, layout in _datasets.LAYOUTS.items()
    }

"""The writers of small data sets as a module, for the tests of readers, bad input and the inspection."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

_spec = importlib.util.spec_from_file_location("trainables_datasets", Path(__file__).with_name("datasets.py"))
assert _spec is not None
assert _spec.loader is not None
_datasets = importlib.util.module_from_spec(_spec)
sys.modules["trainables_datasets"] = _datasets
_spec.loader.exec_module(_datasets)


@pytest.fixture(scope="session")
def datasets() -> ModuleType:
    """The writers' module."""
    return _datasets

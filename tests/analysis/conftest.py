"""Fixtures of the analysis tests: the simulator as a module, and one results folder shared by all tests that
read it.
"""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

_spec = importlib.util.spec_from_file_location("simulated", Path(__file__).with_name("simulated.py"))
assert _spec is not None
assert _spec.loader is not None
_simulated = importlib.util.module_from_spec(_spec)
sys.modules["simulated"] = _simulated
_spec.loader.exec_module(_simulated)


@pytest.fixture(scope="session")
def simulated() -> ModuleType:
    """The simulator's module."""
    return _simulated


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated sweep of 9 variants, 5 label counts and 3 seeds, with two missing cells and a failed
    one.
    """
    return _simulated.write_results(tmp_path_factory.mktemp("sweep") / "results")

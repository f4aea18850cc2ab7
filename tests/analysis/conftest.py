"""Fixtures of the analysis tests: the simulator as a module, and one results folder shared by all tests that
read it.
"""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from analysis.report import Report, write_report


def _load(name: str) -> ModuleType:
    """Import a file that lies beside the tests."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_simulated, _browser = _load("simulated"), _load("browser")


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


@pytest.fixture(scope="session")
def report(results: Path, tmp_path_factory: pytest.TempPathFactory) -> Report:
    """The report of the simulated sweep."""
    return write_report(results, tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A Chromium without a window; tests that need it are skipped where none is installed."""
    program = _browser.find_browser()
    if program is None:
        pytest.skip("no Chromium on the path: install one (Debian: chromium) to see the page as a reader does")
    with _browser.Browser(program, tmp_path_factory.mktemp("profile")) as running:
        yield running

"""Fixtures of the analysis tests: the simulator as a module, and what all tests that read it share: results folders,
their findings and a report.
"""

import dataclasses
import importlib.util
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest

from analysis.findings import Findings, find
from analysis.loading.load import load_results
from analysis.report import Report, write_report
from analysis.tables.all_tables import all_tables
from trainables.data.cache import built_once


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
def results(shared: Path) -> Path:
    """A simulated sweep of 9 variants, 5 label counts and 3 seeds, with two missing cells and a failed
    one. Tests that change it change a copy.
    """
    return built_once(shared, "simulated", _simulated.write_results)


@pytest.fixture
def small(simulated: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """A function that writes a sweep of few arms, label counts and seeds; three arms are enough for every figure."""

    def write(num_arms: int = 2, counts: tuple[int, ...] = (4, 36), num_seeds: int = 2, **options: Any) -> Path:
        arms = ("random", simulated.REFERENCE, "byol-domain")[:num_arms]
        monkeypatch.setattr(simulated, "BASES", {arm: simulated.BASES[arm] for arm in arms})
        monkeypatch.setattr(simulated, "LABEL_COUNTS", counts)
        return simulated.write_results(tmp_path / "small", seeds=simulated.SEEDS[:num_seeds], **options)

    return write


@pytest.fixture
def named(simulated: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """A function that writes a sweep of the reference and of arms with these names, as of any earlier program."""

    def write(*arms: str) -> Path:
        monkeypatch.setattr(simulated, "BASES", {simulated.REFERENCE: "random"} | dict.fromkeys(arms, "random"))
        monkeypatch.setattr(simulated, "LABEL_COUNTS", (4, 36, 224))
        monkeypatch.setattr(simulated, "LAWS", simulated.LAWS | dict.fromkeys(arms, simulated.LAWS["random"]))
        monkeypatch.setattr(simulated, "SPEED", simulated.SPEED | dict.fromkeys(arms, 30.0))
        return simulated.write_results(tmp_path / "named", left_out=0, failed=0)

    return write


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports without figures, for tests of their words: drawing takes most of a report's time."""
    monkeypatch.setattr("analysis.report.draw_all", lambda findings: [])


@pytest.fixture(scope="session")
def noisy(shared: Path) -> Path:
    """The same without anything missing, and so noisy that questions stay open. Tests that change it change a copy."""

    def build(root: Path) -> None:
        _simulated.write_results(root, noise=0.25, left_out=0, failed=0)

    return built_once(shared, "noisy", build)


@pytest.fixture(scope="session")
def many_seeds(simulated: ModuleType, shared: Path) -> Findings:
    """The findings of a simulated sweep of six seeds without anything missing."""

    def build(root: Path) -> None:
        seeds = tuple((seed, seed + 100) for seed in range(6))
        simulated.write_results(root, seeds=seeds, left_out=0, failed=0)

    return find(load_results(built_once(shared, "many-seeds", build)))


@pytest.fixture(scope="session")
def findings(results: Path) -> Findings:
    """The findings of the simulated sweep."""
    return find(load_results(results))


@pytest.fixture(scope="session")
def tables(findings: Findings) -> dict[str, pd.DataFrame]:
    """The report's tables of it, which no test changes."""
    return all_tables(findings)


@pytest.fixture(scope="session")
def report(results: Path, shared: Path) -> Report:
    """The report of the simulated sweep."""

    def build(folder: Path) -> None:
        made = dataclasses.asdict(write_report(results, folder))
        (folder / "made.json").write_text(json.dumps(made | {"page": made["page"].name}))

    folder = built_once(shared, "report", build)
    made = json.loads((folder / "made.json").read_text())
    return Report(**made | {"page": folder / made["page"]})


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A Chromium without a window; tests that need it are skipped where none is installed."""
    program = _browser.find_browser()
    if program is None:
        pytest.skip("no Chromium on the path: install one (Debian: chromium) to see the page as a reader does")
    with _browser.Browser(program, tmp_path_factory.mktemp("profile")) as running:
        yield running

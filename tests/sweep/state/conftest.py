"""A plan whose stages build on one another, and a clock that a test moves."""

from pathlib import Path

import pytest

from sweep.experiment import load_preset
from sweep.inputs import Inputs
from sweep.plan import Plan, build_plan
from trainables.results import open_results


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """All of the smoke preset: four cells without pretraining, and 32 behind its stages."""
    inputs = Inputs("d", "p", "n", {"random": "random"}, {}, {}, "uniform", {0: "first", 1: "second"}, [])
    return build_plan(load_preset("smoke"), inputs, open_results(tmp_path))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time in seconds as its only element, for a test to move."""
    now = [1000.0]
    monkeypatch.setattr("sweep.state.scoreboard.time.monotonic", lambda: now[0])
    return now

"""A plan that several files of tests run."""

from pathlib import Path

import pytest

from sweep.experiment import load_preset
from sweep.inputs import Inputs
from sweep.plan import Plan, build_plan
from trainables.results import open_results


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """Four cells without pretraining, and eight behind one stage."""
    inputs = Inputs("d", "p", "n", {"random": "random"}, {}, {}, "uniform", {0: "first", 1: "second"}, [])
    smoke = load_preset("smoke", ["grid.arms=[random,byol-domain]", "report.reference_arm=random"])
    return build_plan(smoke, inputs, open_results(tmp_path))

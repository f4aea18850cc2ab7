"""What benchmarks write is what a sweep writes: results that the report reads without a warning of its own. All can be
imported.
"""

import ast
import importlib
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import stats

from analysis.loading.load import load_results
from benchmarks.analysis import NUM_PATIENTS, NUM_POINTS, write_sweep
from benchmarks.coverage_figure import fingerprint, rate_interval, shown_rates
from benchmarks.data_memory import places_for_groups
from benchmarks.early_stopping import lowest, ratios_by_seed
from benchmarks.intervals_left import shaffer
from benchmarks.networks import NETWORKS
from trainables.results import SCHEMAS, read_table

BENCHMARKS = sorted(path for path in (Path(__file__).parents[1] / "benchmarks").glob("*.py") if path.stem != "__init__")


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two arms of five label counts and five seeds."""
    root = tmp_path_factory.mktemp("sweep")
    write_sweep(root, 50)
    return root


@pytest.mark.parametrize("name", ["planned", "cells", "curves", "cases", "pretraining"])
def test_the_sweep_of_the_reports_benchmark_has_every_column_of_the_schema(sweep: Path, name: str):
    table, problems = read_table(sweep, name)
    assert not problems
    assert table.num_rows
    assert table.schema.names == SCHEMAS[name].names


def test_the_sweep_of_the_reports_benchmark_is_whole(sweep: Path):
    results = load_results(sweep)
    assert len(results.cells) == 50
    assert results.missing.empty
    assert len(results.curves) == 50 * NUM_POINTS
    assert results.cases["patient"].nunique() == NUM_PATIENTS
    assert set(results.cells["arm"]) == {"arm-0", "arm-1"}


def test_two_sweeps_are_compared_cell_by_cell_and_averaged_within_each_seed():
    """Seed 0 errs twice and eight times as much, 4 times in the mean; seed 1 lacks a cell and errs as much."""
    columns = ["arm", "label_count", "seed", "error"]
    one = pd.DataFrame([("a", 4, "0", 0.4), ("b", 4, "0", 0.8), ("a", 4, "1", 0.2)], columns=columns)
    two = pd.DataFrame(
        [("a", 4, "0", 0.2), ("b", 4, "0", 0.1), ("a", 4, "1", 0.2), ("b", 4, "1", 0.3)], columns=columns
    )
    assert ratios_by_seed(one, two).to_dict() == pytest.approx({"0": math.log(4), "1": 0.0})
    assert (lowest(one, 4), lowest(two, 4)) == ("a", "b")  # 0.28 against 0.8, and 0.2 against 0.17


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.stem)
def test_every_benchmark_can_be_imported(path: Path):
    if path.stem == "learning_curves":
        pytest.importorskip("sklearn", reason="an extra: pip install '.[benchmarks]'")
    assert importlib.import_module(f"benchmarks.{path.stem}").__doc__


@pytest.mark.parametrize(
    ("folders", "own", "places"),
    [
        (["memory", "cpu"], "4:memory:/\n0::/x\n", [(1, "memory")]),
        (["a/b"], "0::/a/b\n", [(2, "a/b"), (2, "a"), (2, ".")]),  # the nearest first
        ([], "0::/\n", [(2, ".")]),
    ],
)
def test_a_memory_limit_is_looked_for_in_both_versions_of_cgroups(
    tmp_path: Path, folders: list[str], own: str, places: list[tuple[int, str]]
):
    root = tmp_path / "cgroup"
    for folder in (".", *folders):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (tmp_path / "own").write_text(own)
    assert places_for_groups(root, tmp_path / "own") == [(version, root / name) for version, name in places]


def test_every_network_that_a_benchmark_names_exists():
    named = {name for path in BENCHMARKS for name in networks_named(ast.parse(path.read_text()))}
    assert "demo" in named  # or this test finds none at all
    assert named <= NETWORKS.keys()


def networks_named(tree: ast.AST) -> Iterator[str]:
    """What code asks networks.jobs for, and what it takes from the answer, where both are written out."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id="jobs"), args=[ast.List(elts=names), *_]):
                yield from (name.value for name in names if isinstance(name, ast.Constant))
            case ast.Subscript(value=ast.Name(id="jobs") | ast.Call(func=ast.Name(id="jobs")), slice=ast.Constant()):
                yield node.slice.value


@pytest.mark.parametrize(
    "code", ['jobs["demo\'s model"]', 'jobs(["demo\'s model"], ())', 'jobs(x, y)["demo\'s model"]']
)
def test_a_network_that_does_not_exist_is_found(code: str):
    assert list(networks_named(ast.parse(code))) == ["demo's model"]


def test_benchmarks_of_networks_leave_nothing_behind(tmp_path: Path):
    """A process of its own, since its end is what removes the data."""
    phantom = "data.phantom={num_patients: 12, num_slices: 6, num_frames: 2}"
    code = f"from benchmarks.networks import jobs; print(jobs(['demo'], ['{phantom}'])['demo'].compute.cache.is_dir())"
    command, scratch = [sys.executable, "-c", code], os.environ | {"TMPDIR": str(tmp_path)}
    done = subprocess.run(command, env=scratch, check=True, capture_output=True, text=True)
    assert done.stdout == "True\n"
    assert not list(tmp_path.glob("labelcurve-benchmark-*"))


def test_the_figure_of_coverage_is_drawn_from_the_rates_that_stand_beside_it():
    docs = Path(__file__).parents[1] / "docs"
    with Image.open(docs / "coverage.png") as picture:
        assert picture.text["Source"] == fingerprint(shown_rates(docs / "coverage.csv")), (
            "python -m benchmarks.coverage_figure docs/coverage.csv docs/coverage.png"
        )


def test_pairs_of_arms_are_adjusted_for_as_many_as_can_be_equal_at_once():
    """Of four arms 6, 3, 3, 3, 2 and 1: the numbers that Shaffer (1986) gives for all pairs of four means."""
    p_values = np.array([1e-2, 1e-7, 1e-3, 1e-6, 1e-4, 1e-5])
    factors = np.array([1, 6, 2, 3, 3, 3])
    assert shaffer(p_values, 4) == pytest.approx(factors * p_values)
    assert shaffer([0.04, 0.03, 0.9], 3) == pytest.approx([0.09, 0.09, 0.9])  # 3 x 0.03, and none below an earlier one


def test_a_rates_interval_holds_what_a_score_test_does_not_refuse():
    low, high = rate_interval(0.93, 400)
    for end in (low, high):
        z = (0.93 - end) / (end * (1 - end) / 400) ** 0.5
        assert 2 * stats.norm.sf(abs(z)) == pytest.approx(0.05)

"""What benchmarks write is what a sweep writes: results that the report reads without a warning of its own."""

from pathlib import Path

import pytest

from analysis.load import load_results
from benchmarks.analysis import NUM_PATIENTS, NUM_POINTS, write_sweep
from trainables.results import SCHEMAS, read_table


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

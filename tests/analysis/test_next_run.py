"""Seeds added in rounds: ready for the sweep, limited in number, and at most as wrong as one look."""

import dataclasses
import functools
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest

from analysis.findings import find
from analysis.intervals.crossed_effects import crossed_mean
from analysis.loading.load import load_results
from analysis.next_run import LOOKS, NOTHING, main, next_run
from analysis.next_run import __doc__ as procedure
from analysis.planning.next_steps import next_steps
from analysis.planning.plateau import Plateau
from sweep.experiment import load_preset
from trainables.results import record_plan
from trainables.results.programs import DONE


@pytest.fixture
def root(noisy, tmp_path):
    return shutil.copytree(noisy, tmp_path / "results")


@pytest.fixture(scope="module")
def loaded(noisy):
    return load_results(noisy)


@pytest.fixture(scope="module")
def steps(loaded):
    """What is open at one look."""
    return next_steps(find(loaded))


@pytest.fixture
def found_once(noisy, loaded, monkeypatch):
    """Every look at the noisy sweep as the first one found it: a law's fit takes most of its time."""
    findings = functools.cache(lambda confidence: find(_at(loaded, confidence)))
    monkeypatch.setattr("analysis.next_run.load_results", lambda root: {noisy: loaded}[root])
    monkeypatch.setattr("analysis.next_run.find", lambda results: findings(results.options.confidence))


def _at(results, confidence):
    return dataclasses.replace(results, options=dataclasses.replace(results.options, confidence=confidence))


def plan_again(simulated, root, num_seeds):
    """Ask for more seeds of one arm, and for nothing that is missing."""
    rows = [row for row in simulated.design() if row["arm"] == "random"]
    record_plan(root, [row for row in rows if row["subset_seed"] < num_seeds])


def test_an_open_question_prints_settings_that_the_sweep_takes(noisy, capsys):
    assert main([str(noisy)]) == DONE
    said = capsys.readouterr()
    grid = load_preset("demo", shlex.split(said.out)).grid
    assert len(grid.subset_seeds) > 3
    assert "look 1 of 4, each at 98.75%: Which is better with 4 labelled slices" in said.err


def test_each_plan_is_a_look_and_the_last_one_ends_the_loop(simulated, root, capsys):
    for num_seeds in (1, 2):
        plan_again(simulated, root, num_seeds)
    found = next_run(load_results(root))
    assert "look 3 of 4" in found.reason
    assert found.settings
    assert main([str(root), "--looks", "3"]) == NOTHING
    said = capsys.readouterr()
    assert "look 3 of 3: the looks are used up" in said.err
    assert said.out == ""


def test_results_that_came_without_their_plan_were_looked_at_once(root):
    shutil.rmtree(root / "planned")
    for path in root.glob("*/protocol-old-*"):
        path.unlink()
    assert "look 1 of 4" in next_run(load_results(root)).reason


def test_what_is_planned_comes_before_anything_new(root):
    for path in sorted((root / "cells").glob("protocol-a*"))[7::50][:2]:
        path.unlink()
    found = next_run(load_results(root))
    assert (found.settings, found.reason) == ("", "2 planned cells are missing; run the sweep to its end first")


def test_a_sweep_that_settles_all_it_asks_ends_the_loop(loaded, monkeypatch):
    monkeypatch.setattr("analysis.next_run.next_steps", lambda findings: [])
    assert "Every question that is asked here is settled" in next_run(loaded).reason


def test_a_sweep_of_one_arm_is_not_called_settled(simulated, root):
    for path in (root / "cells").glob("*.parquet"):
        if "-random-" not in path.name:
            path.unlink()
    shutil.rmtree(root / "planned")
    record_plan(root, [row for row in simulated.design() if row["arm"] == "random"])
    assert "Only random has finished cells: there is nothing to compare yet" in next_run(load_results(root)).reason


def test_a_question_that_no_seeds_settle_is_named_and_ends_the_loop(loaded, steps, monkeypatch):
    hopeless = [dataclasses.replace(step, num_cells=0, seeds=None) for step in steps]
    monkeypatch.setattr("analysis.next_run.next_steps", lambda findings: hopeless)
    found = next_run(loaded)
    assert found.settings == ""
    assert "Which is better with 4 labelled slices" in found.reason
    assert "No number of seeds" in found.reason or "Neither 50 seeds" in found.reason


@pytest.mark.usefixtures("found_once")
def test_label_counts_beyond_the_plateau_are_left_out_unless_they_are_asked_for(noisy, steps, monkeypatch, capsys):
    later = [step for step in steps if step.num_cells and step.question.label_counts[0] > 36]
    monkeypatch.setattr("analysis.next_run.plateau", lambda findings, variants: Plateau(36, 0.1, 224))
    assert main([str(noisy)]) == DONE
    said = capsys.readouterr()
    assert "grid.label_counts=[4]" in said.out
    assert "within 10% of their own error with 224 labelled slices: 112 (" in said.err
    assert "from 36 on)" in said.err
    monkeypatch.setattr("analysis.next_run.next_steps", lambda findings: later)
    assert {step.question.label_counts for step in later} <= {(112,), (224,)}
    assert main([str(noisy)]) == NOTHING
    said = capsys.readouterr()
    assert "No other question is open. Left out as beyond the plateau" in said.err
    assert "--all-label-counts asks there, too" in said.err
    assert main([str(noisy), "--all-label-counts"]) == DONE
    said = capsys.readouterr()
    assert f"grid.label_counts=[{later[0].question.label_counts[0]}]" in said.out
    assert "plateau" not in said.err


@pytest.mark.parametrize("text", ["0", "-1", "2.5", "many"])
def test_a_number_of_looks_that_is_none_is_a_usage_error(tmp_path, text, capsys):
    with pytest.raises(SystemExit, match="2"):
        main([str(tmp_path), "--looks", text])
    assert f"expected a whole number from 1, found '{text}'" in capsys.readouterr().err


def test_equal_arms_are_called_different_in_at_most_a_twentieth_of_the_sweeps_over_all_looks():
    """2,000 sweeps without a difference, looked at with 3, 6, 12 and 24 seeds: the rate is known to one point."""
    generator, num_patients = np.random.default_rng(0), 20
    values = generator.normal(size=(2000, 24, 1)) + 0.5 * generator.normal(size=(2000, 1, num_patients))
    values = values + generator.normal(size=(2000, 24, num_patients))

    def told(confidence):
        ever = np.zeros(len(values), bool)
        for num_seeds in (3, 6, 12, 24):
            low, high = crossed_mean(values[:, :num_seeds]).interval(confidence)
            ever |= (low > 0) | (high < 0)
        return ever.mean()

    divided, single = told(1 - 0.05 / LOOKS), told(0.95)
    assert (divided, single) == pytest.approx((0.0375, 0.132))
    for text in (procedure, (Path(__file__).parents[2] / "docs" / "running.md").read_text()):
        words = " ".join(text.split())
        assert f"different in {100 * single:.0f} % of 2,000" in words
        assert f"and in {100 * divided:.1f} % with the division" in words

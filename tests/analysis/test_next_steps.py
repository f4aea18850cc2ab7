"""Next steps: asked only where something is open, ready for the sweep, and counted as the sweep counts."""

import dataclasses
import shlex

import numpy as np
import pytest

from analysis.advice import describe, first_steps, next_steps_table
from analysis.findings import find
from analysis.load import load_results
from analysis.next_steps import next_steps
from sweep.experiment import load_preset
from sweep.grid import grid_points


@pytest.fixture(scope="module")
def findings(simulated, tmp_path_factory):
    root = tmp_path_factory.mktemp("noisy") / "results"
    return find(load_results(simulated.write_results(root, noise=0.25, left_out=0, failed=0)))


@pytest.fixture(scope="module")
def steps(findings):
    return next_steps(findings)


def test_every_kind_of_question_is_asked_of_a_noisy_sweep(steps):
    words = [step.question.words for step in steps]
    assert any("Which is better with 4 labelled slices" in each for each in words)
    assert any("pretraining epochs do as well" in each for each in words)
    assert first_steps(steps)[0].question.label_counts == (4,)


def test_more_seeds_are_expected_to_narrow_the_interval_to_the_goal(steps):
    asked = [step for step in steps if step.seeds and step.num_cells]
    assert asked
    for step in asked:
        assert step.expected <= step.question.goal
        assert step.seeds > step.seeds_now or step.half_width <= step.question.goal
        assert f"{step.seeds} seeds" in describe(step)


def test_the_settings_are_taken_by_the_sweep_and_add_the_cells_that_are_promised(steps, findings):
    asked = [step for step in steps if step.num_cells]
    best = next(step for step in asked if not step.question.with_epochs)
    for step in (best, next(step for step in asked if step.question.with_epochs)):
        settings = shlex.split(step.settings)
        grid = load_preset("demo", settings).grid  # raises where the sweep would refuse them
        assert grid.label_counts == step.question.label_counts
        assert len(grid.subset_seeds) == step.seeds
    points = list(grid_points(load_preset("demo", shlex.split(best.settings))))
    assert sum(point.subset_seed >= len(findings.seeds) for point in points) == best.num_cells


def test_a_sweep_that_settles_its_questions_has_no_next_step(findings):
    confident = dataclasses.replace(findings, epochs=[], headline=findings.headline[:1], near_reference={0.1: {}})
    assert next_steps(confident) == []


def with_one_seed(findings):
    curves = {
        name: dataclasses.replace(curve, errors=np.where(np.arange(3)[:, None, None] == 0, curve.errors, np.nan))
        for name, curve in findings.curves.items()
    }
    return dataclasses.replace(findings, curves=curves)


def test_a_single_seed_is_told_to_take_five(findings):
    planned = findings.results.planned
    alone = dataclasses.replace(findings.results, planned=planned[planned["subset_seed"] == 0])
    step = next_steps(dataclasses.replace(with_one_seed(findings), results=alone))[0]
    assert (step.seeds_now, step.seeds) == (1, 5)
    assert "would give one" in describe(step)


def test_planned_cells_that_are_missing_come_before_any_others(findings):
    step = next_steps(with_one_seed(findings))[0]
    assert (step.seeds_now, step.seeds, step.settings, step.num_cells) == (1, 3, "", 0)
    assert "the planned cells that are still missing come first" in describe(step)


def test_the_table_has_every_step(steps, findings):
    table = next_steps_table(findings)
    assert list(table["settings"]) == [step.settings for step in steps]

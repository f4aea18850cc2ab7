"""Next steps: asked only where something is open, ready for the sweep, and counted as the sweep counts."""

import dataclasses
import shlex

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.answers.best_variant import best_variant
from analysis.findings import find
from analysis.labels.labels_needed import LabelCount, LabelsNeeded
from analysis.loading.load import load_results
from analysis.planning.advice import describe, first_steps, next_steps_table
from analysis.planning.half_width import spread
from analysis.planning.next_steps import NextStep, next_steps
from analysis.planning.open_question import OpenQuestion
from sweep.experiment import load_preset
from sweep.grid import grid_points


@pytest.fixture(scope="module")
def findings(noisy):
    return find(load_results(noisy))


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


def asked_of_epochs(findings, verdicts, enough):
    (study,) = (
        each
        for each in findings.epochs
        if (each.arm, each.measure, each.label_count) == ("byol-natural+byol-domain", "error", None)
    )
    result = dataclasses.replace(study.result, verdicts=verdicts, sufficient_epochs=enough)
    found = dataclasses.replace(findings, epochs=[dataclasses.replace(study, result=result)])
    return [step.question.words for step in next_steps(found) if step.question.with_epochs]


def test_only_fewer_epochs_than_are_shown_to_be_enough_are_asked_for(findings):
    assert asked_of_epochs(findings, ("not enough", "enough", "cannot tell"), 3) == []
    (words,) = asked_of_epochs(findings, ("cannot tell", "enough", "cannot tell"), 3)
    assert words.startswith("Do 0 pretraining epochs do as well")


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
    planned = findings.results.planned
    waiting = dataclasses.replace(findings.results, missing=planned[planned["subset_seed"] > 0].assign(reason=""))
    step = next_steps(dataclasses.replace(with_one_seed(findings), results=waiting))[0]
    assert (step.seeds_now, step.seeds, step.settings, step.num_cells) == (1, 3, "", 0)
    assert "the planned cells that are still missing come first" in describe(step)


def added(step, planned):
    """Count the cells of the sweep that the settings describe and that no plan has, by the sweep's own grid."""
    axes = ["arm", "label_count", "subset_seed"]
    there = set(planned[axes].itertuples(index=False, name=None))
    points = grid_points(load_preset("demo", shlex.split(step.settings)))
    return sum((point.arm, point.label_count, point.subset_seed) not in there for point in points)


def test_seeds_planned_at_another_label_count_are_not_taken_for_seeds_of_a_question(simulated, findings):
    extra = simulated.design(seeds=tuple((seed, seed) for seed in range(3, 13)))
    more = pd.DataFrame([row for row in extra if row["label_count"] == 4])
    planned = pd.concat([findings.results.planned, more])
    results = dataclasses.replace(findings.results, planned=planned)
    steps = [step for step in next_steps(dataclasses.replace(findings, results=results)) if step.num_cells]
    elsewhere = [step for step in steps if step.question.about == "arms" and step.question.label_counts != (4,)]
    assert elsewhere
    for step in elsewhere:
        assert f"grid.subset_seeds=[{','.join(map(str, range(step.seeds)))}]" in step.settings
        assert step.num_cells == added(step, planned)


@pytest.mark.parametrize("order", [(0, 13, 42), (13, 42, 0)])
def test_seeds_keep_the_pretraining_runs_that_the_plan_dealt_them(findings, order):
    runs = (0, 1)
    dealt = {seed: runs[position % 2] for position, seed in enumerate(order)}
    renamed = findings.results.planned.replace({"subset_seed": {1: 13, 2: 42}})
    seeds = [dealt[seed] for seed in renamed["subset_seed"]]
    planned = renamed.assign(pretraining_seed=np.where(renamed["pretraining_chain"] != "", seeds, 0))
    grid = {"subset_seeds": list(order), "pretraining_seeds": list(runs)}
    results = dataclasses.replace(findings.results, planned=planned, config={"grid": grid})
    step = next(each for each in next_steps(dataclasses.replace(findings, results=results)) if each.num_cells)
    points = list(grid_points(load_preset("demo", shlex.split(step.settings))))
    found = {point.subset_seed: point.pretraining_seed for point in points if "byol" in point.arm}
    assert {seed: found[seed] for seed in order} == dealt


def test_seeds_of_one_pretraining_run_are_not_dealt_another_where_the_rest_was_planned_elsewhere(findings):
    """Of the plan's seeds 0, 1, 2 only 0 and 2 (run 0) have the question's cells: 1 comes along to keep 2 in place."""
    planned = findings.results.planned
    dealt = np.where(planned["pretraining_chain"] != "", planned["subset_seed"] % 2, 0)
    planned = planned.assign(pretraining_seed=dealt)
    planned = planned[(planned["subset_seed"] != 1) | (planned["label_count"] == 4)]
    grid = {"subset_seeds": [0, 1, 2], "pretraining_seeds": [0, 1]}
    results = dataclasses.replace(findings.results, planned=planned, config={"grid": grid})
    steps = next_steps(dataclasses.replace(findings, results=results))
    step = next(each for each in steps if each.num_cells and each.question.label_counts == (12,))
    seeds = load_preset("demo", shlex.split(step.settings)).grid.subset_seeds
    assert seeds[:3] == (0, 1, 2)
    assert step.num_cells == added(step, planned)


@pytest.fixture(scope="module")
def few_intermediate(simulated, tmp_path_factory):
    """Ten seeds of an arm's last number of epochs, three of the one before, and nothing missing."""
    with pytest.MonkeyPatch.context() as patch:
        arms = ("random", simulated.REFERENCE, "byol-domain")
        patch.setattr(simulated, "BASES", {arm: simulated.BASES[arm] for arm in arms})
        patch.setattr(simulated, "LABEL_COUNTS", (4, 36))
        whole = simulated.design

        def design(protocol="protocol-a", seeds=()):
            return [row for row in whole(protocol, seeds) if row["subset_seed"] < 3 or row["pretraining_epochs"] != 3]

        patch.setattr(simulated, "design", design)
        seeds = tuple((seed, seed) for seed in range(10))
        root = tmp_path_factory.mktemp("few") / "results"
        return find(load_results(simulated.write_results(root, noise=0.25, seeds=seeds, left_out=0, failed=0)))


def test_milestones_run_at_few_seeds_are_asked_for_at_more(few_intermediate):
    step = next(step for step in next_steps(few_intermediate) if step.question.with_epochs)
    assert step.seeds_now == 3
    assert 3 < step.seeds <= 10
    assert "still missing" not in describe(step)
    grid = load_preset("demo", ["grid.intermediate_subset_seeds=[0,1,2]", *shlex.split(step.settings)]).grid
    assert grid.intermediate_subset_seeds is None  # the preset's own would leave the milestones out
    assert grid.subset_seeds == tuple(range(step.seeds))
    assert step.num_cells == (step.seeds - 3) * 2  # one number of epochs at two label counts: the rest is planned


def test_a_difference_told_alone_but_not_after_adjusting_is_given_more_seeds(few_intermediate):
    """Ten differences with a t of 2.4 (p 0.04 alone, 0.08 of two), far above the margin."""
    deviations = np.array([-1.0, 1.0] * 5)
    t = 2.4
    mean = t * deviations.std(ddof=1) / np.sqrt(10)
    base, scale = np.full(10, 0.5), 0.01
    by_arm = {"byol-domain, 12 epochs": base - scale * (mean + deviations), "random": base, "supervised-natural": base}
    by_arm["random"] = base + scale * 0.3 * np.roll(deviations, 1) * np.arange(10)
    errors = {name: np.repeat(by_arm.get(name, base)[:, None], 2, axis=1) for name in few_intermediate.curves}
    curves = {
        name: dataclasses.replace(curve, errors=errors[name][:, None, :])
        for name, curve in few_intermediate.curves.items()
    }
    options = dataclasses.replace(few_intermediate.results.options, near_minimum=0.001)
    results = dataclasses.replace(few_intermediate.results, options=options)
    designed = dataclasses.replace(
        few_intermediate, curves=curves, results=results, epochs=[], near_reference={0.001: {}}
    )
    step = next_steps(designed)[0]
    now = spread(step.question.contrast)
    assert now.half_width(10, 1, 0.95) < step.question.goal < step.half_width
    assert now.half_width(step.seeds, 1, 0.95) < step.expected <= step.question.goal
    as_seen = abs(now.mean) / np.sqrt(now.seed_variance / step.seeds)
    assert 2 * 2 * stats.t.sf(as_seen, step.seeds - 1) < 0.05  # told after adjusting for two
    assert describe(step).startswith("Its interval, adjusted for 2 comparisons, is")
    assert step.seeds > step.seeds_now
    assert step.num_cells > 0
    assert "still missing" not in describe(step)


def test_an_interval_as_narrow_as_asked_is_said_to_be_that(few_intermediate):
    """Means of -0.002 and 3 % with intervals of 0.004 and 2 % to each side reach -0.006 and 1.03 x 1.02."""
    question = OpenQuestion("Which?", "arms", np.array([[-0.001], [-0.002], [-0.003]]), 0.02, ("a", "b"), (4,))
    step = NextStep(question, 0.004, 3, 3, 0.004, 1, None, "", 0)
    assert describe(step) == (
        "Its interval is ±0.4% of the error with 3 seeds, narrow enough; the difference seen is small, and up to "
        "0.6% of the error is not ruled out."
    )
    question = OpenQuestion("Which?", "labels", np.full((3, 1), np.log(1.03)), np.log(1.1), ("a", "b"), (4,))
    step = NextStep(question, float(np.log(1.02)), 3, 3, 0.004, 1, None, "", 0)
    assert describe(step).endswith("the difference seen is small, and up to 5% of the error is not ruled out.")


def test_the_table_has_every_step(steps):
    table = next_steps_table(steps)
    assert list(table["settings"]) == [step.settings for step in steps]


def designed_arms(findings, shares):
    """Return findings in which arms make given shares of an error of 0.5, with little noise."""
    generator, names = np.random.default_rng(0), list(findings.curves)
    curves = {}
    for name in names:
        noise = np.exp(generator.normal(0, 0.01, size=findings.curves[name].errors.shape))
        errors = 0.5 * shares.get(name, 1.0) * noise
        curves[name] = dataclasses.replace(findings.curves[name], errors=errors)
    return dataclasses.replace(findings, curves=curves, epochs=[], near_reference={0.1: {}})


def test_a_best_arm_that_is_told_from_the_reference_alone_is_asked_about_its_closest_tie(findings):
    shares = {"byol-natural": 0.5, "random": 0.5, "byol-domain, 12 epochs": 0.501}
    designed = designed_arms(findings, shares)
    steps = next_steps(designed)
    assert {step.question.label_counts[0] for step in steps} == set(findings.label_counts)
    for step in steps:
        best = best_variant(designed, step.question.label_counts[0])
        assert designed.reference not in best.ties
        assert step.question.variants == (best.variant, best.ties[0])
        assert set(step.question.variants) <= set(shares)


@pytest.mark.parametrize(("best", "is_asked"), [("supervised-natural", False), ("byol-natural", True)])
def test_whether_the_reference_comes_near_its_own_error_is_not_asked(findings, best, is_asked):
    designed = designed_arms(findings, {best: 0.5})
    needed = LabelsNeeded(0.5, LabelCount(np.inf, np.nan, np.nan))
    margin = findings.results.options.near_minimum
    steps = next_steps(dataclasses.replace(designed, near_reference={margin: {best: needed}}))
    assert any(step.question.about == "labels" for step in steps) == is_asked


@pytest.mark.parametrize(
    ("half_width", "words"),
    [
        (np.log(1.5), "±50% of the error"),
        (np.log(4), "a factor of 4.0 either way"),
        (np.log(40), "a factor of 40 either way"),
        (30.0, "a factor of more than 1000 either way"),
    ],
)
def test_a_wide_interval_is_told_as_a_factor_that_can_be_read(half_width, words):
    """An error cannot be smaller by more than 100 %, and a width of 10^13 % was printed."""
    question = OpenQuestion("Which?", "arms", np.array([[-0.1], [0.1]]), 0.1, ("a", "b"), (4,))
    step = NextStep(question, half_width, 2, 8, 0.1, 1, None, "", 12)
    assert describe(step).startswith(f"Its interval is {words} with 2 seeds; 8 seeds, 12 new cells, are expected")

"""Training seeds crossed with subsets: the subset is the replicate, and runs on it are averaged first."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from analysis.answers.caveats import caveats
from analysis.compare import Side, _compared
from analysis.figures.examples import example_sheets
from analysis.findings import find
from analysis.loading.load import load_results
from analysis.loading.replicates import seed_list, seed_names
from analysis.page.methods import methods
from analysis.planning.next_steps import next_steps
from analysis.tables.design import design_rows
from analysis.tables.distance_tables import slice_iou
from analysis.tables.label_tables import errors
from analysis.tables.score_tables import class_dice

CROSSED = tuple((subset, training) for subset in (0, 1, 2) for training in (10, 11))
ARM, COUNT = "random", 36


@pytest.fixture
def sweep(small, simulated, monkeypatch):
    """A function that finds all of a noisy sweep of two arms with given pairs of subset and training seed."""

    def write(pairs, change=lambda results: results):
        monkeypatch.setattr(simulated, "SEEDS", pairs)
        root = small(num_arms=2, num_seeds=len(pairs), noise=0.2, left_out=0, failed=0)
        return find(change(load_results(root)))

    return write


def by_subset(cells, column, arm=ARM):
    """Each subset's mean over its runs at one label count, with a plain loop."""
    own = cells[(cells["variant"] == arm) & (cells["label_count"] == COUNT)]
    return np.array([np.mean([*own.loc[own["subset_seed"] == subset, column]]) for subset in (0, 1, 2)])


def test_the_interval_of_a_difference_is_that_of_subset_means(sweep, simulated):
    found = sweep(CROSSED, lambda results: replace(results, cases=results.cases.iloc[:0]))  # over seeds alone
    cells = found.results.cells
    logs = np.log(by_subset(cells, "error")) - np.log(by_subset(cells, "error", simulated.REFERENCE))
    half = stats.t.ppf(0.975, 2) * logs.std(ddof=1) / np.sqrt(3)
    expected = np.exp([logs.mean(), logs.mean() - half, logs.mean() + half])
    (item,) = (each for each in found.differences if each.label_count == COUNT)
    ratio = item.difference.ratio
    assert (ratio.value, ratio.low, ratio.high) == pytest.approx(tuple(expected))
    assert (ratio.num_seeds, found.seeds) == (3, ("0", "1", "2"))


def test_medians_and_quartiles_are_over_subsets(sweep, simulated):
    found = sweep(CROSSED)
    cells = found.results.cells
    row = errors(found).set_index(["variant", "label_count"]).loc[(ARM, COUNT)]
    own = by_subset(cells, "error")
    assert (row["num_seeds"], row["median_error"]) == (3, pytest.approx(np.median(own)))
    assert row["quartile_1"] == pytest.approx(np.percentile(own, 25))
    assert np.isnan(row["interquartile_mean"])  # three replicates, not six
    scores = slice_iou(found).set_index(["variant", "label_count"]).loc[(ARM, COUNT)]
    assert scores["median_slice_iou"] == pytest.approx(np.median(by_subset(cells, "test_slice_iou")))
    assert scores["num_cells"] == 6
    (classes,) = set(class_dice(found).query("variant == @ARM and label_count == @COUNT")["median_dice"].round(4))
    assert classes == pytest.approx(np.median(1 - own), abs=1e-3)
    target = 0.95 * np.median(by_subset(cells, "val_dice", simulated.REFERENCE))
    assert found.convergence.targets[COUNT] == pytest.approx(target)
    assert found.convergence.num_censored(ARM, COUNT)[1] == 3


def test_the_report_says_that_runs_on_one_subset_count_as_one(sweep):
    found = sweep(CROSSED)
    assert ("Seeds (subset (training))", "0 (10, 11), 1 (10, 11), 2 (10, 11)") in design_rows(found)
    text = methods(found).text
    assert "with up to 3 seeds each" in text
    assert "so they were averaged first and count as one" in text
    assert "How likely one seed of an arm beats one of another" in text
    assert not any("chance of training alone" in each for each in caveats(found))
    assert {sheet.seed for sheet in example_sheets(found)} == {"0/10"}  # an example is of one run


def test_training_seeds_of_a_single_subset_stay_replicates_and_a_caveat_says_what_they_leave_out(sweep):
    found = sweep(((0, 10), (0, 11), (0, 12)))
    assert found.seeds == ("0/10", "0/11", "0/12")
    said = " ".join(caveats(found))
    assert "cover the chance of training alone, not another choice of labelled slices" in said
    assert "One pretraining run per stage: intervals cover the choice" not in said
    assert "All were trained on the same choice of labelled slices" in methods(found).text


def test_one_training_of_each_subset_is_a_replicate_as_ever(sweep):
    found = sweep(((0, 10), (1, 11), (2, 12)))
    assert found.seeds == ("0/10", "1/11", "2/12")
    assert seed_list(found.results.cells) == "0/10, 1/11, 2/12"
    assert set(seed_names(found.results.cells)) == set(found.seeds)
    assert "shared by all variants, and the course of training." in methods(found).text


def test_seeds_that_would_settle_a_question_are_subsets_each_with_all_training_seeds(sweep, simulated, monkeypatch):
    monkeypatch.setitem(simulated.LAWS, ARM, simulated.LAWS[simulated.REFERENCE])  # so alike that questions stay open
    grid = {"grid": {"train_seeds": [10, 11], "subset_seeds": [0, 1, 2]}}
    found = sweep(CROSSED, lambda results: replace(results, config=results.config | grid))
    step = next(each for each in next_steps(found) if each.num_cells)
    subsets = step.settings.partition("grid.subset_seeds=[")[2].partition("]")[0].split(",")
    assert step.seeds_now == 3
    assert len(subsets) == step.seeds > 3
    assert step.num_cells == (step.seeds - 3) * 2 * 2  # training seeds, arms


def test_two_sweeps_are_paired_by_subset_where_one_alone_has_several_trainings_of_each(sweep):
    crossed = sweep(CROSSED)
    cells = crossed.results.cells
    first = cells.drop_duplicates(["variant", "label_count", "subset_seed"])
    alone = find(replace(crossed.results, cells=first.assign(seed=lambda own: seed_names(own)).reset_index(drop=True)))
    assert alone.seeds == ("0/10", "1/10", "2/10")
    results = replace(crossed.results, data=crossed.results.data | {"content_id": "same"})
    sides = [
        Side(
            replace(each.results, data=results.data), [4, 36], list(each.seeds), each.curves, each.cell_errors.patients
        )
        for each in (crossed, alone)
    ]
    one, other, is_paired = _compared(*sides, ARM, COUNT)
    assert is_paired
    assert len(one) == len(other) == 3

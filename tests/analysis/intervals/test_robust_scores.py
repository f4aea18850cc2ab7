"""Measures of single runs against their published formulas written out, and against rliable on the same numbers."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest

from analysis.intervals.robust_scores import interquartile_mean, probability_of_improvement
from analysis.tables.all_tables import differences, pairs

ARM = np.array([0.18, 0.21, 0.15, 0.19, 0.40, 0.16])
OTHER = np.array([0.22, 0.18, 0.30, 0.21, 0.19])


def test_the_probability_of_improvement_is_the_share_of_pairs_won_and_half_of_those_tied():
    won = [1.0 if x < y else 0.5 if x == y else 0.0 for x, y in itertools.product(ARM, OTHER)]
    found = probability_of_improvement(ARM, OTHER)
    assert found.probability == pytest.approx(sum(won) / len(won))
    assert (found.num_runs, found.num_other_runs) == (6, 5)
    assert probability_of_improvement(OTHER, ARM).probability == pytest.approx(1 - found.probability)


def test_equal_runs_are_a_coin_toss_and_a_missing_run_is_no_run():
    assert probability_of_improvement(ARM, ARM).probability == pytest.approx(0.5)
    with_gap = probability_of_improvement(np.append(ARM, np.nan), OTHER)
    assert with_gap == probability_of_improvement(ARM, OTHER)
    nothing = probability_of_improvement(np.array([np.nan]), OTHER)
    assert math.isnan(nothing.probability)
    assert nothing.num_runs == 0


def test_three_equal_runs_beat_three_others_wholly_in_one_of_twenty_orders():
    orders = list(itertools.combinations(range(6), 3))
    ranks = np.arange(6.0)
    certain = [probability_of_improvement(ranks[list(own)], np.delete(ranks, own)).probability == 1 for own in orders]
    assert (sum(certain), len(orders)) == (1, 20)


@pytest.mark.parametrize(("number", "kept"), [(4, [1, 2]), (5, [1, 2, 3]), (7, [1, 2, 3, 4, 5]), (8, [2, 3, 4, 5])])
def test_the_interquartile_mean_leaves_out_a_quarter_at_each_end(number, kept):
    runs = np.arange(float(number)) ** 2
    expected = np.mean([float(run) ** 2 for run in kept])
    assert interquartile_mean(np.random.default_rng(0).permutation(runs)) == pytest.approx(expected)


def test_below_four_runs_there_is_no_middle_half():
    assert math.isnan(interquartile_mean(np.array([0.1, 0.2, 0.3, np.nan])))
    assert interquartile_mean(np.array([0.1, 0.2, 0.3, np.nan, 9.0])) == pytest.approx(0.25)


def test_both_agree_with_rliable():
    # rliable 1.2.0, rliable.metrics on scores 1 - error, (runs, 1): probability_of_improvement(x, y), aggregate_iqm(x)
    assert probability_of_improvement(ARM, OTHER).probability == pytest.approx(0.6833333333333333)
    assert 1 - interquartile_mean(ARM) == pytest.approx(0.815)
    assert 1 - interquartile_mean(OTHER) == pytest.approx(0.7933333333333333)


def test_the_tables_say_it_for_every_comparison_and_both_ways(findings):
    errors = {name: pd.Series(list(runs.T), index=findings.label_counts) for name, runs in findings.errors.items()}
    assert len(differences(findings)) == (6 + 3 - 1) * 5  # arms, also after fewer epochs, but for the reference; counts
    for row in differences(findings).itertuples():
        runs = errors[row.variant][row.label_count], errors[findings.reference][row.label_count]
        assert row.probability_better == pytest.approx(probability_of_improvement(*runs).probability)
    table = pairs(findings).set_index(["variant", "against", "label_count"])["probability_better"]
    assert len(table) == 6 * 5 * 5
    for (one, two, count), value in table.items():
        assert value + table[two, one, count] == pytest.approx(1)

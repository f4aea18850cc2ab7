"""Which number of pretraining epochs is enough, on values where the answer is known."""

import numpy as np
import pytest
from scipy import stats

from analysis.pretraining.saturation import saturation

NOISE = np.array([[0.99], [1.0], [1.01]])


def logs(values):
    """(seed, epochs) values as (seed, patient, epochs) logs of a single patient."""
    return np.log(np.asarray(values))[:, None, :]


def test_the_smallest_number_within_the_margin_is_found():
    found = saturation([0, 3, 12], logs(NOISE * np.array([[0.40, 0.205, 0.20]])), 0.10, 0.95)
    assert found is not None
    assert found.sufficient_epochs == 3
    assert found.best_epochs == 12
    assert found.verdicts == ("not enough", "enough", "enough")
    assert [ratio.value for ratio in found.ratios] == pytest.approx([2.0, 1.025, 1.0])


def test_each_p_value_is_scipys_largest_one_sided_paired_t_test_against_the_margin_adjusted_by_hand():
    values = np.random.default_rng(0).normal(-1, 0.02, size=(6, 3))
    found = saturation([0, 3, 12], values[:, None, :], 0.05, 0.95)
    assert found is not None
    raw = [
        max(
            stats.ttest_1samp(values[:, own] - values[:, other], np.log(1.05), alternative="less").pvalue
            for other in range(3)
            if other != own
        )
        for own in range(3)
    ]
    small, middle, large = sorted(raw)
    expected = {small: 2 * small, middle: max(2 * small, 2 * middle), large: max(2 * middle, large)}
    assert found.p_values == pytest.approx([expected[each] for each in raw])


def test_the_lowest_mean_is_not_enough_by_being_the_lowest():
    """Three seeds that do not agree show of neither number that it is within 10% of the other."""
    values = np.array([[0.25, 0.20], [0.19, 0.20], [0.24, 0.20]])
    gaps = np.log(values[:, 1] / values[:, 0])
    assert stats.ttest_1samp(gaps, np.log(1.1), alternative="less").pvalue > 0.05
    found = saturation([3, 12], logs(values), 0.10, 0.95)
    assert found is not None
    assert found.best_epochs == 12
    assert found.verdicts == ("cannot tell", "cannot tell")
    assert found.sufficient_epochs is None


@pytest.mark.parametrize("means", [(0.15, 0.0), (np.log(1.10), 0.0), (np.log(1.10), np.log(1.10), 0.0)])
@pytest.mark.parametrize("spread", [0.05, 0.2])
def test_a_number_that_is_worse_by_the_margin_or_more_is_called_enough_in_at_most_one_of_twenty_sweeps(means, spread):
    generator, wrong = np.random.default_rng(2), []
    epochs = [1, 3, 12][-len(means) :]
    for _ in range(400):
        found = saturation(epochs, generator.normal(means, spread, size=(3, 1, len(means))), 0.10, 0.95)
        assert found is not None
        wrong.append(found.sufficient_epochs is not None and found.sufficient_epochs < 12)
    assert np.mean(wrong) <= 0.075  # 5% and two standard errors


def test_more_epochs_that_hurt_do_not_hide_that_fewer_are_enough():
    found = saturation([0, 3, 12], logs(NOISE * np.array([[0.40, 0.20, 0.24]])), 0.10, 0.95)
    assert found is not None
    assert found.verdicts == ("not enough", "enough", "not enough")
    assert found.sufficient_epochs == 3
    assert found.rivals == (3, 12, 3)


def test_a_gain_over_the_fewest_is_a_paired_t_test_adjusted_for_all_others():
    values = np.random.default_rng(4).normal([-1.0, -1.1, -1.2], 0.05, size=(5, 3))
    found = saturation([0, 3, 12], values[:, None, :], 0.10, 0.95)
    assert found is not None
    raw = [stats.ttest_rel(values[:, i], values[:, 0]).pvalue for i in (1, 2)]
    small, large = 2 * min(raw), max(2 * min(raw), max(raw))  # Holm of two
    assert found.gains[1:] == pytest.approx([small, large] if raw[0] < raw[1] else [large, small])
    assert np.isnan(found.gains[0])


def test_one_number_of_epochs_has_no_answer():
    assert saturation([12], logs(NOISE), 0.10, 0.95) is None
    assert saturation([3, 12], logs(np.hstack([NOISE, np.full((3, 1), np.nan)])), 0.10, 0.95) is None


def test_one_seed_names_no_sufficient_number():
    found = saturation([3, 12], logs([[0.2, 0.1]]), 0.10, 0.95)
    assert found is not None
    assert found.sufficient_epochs is None
    assert found.verdicts == ("cannot tell", "cannot tell")
    assert np.isnan(found.p_values).all()


def test_a_number_whose_runs_end_before_the_target_is_called_enough_in_at_most_one_of_twenty_sweeps():
    """12 epochs need 300 steps, 3 need 800: cut at 330 their runs look within 10% of those of 12."""
    generator, wrong, horizon = np.random.default_rng(5), [], 330.0
    for _ in range(200):
        steps = np.array([900.0, 800.0, 300.0]) * np.exp(0.03 * generator.normal(size=(5, 3)))
        cut = np.minimum(steps, horizon)
        found = saturation([0, 3, 12], logs(cut), 0.15, 0.95, steps > horizon)
        assert found is not None
        wrong.append(found.sufficient_epochs in (0, 3))
    assert np.mean(wrong) <= 0.05


def test_a_cut_number_is_at_least_as_slow_as_it_looks_and_not_the_one_that_others_are_compared_with():
    is_cut = np.array([[False, True, False]] * 2 + [[False] * 3])
    found = saturation([0, 3, 12], logs(NOISE * np.array([[400.0, 100.0, 200.0]])), 0.10, 0.95, is_cut)
    assert found is not None
    assert found.best_epochs == 12  # 3 look quicker, but two of their runs never arrived
    assert found.bounds == ("exact", "at least", "exact")
    assert found.p_values[1] == 1
    assert found.verdicts == ("not enough", "cannot tell", "cannot tell")  # 12 may be slower than 3, or not


def test_where_every_number_has_cut_runs_no_ratio_is_known_and_nothing_gains():
    is_cut = np.ones((3, 2), dtype=bool)
    found = saturation([0, 12], logs(NOISE * np.array([[400.0, 200.0]])), 0.10, 0.95, is_cut)
    assert found is not None
    assert found.bounds == ("unbounded", "exact")  # the one with itself
    assert found.verdicts == ("cannot tell", "cannot tell")
    assert found.gains[1] == 1


def test_an_arrival_against_cut_runs_is_a_gain_and_cut_runs_against_an_arrival_are_none():
    values = logs(NOISE * np.array([[400.0, 200.0]]) * np.array([[1.0, 1.02], [1.0, 1.0], [1.0, 0.99]]))
    plain = saturation([0, 12], values, 0.10, 0.95)
    slow_start = saturation([0, 12], values, 0.10, 0.95, np.array([[True, False]] * 3))
    quick_is_cut = saturation([0, 12], values, 0.10, 0.95, np.array([[False, True]] * 3))
    assert plain is not None
    assert slow_start is not None
    assert quick_is_cut is not None
    assert slow_start.gains[1] == plain.gains[1] < 0.05
    assert quick_is_cut.gains[1] == 1

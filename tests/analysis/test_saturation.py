"""Which number of pretraining epochs is enough, on values where the answer is known."""

import numpy as np
import pytest
from scipy import stats

from analysis.saturation import saturation

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


def test_the_test_is_scipys_one_sided_paired_t_test_against_the_margin():
    values = np.exp(np.random.default_rng(0).normal(-1, 0.02, size=(6, 2)))
    found = saturation([3, 12], logs(values), 0.05, 0.95)
    assert found is not None
    worse, best = (1, 0) if found.best_epochs == 3 else (0, 1)
    gaps = np.log(values[:, worse]) - np.log(values[:, best])
    expected = stats.ttest_1samp(gaps, np.log(1.05), alternative="less").pvalue
    assert found.p_values[worse] == pytest.approx(expected)


def test_no_significant_difference_is_not_taken_for_equivalence():
    values = np.array([[0.25, 0.20], [0.19, 0.20], [0.24, 0.20]])
    assert stats.ttest_rel(values[:, 0], values[:, 1]).pvalue > 0.05
    found = saturation([3, 12], logs(values), 0.10, 0.95)
    assert found is not None
    assert found.verdicts[0] == "cannot tell"
    assert found.sufficient_epochs == 12


def test_an_inferior_number_is_called_enough_in_at_most_one_of_twenty_sweeps():
    generator = np.random.default_rng(2)
    wrong = []
    for _ in range(400):
        means = np.array([-1 + np.log(1.10), -1.0])  # 3 epochs are worse by exactly the margin
        found = saturation([3, 12], generator.normal(means, 0.05, size=(5, 1, 2)), 0.10, 0.95)
        wrong.append(found is not None and found.sufficient_epochs == 3)
    assert np.mean(wrong) <= 0.075  # 5% and two standard errors


def test_one_number_of_epochs_has_no_answer():
    assert saturation([12], logs(NOISE), 0.10, 0.95) is None
    assert saturation([3, 12], logs(np.hstack([NOISE, np.full((3, 1), np.nan)])), 0.10, 0.95) is None


def test_one_seed_names_no_sufficient_number():
    found = saturation([3, 12], logs([[0.2, 0.1]]), 0.10, 0.95)
    assert found is not None
    assert found.sufficient_epochs is None

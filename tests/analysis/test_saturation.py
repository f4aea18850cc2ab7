"""Which number of pretraining epochs is enough, on values where the answer is known."""

import numpy as np
import pytest

from analysis.saturation import saturation

NOISE = np.array([[0.99], [1.0], [1.01]])


def test_the_smallest_number_within_the_margin_is_found():
    values = NOISE * np.array([[0.40, 0.205, 0.20]])
    found = saturation([0, 3, 12], values, 0.10, 0.95)
    assert found is not None
    assert found.sufficient_epochs == 3
    assert found.best_epochs == 12
    assert found.verdicts == ("not enough", "enough", "enough")
    assert [ratio.value for ratio in found.ratios] == pytest.approx([2.0, 1.025, 1.0])


def test_seeds_that_disagree_cannot_tell():
    values = np.array([[0.25, 0.20], [0.19, 0.20], [0.24, 0.20]])
    found = saturation([3, 12], values, 0.10, 0.95)
    assert found is not None
    assert found.verdicts[0] == "cannot tell"


def test_one_number_of_epochs_has_no_answer():
    assert saturation([12], NOISE, 0.10, 0.95) is None
    assert saturation([3, 12], np.hstack([NOISE, np.full((3, 1), np.nan)]), 0.10, 0.95) is None


def test_one_seed_names_no_sufficient_number():
    found = saturation([3, 12], np.array([[0.2, 0.1]]), 0.10, 0.95)
    assert found is not None
    assert found.sufficient_epochs is None

"""What labels are worth: exact where the truth is known, and honest at the edges."""

import numpy as np
import pytest

from analysis.label_equivalence import label_equivalence
from analysis.uncertainty import draw_seeds

COUNTS = np.array([4.0, 16.0, 64.0, 256.0])
DRAWS = draw_seeds(4, 300, np.random.default_rng(0))


def log_linear(factor, noise=0.0):
    """Errors linear in log(labels), so that an arm worth ``factor`` times its labels is exactly that."""
    generator = np.random.default_rng(1)
    return 0.9 - 0.1 * np.log(factor * COUNTS)[None, :] + noise * generator.normal(size=(4, 1))


def test_the_reference_against_itself_is_worth_its_own_labels():
    errors = log_linear(1.0, noise=0.02)
    for item in label_equivalence(COUNTS, errors, errors, DRAWS, 0.95):
        assert (item.labels, item.low, item.high) == pytest.approx((item.label_count,) * 3)


def test_an_arm_worth_twice_its_labels_is_found_within_the_measured_range():
    found = label_equivalence(COUNTS, log_linear(2.0), log_linear(1.0), DRAWS, 0.95)
    assert [item.labels for item in found] == pytest.approx([8.0, 32.0, 128.0, np.inf])


def test_an_arm_worse_than_the_fewest_labels_is_worth_fewer():
    found = label_equivalence(COUNTS, log_linear(0.5), log_linear(1.0), DRAWS, 0.95)
    assert [item.labels for item in found] == pytest.approx([0.0, 8.0, 32.0, 128.0])


def test_the_interval_covers_the_truth_when_seeds_differ():
    generator = np.random.default_rng(5)
    arm = log_linear(2.0) + 0.02 * generator.normal(size=(4, 4))
    item = label_equivalence(COUNTS, arm, log_linear(1.0), DRAWS, 0.95)[1]
    assert item.low < 32.0 < item.high


def test_one_seed_has_no_interval_and_no_results_no_equivalence():
    one = log_linear(1.0)[:1]
    draws = np.zeros((5, 1), dtype=np.intp)
    assert np.isnan(label_equivalence(COUNTS, one, one, draws, 0.95)[0].low)
    assert label_equivalence(COUNTS, np.full((4, 4), np.nan), log_linear(1.0), DRAWS, 0.95) == []

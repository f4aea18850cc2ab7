"""The falling curve against scipy's isotonic regression, and its inverse against hand calculation."""

import numpy as np
import pytest
from scipy.optimize import isotonic_regression

from analysis.labels.falling_curve import describe_labels, describe_labels_interval, falling, labels_at

COUNTS = np.array([4.0, 16.0, 64.0])


def test_falling_curve_agrees_with_scipy():
    errors = np.random.default_rng(0).random((20, 7))
    expected = [isotonic_regression(row, increasing=False).x for row in errors]
    np.testing.assert_allclose(falling(errors), expected)


def test_a_falling_curve_is_left_as_it_is():
    errors = np.array([[0.5, 0.3, 0.1]])
    np.testing.assert_allclose(falling(errors), errors)


@pytest.mark.parametrize(
    ("target", "expected"),
    [(0.5, 4.0), (0.3, 16.0), (0.4, 8.0), (0.2, 32.0), (0.1, 64.0), (0.05, np.inf), (0.6, 0.0)],
)
def test_inverse_is_log_linear_and_never_extrapolates(target, expected):
    errors = np.array([[0.5, 0.3, 0.1]])
    assert labels_at(COUNTS, errors, np.array([target]))[0] == pytest.approx(expected)


def test_a_flat_curve_needs_its_fewest_labels():
    assert labels_at(COUNTS, np.array([[0.3, 0.3, 0.1]]), np.array([0.3]))[0] == 4.0


def test_edges_are_said_in_words():
    assert describe_labels(0.0, COUNTS) == "4 or fewer"
    assert describe_labels(0.0, COUNTS, "fewer than") == "fewer than 4"
    assert describe_labels_interval(9.6, np.inf, COUNTS) == "9.6 to more than 64"
    assert describe_labels_interval(np.inf, np.inf, COUNTS) == "more than 64"
    assert describe_labels(np.nan, COUNTS) == "unknown"

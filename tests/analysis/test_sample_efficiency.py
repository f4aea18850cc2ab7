"""The fitted law gives back known parameters, its intervals cover them, and it refuses the rest."""

import numpy as np
import pytest

from analysis.sample_efficiency import (
    LawFit,
    Refusal,
    falls_with_labels,
    fit_law,
    fit_with_intervals,
    is_falling,
    labels_needed,
    near_minimum_targets,
)
from analysis.uncertainty import draw_seeds

COUNTS = np.array([4.0, 12.0, 36.0, 112.0, 224.0])


def noisy(seeds, noise=0.03, floor=0.08, scale=0.55, exponent=0.6, start=0):
    generator = np.random.default_rng(start)
    return (floor + scale * COUNTS**-exponent) * np.exp(noise * generator.normal(size=(seeds, len(COUNTS))))


def draws(seeds, resamples=500):
    return draw_seeds(seeds, resamples, np.random.default_rng(3))


@pytest.mark.parametrize(
    ("floor", "scale", "exponent"), [(0.08, 0.55, 0.6), (0.0, 0.9, 0.3), (0.2, 3.0, 1.5), (0.01, 0.5, 0.15)]
)
def test_a_noiseless_law_gives_back_its_parameters(floor, scale, exponent):
    law, residual = fit_law(COUNTS, floor + scale * COUNTS**-exponent)
    assert (law.floor, law.scale, law.exponent) == pytest.approx((floor, scale, exponent), rel=2e-3, abs=2e-3)
    assert residual < 1e-5


def test_the_floor_stays_between_zero_and_the_smallest_error():
    errors = noisy(3, noise=0.5)
    law, _ = fit_law(np.tile(COUNTS, 3), errors.ravel())
    assert 0.0 <= law.floor <= errors.min()


def test_bootstrap_laws_of_noiseless_seeds_are_the_law_itself():
    fit = fit_with_intervals(COUNTS, noisy(3, noise=0.0), draws(3))
    assert isinstance(fit, LawFit)
    for name, truth in (("floor", 0.08), ("scale", 0.55), ("exponent", 0.6)):
        assert fit.interval(name, 0.95) == pytest.approx((truth, truth), rel=0.01)


def test_intervals_of_twenty_seeds_cover_the_true_curve_most_of_the_time():
    covered = []
    for start in range(12):
        fit = fit_with_intervals(COUNTS, noisy(20, start=start), draws(20, 200))
        assert isinstance(fit, LawFit)
        low, high = fit.band(np.array([20.0]), 0.95)
        covered.append(low[0] <= 0.08 + 0.55 * 20.0**-0.6 <= high[0])
    assert sum(covered) >= 9


def test_more_seeds_give_a_narrower_band():
    widths = []
    for seeds in (4, 40):
        fit = fit_with_intervals(COUNTS, noisy(seeds), draws(seeds))
        assert isinstance(fit, LawFit)
        low, high = fit.band(COUNTS, 0.95)
        widths.append(float(np.mean(high - low)))
    assert widths[1] < widths[0]


def test_three_label_counts_are_refused():
    found = fit_with_intervals(COUNTS[:3], noisy(3)[:, :3], draws(3))
    assert isinstance(found, Refusal)
    assert "at least 4" in found.reason


@pytest.mark.parametrize("errors", [np.full((3, 5), 0.4), np.tile([0.1, 0.2, 0.3, 0.4, 0.5], (3, 1))])
def test_an_error_that_does_not_fall_is_refused(errors):
    found = fit_with_intervals(COUNTS, errors, draws(3))
    assert isinstance(found, Refusal)
    assert "does not fall" in found.reason
    assert not is_falling(COUNTS, errors)


def test_an_error_that_always_falls_has_correlation_minus_one():
    assert falls_with_labels(COUNTS, noisy(3, noise=0.0)) == pytest.approx(-1.0)


def test_one_seed_gives_a_law_without_intervals():
    fit = fit_with_intervals(COUNTS, noisy(1), draws(1))
    assert isinstance(fit, LawFit)
    assert np.isnan(fit.interval("floor", 0.95)).all()
    assert np.isnan(fit.band(COUNTS, 0.95)[0]).all()


def test_labels_needed_for_a_measured_error_is_its_label_count():
    errors = noisy(3, noise=0.0)
    found = labels_needed(COUNTS, errors, draws(3), float(errors[0, 2]), 0.1, 0.95)
    assert found is not None
    assert (found.labels, found.low, found.high) == pytest.approx((36.0, 36.0, 36.0))


def test_a_target_below_all_errors_is_not_reached():
    found = labels_needed(COUNTS, noisy(3), draws(3), 0.01, 0.1, 0.95)
    assert found is not None
    assert np.isinf([found.labels, found.low, found.high]).all()
    assert found.share_not_reached == 1.0


def test_labels_near_the_own_minimum_follow_the_resampled_target():
    errors = noisy(5)
    own = labels_needed(COUNTS, errors, draws(5), None, 0.1, 0.95)
    given = labels_needed(COUNTS, errors, draws(5), near_minimum_targets(errors, draws(5), 0.1), 0.1, 0.95)
    assert own == given
    assert own is not None
    assert own.target_error == pytest.approx(1.1 * np.median(errors[:, -1]))


def test_seeds_without_results_do_not_enter_the_fit():
    errors = np.vstack([noisy(4), np.full((1, 5), np.nan)])
    fit = fit_with_intervals(COUNTS, errors, draws(5))
    assert isinstance(fit, LawFit)
    assert np.isfinite(fit.draws).all()

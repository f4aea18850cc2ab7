"""Two-level draws and medians against plain loops and known distributions."""

import numpy as np
import pytest

from analysis.intervals.bootstrap import median_intervals, percentile_interval, two_level_draws


def test_every_draw_has_as_many_seeds_and_patients_as_there_are():
    draws = two_level_draws(3, 8, 500, np.random.default_rng(0))
    assert (draws.seeds.sum(axis=1) == 3).all()
    assert (draws.patients.sum(axis=1) == 8).all()
    assert abs(np.corrcoef(draws.seeds[:, 0], draws.patients[:, 0])[0, 1]) < 0.15  # drawn independently


def test_medians_of_resamples_agree_with_numpy_on_repeated_rows():
    generator = np.random.default_rng(1)
    errors = generator.random((4, 5, 3))
    errors[1, :, 2] = np.nan
    draws = two_level_draws(4, 5, 200, generator)
    medians = []
    for seeds, patients in zip(draws.seeds.astype(int), draws.patients.astype(int), strict=True):
        rows = np.repeat(np.repeat(errors, seeds, axis=0), patients, axis=1).mean(axis=1)
        medians.append(
            [np.median(column[~np.isnan(column)]) if (~np.isnan(column)).any() else np.nan for column in rows.T]
        )
    expected = [percentile_interval(column, 0.9) for column in np.array(medians).T]
    np.testing.assert_allclose(np.transpose(median_intervals(errors, draws, 0.9)), expected)


def test_bootstrap_of_the_mean_comes_close_to_the_normal_interval():
    values = np.random.default_rng(1).normal(size=200)
    draws = two_level_draws(200, 1, 4000, np.random.default_rng(2))
    low, high = percentile_interval(draws.seeds @ values / 200, 0.95)
    half = 1.96 * values.std() / np.sqrt(200)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.02)


def test_percentile_interval_keeps_infinite_draws_as_extremes():
    assert percentile_interval(np.array([1.0, 2.0, np.inf, np.nan]), 0.95) == (1.0, np.inf)


def test_a_label_count_with_one_seed_has_no_interval():
    errors = np.full((3, 2, 2), 0.2)
    errors[1:, :, 1] = np.nan
    low, high = median_intervals(errors, two_level_draws(3, 2, 50, np.random.default_rng(0)), 0.95)
    assert (low[0], high[0]) == (0.2, 0.2)
    assert np.isnan([low[1], high[1]]).all()

"""The crossed mean against plain loops, scipy and closed forms, and how its parts answer to the data."""

import math

import numpy as np
import pytest
from scipy import stats

from analysis.intervals.crossed_effects import crossed_mean, from_squares


def effects(num_seeds=6, num_patients=9, seed=1.0, patient=1.0, rest=0.3):
    generator = np.random.default_rng(0)
    values = seed * generator.normal(size=(num_seeds, 1)) + patient * generator.normal(size=(1, num_patients))
    return values + rest * generator.normal(size=(num_seeds, num_patients))


def mean_squares(values):
    """Two-way analysis of variance without replication, by plain loops."""
    seeds, patients = values.shape
    grand = sum(values[s, p] for s in range(seeds) for p in range(patients)) / (seeds * patients)
    by_seed = [sum(values[s]) / patients for s in range(seeds)]
    by_patient = [sum(values[:, p]) / seeds for p in range(patients)]
    of_seeds = patients * sum((mean - grand) ** 2 for mean in by_seed) / (seeds - 1)
    of_patients = seeds * sum((mean - grand) ** 2 for mean in by_patient) / (patients - 1)
    left = 0.0
    for s in range(seeds):
        for p in range(patients):
            left += (values[s, p] - by_seed[s] - by_patient[p] + grand) ** 2
    return of_seeds, of_patients, left / ((seeds - 1) * (patients - 1))


def test_variance_parts_follow_the_analysis_of_variance_and_weight_their_t_quantiles():
    values = effects()
    of_seeds, of_patients, rest = mean_squares(values)
    found = crossed_mean(values)
    assert found.from_seeds == pytest.approx(of_seeds / 54)
    assert found.from_patients == pytest.approx((of_patients - rest) / 54)
    parts = of_seeds, of_patients - rest
    quantile = (parts[0] * stats.t.ppf(0.975, 5) + parts[1] * stats.t.ppf(0.975, 8)) / sum(parts)
    low, high = found.interval(0.95)
    assert (high - low) / 2 == pytest.approx(quantile * math.sqrt(sum(parts) / 54))


def test_where_patients_are_fewer_than_seeds_the_interaction_stands_with_them():
    values = effects(num_seeds=9, num_patients=6)
    of_seeds, of_patients, rest = mean_squares(values)
    found = crossed_mean(values)
    assert found.from_patients == pytest.approx(of_patients / 54)
    assert found.from_seeds == pytest.approx((of_seeds - rest) / 54)


def test_seeds_and_patients_change_places_with_the_table():
    values = effects(num_seeds=4, num_patients=9)
    one, other = crossed_mean(values), crossed_mean(values.T)
    assert one.interval(0.95) == pytest.approx(other.interval(0.95))
    assert one.p_value() == pytest.approx(other.p_value())


@pytest.mark.parametrize("shape", [(3, 50), (6, 9), (10, 3)])
def test_a_p_value_is_one_minus_the_confidence_whose_interval_ends_at_zero(shape):
    found = crossed_mean(0.8 + effects(*shape))
    low, high = found.interval(1 - found.p_value())
    assert min(abs(low), abs(high)) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(("num_seeds", "num_patients"), [(3, 50), (3, 10), (10, 3), (5, 20)])
@pytest.mark.parametrize(("seed", "patient", "rest"), [(0.3, 1.0, 1.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.1)])
def test_a_true_mean_is_missed_in_at_most_six_percent_whichever_factor_varies(
    num_seeds, num_patients, seed, patient, rest
):
    """Mean squares of normal values are chi-square; 20,000 draws: the rate is known to a third of a point."""
    generator, size = np.random.default_rng(1), 20_000
    counts = np.array([num_seeds - 1, num_patients - 1, (num_seeds - 1) * (num_patients - 1)])
    of_seeds, of_patients = rest**2 + num_patients * seed**2, rest**2 + num_seeds * patient**2
    squares = np.array([of_seeds, of_patients, rest**2]) * generator.chisquare(counts, size=(size, 3)) / counts
    spread = np.sqrt((of_seeds + of_patients - rest**2) / (num_seeds * num_patients))
    found = from_squares(spread * generator.normal(size=size), *squares.T, num_seeds, num_patients)
    low, high = found.interval(0.95)
    assert 0.02 < np.mean((low > 0) | (high < 0)) < 0.06


@pytest.mark.parametrize(("patient", "rest"), [(1.0, 1.0), (0.3, 1.0), (0.0, 1.0)])
def test_an_interval_holds_the_mean_as_often_as_it_says_where_patients_hardly_differ(patient, rest):
    generator = np.random.default_rng(5)
    values = patient * generator.normal(size=(4000, 1, 4)) + rest * generator.normal(size=(4000, 5, 4))
    low, high = crossed_mean(values).interval(0.95)
    assert 0.93 < np.mean((low <= 0) & (high >= 0)) < 0.985
    assert np.quantile(high - low, 0.99) < 8  # in standard deviations of a value, of 5 seeds and 4 patients


def test_a_single_patient_gives_the_t_interval_over_seeds():
    values = effects()[:, :1]
    expected = stats.ttest_1samp(values[:, 0], 0.0)
    found = crossed_mean(values)
    interval = expected.confidence_interval(0.9)
    assert found.interval(0.9) == pytest.approx((interval.low, interval.high))
    assert found.p_value() == pytest.approx(expected.pvalue)
    assert found.p_below(0.5) == pytest.approx(stats.ttest_1samp(values[:, 0], 0.5, alternative="less").pvalue)


def test_patients_that_are_all_alike_add_nothing():
    values = np.repeat(effects()[:, :1], 7, axis=1)
    alone, repeated = crossed_mean(values[:, :1]), crossed_mean(values)
    assert repeated.from_patients == pytest.approx(0.0, abs=1e-12)
    assert repeated.interval(0.95) == pytest.approx(alone.interval(0.95))


def test_the_larger_part_is_that_of_the_factor_that_varies():
    assert (found := crossed_mean(effects(seed=1.0, patient=0.1))).from_seeds > found.from_patients
    assert (found := crossed_mean(effects(seed=0.1, patient=2.0))).from_patients > found.from_seeds


def test_variance_parts_are_right_on_average():
    # var(mean) = seed^2 / 6 + patient^2 / 9 + rest^2 / 54 by the model
    generator = np.random.default_rng(3)
    size = 4000
    values = 1.0 * generator.normal(size=(size, 6, 1)) + 2.0 * generator.normal(size=(size, 1, 9))
    values = values + 0.5 * generator.normal(size=(size, 6, 9))
    found = crossed_mean(values)
    assert found.mean.var() == pytest.approx(1 / 6 + 4 / 9 + 0.25 / 54, rel=0.08)
    assert found.from_seeds.mean() == pytest.approx(1 / 6 + 0.25 / 54, rel=0.05)
    assert found.from_patients.mean() == pytest.approx(4 / 9, rel=0.05)


def test_one_seed_has_a_mean_and_no_interval():
    found = crossed_mean(effects()[:1])
    assert np.isfinite(found.mean)
    assert np.isnan(found.interval(0.95)).all()


def test_values_without_spread_are_certain():
    assert crossed_mean(np.full((3, 4), 0.2)).p_value() == 0.0
    assert crossed_mean(np.zeros((3, 4))).p_value() == 1.0


def test_many_means_at_once_are_the_single_ones():
    values = np.random.default_rng(2).normal(size=(5, 4, 6))
    low, high = crossed_mean(values).interval(0.95)
    for index, each in enumerate(values):
        assert crossed_mean(each).interval(0.95) == pytest.approx((low[index], high[index]))

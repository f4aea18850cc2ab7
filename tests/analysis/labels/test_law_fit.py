"""The law that is chosen, what its intervals cover, and what is refused."""

import numpy as np
import pytest
from scipy import stats

from analysis.labels.law_choice import FALSE_FALLS, chance_of_fall, falls_with_labels, is_falling
from analysis.labels.law_fit import LawFit, Refusal, fit_family, fit_law, transition
from analysis.labels.laws import FAMILIES
from analysis.scores.error_curve import ErrorCurve, LogCurve

COUNTS = np.array([4.0, 12.0, 36.0, 112.0, 224.0])
TEN = np.array([1.0, 3.0, 7.0, 15.0, 30.0, 75.0, 150.0, 300.0, 749.0, 1498.0])
FLOORED = FAMILIES["power with floor"]


def noisy(seeds, counts=COUNTS, noise=0.03, start=0, patients=3, patient_noise=0.0):
    """Errors 0.08 + 0.55 n^-0.6 with log-normal spread of seeds, and of patients about a mean of 1."""
    generator = np.random.default_rng(start)
    errors = (0.08 + 0.55 * counts**-0.6) * np.exp(noise * generator.normal(size=(seeds, 1, len(counts))))
    spread = 1 + patient_noise * generator.uniform(-1, 1, size=(1, patients, 1))
    return ErrorCurve(counts, errors * spread / spread.mean()).logs


@pytest.mark.parametrize("name", ["power", "power with floor", "exponential"])
def test_the_family_that_made_a_noiseless_curve_is_chosen(name):
    truths = {"power": [-0.1, 0.3], "power with floor": [-0.6, 0.6, 0.08], "exponential": [-0.7, 4.5, 0.1]}
    errors = FAMILIES[name].curve(np.array(truths[name]), TEN)
    fit = fit_law(ErrorCurve(TEN, np.tile(errors, (3, 1, 1))).logs)
    assert isinstance(fit, LawFit)
    assert fit.law.family.name == name
    assert fit.law.parameters == pytest.approx(truths[name], rel=1e-2)


def test_fit_is_not_what_chooses():
    # The four-parameter forms hold the power law and so always fit as well; the held-out counts decide.
    fit = fit_law(noisy(4, TEN))
    assert isinstance(fit, LawFit)
    assert fit.scores[fit.law.family.name] <= 1.05 * min(fit.scores.values())


def test_intervals_cover_the_true_curve_and_its_parameters_most_of_the_time():
    covered = []
    for start in range(40):
        fit = fit_family(FLOORED, noisy(3, noise=0.1, start=start))
        assert isinstance(fit, LawFit)
        low, high = fit.band(np.array([20.0]), 0.95)
        floor, place = fit.parameter("floor", 0.95), fit.transition(0.95)
        assert place is not None
        truths = [low[0] <= 0.08 + 0.55 * 20.0**-0.6 <= high[0], floor.low <= 0.08 <= floor.high]
        covered.append([*truths, place.low <= (0.55 / 0.08) ** (1 / 0.6) <= place.high])
    assert (np.mean(covered, axis=0) >= 0.85).all()


def test_an_exponents_interval_does_not_reach_laws_that_rise():
    fit = fit_family(FLOORED, noisy(3, noise=0.6))
    assert isinstance(fit, LawFit)
    place = FLOORED.parameters.index("exponent")
    by_seed = (fit.law.parameters[place] + fit.pulls[:, :, place]).mean(axis=1)
    low, high = stats.t.interval(0.95, 2, by_seed.mean(), stats.sem(by_seed))
    assert low < 0  # what Student's interval alone would say
    assert (fit.parameter("exponent", 0.95).low, fit.parameter("exponent", 0.95).high) == pytest.approx((1e-3, high))


def test_noiseless_seeds_give_intervals_without_width():
    fit = fit_family(FLOORED, noisy(3, noise=0.0))
    assert isinstance(fit, LawFit)
    for name, truth in (("floor", 0.08), ("exponent", 0.6)):
        found = fit.parameter(name, 0.95)
        assert (found.low, found.high) == pytest.approx((truth, truth), rel=0.01)


def test_more_seeds_give_a_narrower_band_and_patients_that_differ_a_wider_one():
    def width(logs):
        low, high = fit_family(FLOORED, logs).band(COUNTS, 0.95)
        return float(np.mean(np.log(high / low)))

    assert width(noisy(40)) < width(noisy(4))
    assert width(noisy(4, patients=12, patient_noise=0.5)) > width(noisy(4, patients=12))


def test_pulls_agree_with_refits_that_leave_a_seed_out():
    logs = noisy(8, noise=0.02)
    whole = fit_family(FLOORED, logs)
    for seed in range(8):
        rest = fit_family(FLOORED, type(logs)(COUNTS, np.delete(logs.values, seed, axis=0)))
        change = whole.law.parameters - rest.law.parameters
        assert change == pytest.approx(whole.pulls[seed].mean(axis=0) / 7, rel=0.25, abs=2e-3)


def test_the_transition_of_a_power_law_with_floor_is_where_both_parts_are_equal():
    parameters = np.array([[np.log(0.55), 0.6, 0.08], [0.0, 0.5, 0.0], [np.log(1e-3), 0.5, 0.1]])
    assert transition(FLOORED, parameters) == pytest.approx([(0.55 / 0.08) ** (1 / 0.6), np.inf, 0.0])


def test_a_law_without_floor_has_no_transition():
    fit = fit_family(FAMILIES["power"], noisy(3))
    assert isinstance(fit, LawFit)
    assert fit.transition(0.95) is None


def test_a_floor_that_may_be_zero_leaves_the_transition_open_to_the_right():
    errors = 0.9 * COUNTS**-0.3 * np.exp(0.1 * np.random.default_rng(4).normal(size=(3, 1, 5)))
    fit = fit_family(FLOORED, ErrorCurve(COUNTS, errors).logs)
    assert isinstance(fit, LawFit)
    place = fit.transition(0.95)
    assert place is not None
    assert not np.isfinite(place.high)


@pytest.mark.parametrize(("counts", "words"), [(2, "2 label counts, and a law of two"), (1, "1 label count, and")])
def test_too_few_label_counts_are_refused(counts, words):
    found = fit_law(noisy(3, COUNTS[:counts]))
    assert isinstance(found, Refusal)
    assert words in found.reason


def test_families_that_the_counts_cannot_identify_are_not_considered():
    assert set(fit_law(noisy(3, COUNTS[:4])).scores) == {"power", "power with floor", "exponential"}
    assert set(fit_law(noisy(3, COUNTS[:3])).scores) == {"power"}
    refused = fit_family(FAMILIES["M4"], noisy(3, COUNTS[:4]))
    assert isinstance(refused, Refusal)
    assert "M4 needs at least 5" in refused.reason


def test_a_fall_that_may_be_chance_is_refused():
    generator = np.random.default_rng(1)
    seeds = np.exp(0.3 * generator.normal(size=(3, 1, 5))) * np.array([0.42, 0.41, 0.40, 0.39, 0.38])
    found = fit_law(ErrorCurve(COUNTS, seeds).logs)
    assert isinstance(found, Refusal)
    assert "cannot be distinguished from chance" in found.reason


@pytest.mark.parametrize(
    ("errors", "words"),
    [
        (np.array([0.1, 0.2, 0.3, 0.4, 0.5]), "the error does not fall with labels (Spearman 1.00)"),
        (np.full(5, 0.4), "the error is the same at all label counts"),
        (0.4 + 1e-15 * np.array([5, 4, 3, 2, 1]), "the error is the same at all label counts"),  # up to rounding
    ],
)
def test_an_error_that_does_not_fall_is_refused(errors, words):
    found = fit_law(ErrorCurve(COUNTS, np.tile(errors, (3, 1, 1))).logs)
    assert isinstance(found, Refusal)
    assert found.reason == words
    assert not is_falling(COUNTS, errors)


def test_a_fall_is_seen_in_one_of_twenty_sweeps_whose_error_does_not_depend_on_labels():
    generator, refused = np.random.default_rng(0), []
    for _ in range(150):
        seeds, patients = generator.normal(size=(5, 1, 1)), generator.normal(size=(1, 12, 1))
        rest = generator.normal(size=(5, 12, 5))
        logs = LogCurve(COUNTS, np.log(0.3) + 0.1 * seeds + 0.3 * patients + 0.1 * rest)
        refused.append(chance_of_fall(logs) >= FALSE_FALLS)
    assert 0.91 <= np.mean(refused) <= 0.99  # 0.95 and two standard errors of 150 draws


def test_the_test_of_a_fall_is_scipys_on_the_slopes_of_seeds():
    logs = noisy(4, noise=0.4, start=3, patients=1)
    logs.values[2, :, 1] = np.nan  # that seed's slope is of the other four counts
    slopes = []
    for seed in logs.by_seed:
        known = ~np.isnan(seed)
        slopes.append(stats.linregress(np.log(COUNTS[known]), seed[known]).slope)
    assert chance_of_fall(logs) == pytest.approx(stats.ttest_1samp(slopes, 0.0, alternative="less").pvalue)


def test_an_error_that_always_falls_has_correlation_minus_one():
    assert falls_with_labels(COUNTS, np.array([0.5, 0.4, 0.3, 0.2, 0.1])) == pytest.approx(-1.0)


def test_one_seed_gives_a_law_without_intervals():
    fit = fit_law(noisy(1))
    assert isinstance(fit, LawFit)
    assert np.isnan(fit.band(COUNTS, 0.95)[0]).all()
    assert not fit.parameter(fit.law.family.parameters[0], 0.95).is_known


def test_missing_cells_and_seeds_without_results_leave_a_law():
    logs = noisy(4)
    logs.values[1, :, 2] = np.nan
    logs.values[3] = np.nan
    fit = fit_law(logs)
    assert isinstance(fit, LawFit)
    assert np.isfinite(fit.band(COUNTS, 0.95)).all()
    assert len(fit.pulls) == 3

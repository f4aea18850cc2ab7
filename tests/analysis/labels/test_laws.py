"""Families of laws against their formulas, and the solver against scipy and noiseless curves."""

import numpy as np
import pytest
from scipy.optimize import least_squares

from analysis.labels.laws import FAMILIES
from analysis.labels.least_squares import fit_many, jacobian

FIVE = np.array([4.0, 12.0, 36.0, 112.0, 224.0])
TEN = np.array([1.0, 3.0, 7.0, 15.0, 30.0, 75.0, 150.0, 300.0, 749.0, 1498.0])
TRUTHS = [
    ("power", [-0.1, 0.3]),
    ("power", [0.0, 0.05]),
    ("power with floor", [np.log(0.55), 0.6, 0.08]),
    ("power with floor", [np.log(3.0), 1.5, 0.2]),
    ("exponential", [np.log(0.5), np.log(30.0), 0.1]),
    ("M4", [0.0, 0.8, 0.05, 0.7]),
    ("M4", [1.0, 0.5, 0.0, 2.0]),
    ("MMF", [np.log(20.0), 0.9, 0.06, 0.7]),
]


def fit(family, counts, errors):
    logs = np.log(errors)[None]
    found, losses = fit_many(family, counts, logs, np.ones_like(logs), family.starts(counts, errors), errors.min())
    return found[0], losses[0]


@pytest.mark.parametrize("counts", [FIVE, TEN], ids=["five counts", "ten counts"])
@pytest.mark.parametrize(("name", "truth"), TRUTHS)
def test_a_noiseless_curve_gives_back_its_parameters(name, truth, counts):
    family = FAMILIES[name]
    found, loss = fit(family, counts, family.curve(np.array(truth), counts))
    assert found == pytest.approx(truth, rel=5e-3, abs=5e-3)
    assert loss < 1e-8


def test_the_four_parameter_form_solves_its_equation():
    scale, exponent, floor, bend = 0.3, 0.7, 0.05, 1.4
    errors = FAMILIES["M4"].curve(np.array([scale, exponent, floor, bend]), TEN)
    np.testing.assert_allclose((errors - floor) / (1 - errors) ** bend, np.exp(scale) * TEN**-exponent, rtol=1e-9)


def test_the_mmf_law_is_the_published_form():
    middle, slope, floor, top = np.log(20.0), 0.9, 0.06, 0.7
    errors = FAMILIES["MMF"].curve(np.array([middle, slope, floor, top]), TEN)
    b = np.exp(middle) ** slope
    np.testing.assert_allclose(errors, (top * b + floor * TEN**slope) / (b + TEN**slope))


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_the_solver_is_no_worse_than_scipy_from_every_start(family):
    generator = np.random.default_rng(5)
    errors = (0.08 + 0.55 * TEN**-0.6) * np.exp(0.1 * generator.normal(size=len(TEN)))
    _, loss = fit(family, TEN, errors)
    box = family.bounds(errors.min(), TEN)
    inside = [np.clip(start, box[0] + 1e-6, box[1] - 1e-6) for start in family.starts(TEN, errors)]
    expected = min(
        least_squares(lambda p: np.log(family.curve(p, TEN)) - np.log(errors), start, bounds=box, max_nfev=400).cost
        for start in inside
    )
    assert loss <= 2 * expected / len(TEN) * 1.001


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_every_law_falls_and_stays_within_its_bounds(family):
    generator = np.random.default_rng(6)
    errors = np.sort(generator.uniform(0.1, 0.9, len(TEN)))[::-1]
    found, _ = fit(family, TEN, errors)
    low, high = family.bounds(errors.min(), TEN)
    assert ((found >= low) & (found <= high)).all()
    assert (np.diff(family.curve(found, TEN)) <= 1e-12).all()
    assert jacobian(family, TEN, found).shape == (len(TEN), family.num_parameters)


def test_weights_count_as_repeated_points():
    family = FAMILIES["power"]
    logs = np.log([[0.5, 0.4, 0.2, 0.18, 0.1]])
    weights = np.array([[1.0, 2.0, 1.0, 0.0, 3.0]])
    found, _ = fit_many(family, FIVE, logs, weights, family.starts(FIVE, np.exp(logs[0])), 0.1)
    repeats = weights[0].astype(int)
    slope, scale = np.polyfit(np.log(np.repeat(FIVE, repeats)), np.repeat(logs[0], repeats), 1)
    assert found[0] == pytest.approx([scale, -slope], rel=1e-4)

"""The analysis against other software on the same numbers. Their values stand here with version and call, so that the
tests need none of them: lifelines 0.30.3, statsmodels 0.15.0, torchmetrics 1.9.0.
"""

import numpy as np
import pytest

from analysis.comparisons.comparison import holm
from analysis.convergence.survival import kaplan_meier, restricted_mean_steps
from analysis.intervals.crossed_effects import crossed_mean
from analysis.scores.overlap import dice, iou

STEPS = np.array([12.0, 20, 20, 36, 44, 60, 60, 60])
REACHED = np.array([1, 1, 0, 1, 1, 0, 0, 1], dtype=bool)


def test_kaplan_meier_agrees_with_lifelines():
    # KaplanMeierFitter().fit(STEPS, REACHED).survival_function_
    times, survival = kaplan_meier(STEPS, REACHED)
    assert times.tolist() == [12, 20, 36, 44, 60]
    assert survival == pytest.approx([0.875, 0.75, 0.6, 0.45, 0.3])


@pytest.mark.parametrize(("horizon", "expected"), [(30.0, 26.5), (50.0, 38.5), (60.0, 43.0)])
def test_the_restricted_mean_agrees_with_lifelines(horizon, expected):
    # lifelines.utils.restricted_mean_survival_time(KaplanMeierFitter().fit(STEPS, REACHED), t=horizon)
    assert restricted_mean_steps(STEPS, REACHED, horizon) == pytest.approx(expected)


def test_holm_agrees_with_statsmodels():
    # statsmodels.stats.multitest.multipletests(p_values, method="holm")[1]
    p_values = [0.001, 0.04, 0.03, 0.012, 0.2, 0.049, 0.5]
    assert holm(p_values) == pytest.approx([0.007, 0.16, 0.15, 0.072, 0.4, 0.16, 0.5])


def test_the_crossed_mean_agrees_with_statsmodels_restricted_maximum_likelihood():
    # MixedLM.from_formula("y ~ 1", groups="one", re_formula="0", data=long table,
    #     vc_formula={"s": "0 + C(s)", "q": "0 + C(q)"}).fit(reml=True): params, bse, vcomp, scale.
    # In a balanced table whose mean squares are in order, restricted likelihood is the analysis of variance.
    generator, seeds, patients = np.random.default_rng(7), 6, 9
    by_seed, by_patient = 0.05 * generator.normal(size=(seeds, 1)), 0.08 * generator.normal(size=(1, patients))
    found = crossed_mean(0.3 + by_seed + by_patient + 0.03 * generator.normal(size=(seeds, patients)))
    seed, patient, rest = 0.000237518, 0.002936915, 0.000714182
    assert float(found.mean) == pytest.approx(0.276616978)
    assert float(found.standard_error) == pytest.approx(0.019471412, rel=1e-4)
    assert float(found.from_patients) == pytest.approx(patient / patients, rel=1e-4)
    assert float(found.from_seeds) == pytest.approx(seed / seeds + rest / (seeds * patients), rel=1e-3)


def test_dice_and_iou_agree_with_torchmetrics():
    # dice_score(predicted, truth, 4, average="none", include_background=False) and mean_iou(..., per_class=True) of
    # torchmetrics.functional.segmentation, on one-hot masks with these counts.
    counts = np.array([[95, 92, 87], [49, 56, 54], [43, 44, 44]])
    assert dice(*counts) == pytest.approx([0.6737589, 0.6478873, 0.6397059], rel=1e-6)
    assert iou(*counts) == pytest.approx([0.5080214, 0.4791667, 0.4702703], rel=1e-6)

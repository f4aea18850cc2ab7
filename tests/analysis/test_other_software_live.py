"""The analysis against other software as it is installed, on many random inputs: what ``test_other_software.py`` holds
as constants. Each test is skipped where its package is absent; `make test-validation` installs all but rliable (it asks
for arch below 8, of which its measures need nothing: `pip install --no-deps rliable`).
"""

import numpy as np
import pandas as pd
import pytest

from analysis.comparisons.comparison import hochberg, holm
from analysis.convergence.survival import kaplan_meier, restricted_mean_steps
from analysis.intervals.crossed_effects import crossed_mean
from analysis.intervals.robust_scores import interquartile_mean, probability_of_improvement
from analysis.scores.overlap import dice, iou

pytestmark = [
    pytest.mark.slow,  # importing them takes seconds
    pytest.mark.filterwarnings("ignore"),  # theirs
]
EXTRA = "not installed: pip install '.[validation]' --constraint constraints.txt"


@pytest.fixture
def generator():
    return np.random.default_rng(20220901)


def times(generator):
    """Steps of some runs in tens, so that some are equal, and whether the target was reached."""
    number = int(generator.integers(2, 30))
    return 10.0 * generator.integers(1, 20, number), generator.random(number) < 0.7


def test_kaplan_meier_and_the_restricted_mean_agree_with_lifelines(generator):
    lifelines = pytest.importorskip("lifelines", reason=EXTRA)
    utils = pytest.importorskip("lifelines.utils", reason=EXTRA)
    for _ in range(50):
        steps, reached = times(generator)
        fitter = lifelines.KaplanMeierFitter().fit(steps, reached)
        at, survival = kaplan_meier(steps, reached)
        if len(at):
            assert survival == pytest.approx(fitter.survival_function_at_times(at).to_numpy())
        horizon = float(generator.integers(10, steps.max() + 1))
        expected = utils.restricted_mean_survival_time(fitter, t=horizon)
        assert restricted_mean_steps(steps, reached, horizon) == pytest.approx(float(expected))


def test_holm_and_hochberg_agree_with_statsmodels(generator):
    multitest = pytest.importorskip("statsmodels.stats.multitest", reason=EXTRA)
    for number in range(1, 40):
        p_values = generator.random(number).round(1 + number % 3) ** 2  # some are equal
        assert holm(p_values) == pytest.approx(multitest.multipletests(p_values, method="holm")[1])
        assert hochberg(p_values) == pytest.approx(multitest.multipletests(p_values, method="simes-hochberg")[1])


@pytest.mark.parametrize("shape", [(6, 9), (8, 20)])
def test_the_crossed_mean_agrees_with_statsmodels_restricted_maximum_likelihood(generator, shape):
    api = pytest.importorskip("statsmodels.api", reason=EXTRA)
    seeds, patients = (0.05 * generator.normal(size=(shape[0], 1)), 0.08 * generator.normal(size=(1, shape[1])))
    values = 0.3 + seeds + patients + 0.03 * generator.normal(size=shape)
    table = pd.DataFrame(values).stack().rename_axis(["s", "q"]).rename("y").reset_index().assign(one=1)
    parts = {"s": "0 + C(s)", "q": "0 + C(q)"}
    model = api.MixedLM.from_formula("y ~ 1", groups="one", re_formula="0", vc_formula=parts, data=table)
    fit, found = model.fit(reml=True), crossed_mean(values)
    assert float(found.mean) == pytest.approx(fit.params["Intercept"])
    assert float(found.standard_error) == pytest.approx(fit.bse["Intercept"], rel=1e-3)


def test_dice_and_iou_agree_with_torchmetrics(generator):
    torch = pytest.importorskip("torch", reason=EXTRA)
    functional = pytest.importorskip("torchmetrics.functional.segmentation", reason=EXTRA)
    truth, predicted = generator.integers(0, 4, (2, 30, 40))
    one_hot = [torch.nn.functional.one_hot(torch.tensor(each), 4).movedim(-1, 0)[None] for each in (predicted, truth)]
    hits = np.array([((predicted == c) & (truth == c)).sum() for c in (1, 2, 3)])
    counts = hits, np.bincount(predicted.ravel())[1:] - hits, np.bincount(truth.ravel())[1:] - hits
    expected = functional.dice_score(*one_hot, 4, average="none", include_background=False)
    assert dice(*counts) == pytest.approx(expected[0].numpy(), rel=1e-6)
    expected = functional.mean_iou(*one_hot, 4, include_background=False, per_class=True)
    assert iou(*counts) == pytest.approx(expected[0].numpy(), rel=1e-6)


def test_measures_of_single_runs_agree_with_rliable(generator):
    metrics = pytest.importorskip("rliable.metrics", reason="not installed: pip install --no-deps rliable")
    for number in range(4, 30):
        own, other = (generator.random((size, 1)).round(1 + number % 2) for size in (number, 33 - number))
        better = metrics.probability_of_improvement(own, other)  # of scores, of which more is better
        found = probability_of_improvement(1 - own[:, 0], 1 - other[:, 0])
        assert found.probability == pytest.approx(better)
        assert interquartile_mean(1 - own[:, 0]) == pytest.approx(1 - metrics.aggregate_iqm(own))

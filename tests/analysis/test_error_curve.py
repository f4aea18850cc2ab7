"""Errors by seed and patient from stored counts, against the test Dice of the cells."""

import numpy as np
import pytest

from analysis.error_curve import ErrorCurve, error_curves
from analysis.load import load_results
from analysis.uncertainty import median_over_seeds


def test_the_mean_over_patients_is_the_error_of_the_cell(results):
    loaded = load_results(results)
    seeds, counts = sorted(loaded.cells["seed"].unique()), np.sort(loaded.cells["label_count"].unique()).astype(float)
    curves = error_curves(loaded.cells, loaded.cases, seeds, counts)
    for cell in loaded.cells.sample(20, random_state=0).itertuples():
        found = curves[cell.variant].by_seed[seeds.index(cell.seed), counts.tolist().index(cell.label_count)]
        assert found == pytest.approx(cell.error, abs=1e-5)  # counts are rounded to whole pixels
    assert next(iter(curves.values())).errors.shape[1] == 2


def test_without_cases_the_patient_axis_holds_the_cell(results):
    loaded = load_results(results)
    seeds, counts = sorted(loaded.cells["seed"].unique()), np.sort(loaded.cells["label_count"].unique()).astype(float)
    kept = loaded.cases[loaded.cases["cell_id"] != loaded.cells["cell_id"].iloc[0]]
    for cases in (loaded.cases.iloc[:0], kept):
        curves = error_curves(loaded.cells, cases, seeds, counts)
        assert next(iter(curves.values())).errors.shape[1] == 1
    assert np.isfinite(median_over_seeds(curves["random"].by_seed)).all()


def test_the_mean_of_logs_over_patients_is_the_log_of_the_mean():
    errors = np.random.default_rng(0).uniform(0.05, 0.9, size=(3, 6, 4))
    np.testing.assert_allclose(ErrorCurve(np.arange(1.0, 5.0), errors).logs.by_seed, np.log(errors.mean(axis=1)))


def test_logs_of_patients_predict_what_resampling_them_does():
    generator = np.random.default_rng(1)
    errors = generator.uniform(0.2, 0.4, size=(1, 30, 1))
    logs = ErrorCurve(np.array([8.0]), errors).logs.values[0, :, 0]
    means = [np.log(generator.choice(errors[0, :, 0], 30).mean()) for _ in range(4000)]
    assert np.std(means) == pytest.approx(logs.std() / np.sqrt(30), rel=0.05)


def test_a_missing_cell_stays_missing():
    errors = np.full((2, 3, 2), 0.5)
    errors[0, :, 1] = np.nan
    logs = ErrorCurve(np.array([4.0, 8.0]), errors).logs
    assert logs.mean() == pytest.approx(np.log([0.5, 0.5]))
    assert logs.is_known.tolist() == [True, True]

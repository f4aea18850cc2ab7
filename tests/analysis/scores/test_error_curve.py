"""Errors by seed and patient from stored counts, against the test Dice of the cells."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from analysis.answers.caveats import caveats
from analysis.loading.load import load_results
from analysis.scores.error_curve import ErrorCurve, cell_errors, error_curves


def with_axes(results):
    """A sweep with its seeds and label counts."""
    loaded = load_results(results)
    counts = np.sort(loaded.cells["label_count"].unique()).astype(float)
    return loaded, sorted(loaded.cells["seed"].unique()), counts


def test_the_mean_over_patients_is_the_error_of_the_cell(results):
    loaded, seeds, counts = with_axes(results)
    curves = error_curves(loaded.cells, cell_errors(loaded.cells, loaded.cases), seeds, counts)
    for cell in loaded.cells.sample(20, random_state=0).itertuples():
        found = curves[cell.variant].by_seed[seeds.index(cell.seed), counts.tolist().index(cell.label_count)]
        assert found == pytest.approx(cell.error, abs=1e-5)  # counts are rounded to whole pixels
    assert next(iter(curves.values())).errors.shape[1] == 2


def test_without_cases_the_patient_axis_holds_the_cell(results):
    loaded, seeds, counts = with_axes(results)
    curves = error_curves(loaded.cells, cell_errors(loaded.cells, loaded.cases.iloc[:0]), seeds, counts)
    assert next(iter(curves.values())).errors.shape[1] == 1
    assert np.isfinite(curves["random"].logs.mean()).all()


def test_a_cell_without_cases_is_missing_and_takes_no_patient_from_the_others(results):
    loaded, seeds, counts = with_axes(results)
    lost = loaded.cells.iloc[0]
    found = cell_errors(loaded.cells, loaded.cases[loaded.cases["cell_id"] != lost["cell_id"]])
    assert (found.patients, found.left_out, found.num_without_patients) == (("patient-1", "patient-2"), (), 1)
    curve = error_curves(loaded.cells, found, seeds, counts)[lost["variant"]].errors
    place = seeds.index(lost["seed"]), slice(None), counts.tolist().index(lost["label_count"])
    assert np.isnan(curve[place]).all()


def test_a_patient_without_structures_is_left_out_of_all_cells_and_costs_no_other_patient(results):
    """In the reference masks it has none: cells that predict something there score 0, the others nothing."""
    loaded, _, _ = with_axes(results)
    empty, inventing = loaded.cases.query("patient == 'patient-2'").copy(), loaded.cells["cell_id"].iloc[:3]
    empty[["true_positives", "false_negatives"]] = 0
    empty["patient"] = "patient-0"
    empty["false_positives"] = np.where(empty["cell_id"].isin(inventing), 5, 0)
    found = cell_errors(loaded.cells, pd.concat([loaded.cases, empty], ignore_index=True))
    assert (found.patients, found.left_out, found.num_scored) == (("patient-1", "patient-2"), ("patient-0",), 3)
    without = cell_errors(loaded.cells, loaded.cases)
    np.testing.assert_array_equal(found.errors, without.errors)
    assert without.left_out == ()
    assert (found.without_structures, found.unscored, found.num_unscored) == (("patient-0",), (), 0)


def test_a_patient_whose_rows_some_cells_lack_is_told_from_one_without_structures(results, findings):
    """Its masks hold structures: no cell has invented them, and no test Dice counted a 0."""
    loaded, _, _ = with_axes(results)
    lacking = loaded.cells["cell_id"].iloc[:12]
    lost = loaded.cases["cell_id"].isin(lacking) & (loaded.cases["patient"] == "patient-1")
    found = cell_errors(loaded.cells, loaded.cases[~lost])
    assert (found.patients, found.left_out, found.num_scored) == (("patient-2",), ("patient-1",), 0)
    assert (found.without_structures, found.unscored, found.num_unscored) == ((), ("patient-1",), 12)
    (said,) = (each for each in caveats(replace(findings, cell_errors=found)) if "left out" in each)
    assert said == (
        f"Test patient patient-1 is left out of all errors, in every cell alike, since rows are missing there in 12 of "
        f"{len(loaded.cells)} cells: cells would else be tested on different patients."
    )
    both = replace(found, left_out=("patient-1", "patient-0"), num_scored=3)
    told = [each for each in caveats(replace(findings, cell_errors=both)) if "left out" in each]
    assert len(told) == 2
    assert told[0].startswith("Test patient patient-0 is left out")
    assert "no structure is in the reference masks there: 3 of" in told[0]


def test_a_patient_that_all_cells_invent_structures_of_is_left_out_too(results):
    """Whether it is must not depend on the arms that were run: two experiments on the same data stay comparable."""
    loaded, _, _ = with_axes(results)
    empty = loaded.cases.assign(true_positives=0, false_negatives=0, false_positives=5, patient="patient-0")
    assert cell_errors(loaded.cells, pd.concat([loaded.cases, empty])).left_out == ("patient-0",)
    alone = cell_errors(loaded.cells, empty)
    assert (alone.patients, alone.errors.shape[1]) == ((), 1)


def test_what_is_left_out_is_said_with_the_answer(findings):
    found = findings
    assert not any("left out" in each for each in caveats(found))
    tested = replace(found.cell_errors, left_out=tuple("abcdefg"), num_scored=3, num_without_patients=2)
    said = " ".join(caveats(replace(found, cell_errors=tested)))
    assert "Test patients a, b, c, d, e and 2 more are left out of all errors" in said
    assert f"3 of {len(found.results.cells)} cells predict something there" in said
    assert "2 of 132 finished cells hold no test patients" in said


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

"""Cells that were stopped early: their curves go on to the budget by hand, and the report says what is assumed."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.integrate import trapezoid

from analysis.answers.caveats import caveats
from analysis.convergence.stability import normalised_area
from analysis.convergence.stopped_cells import curves_to_budget, num_stopped, saved_table
from analysis.convergence.time_to_target import Run, study_convergence
from analysis.early_stopping import main
from analysis.figures.all_figures import convergence_curves
from analysis.findings import find
from analysis.loading.load import load_results
from analysis.loading.options import ReportOptions
from analysis.page.methods import methods
from analysis.report import write_report
from analysis.tables.all_tables import device_hours
from analysis.tables.convergence_tables import curve_stability, speed_up_by_unit
from analysis.tables.design import design_rows
from tests.ledger_rows import make_older
from trainables.results import SCHEMAS
from trainables.results.programs import ERROR

STEPS = np.array([0.0, 10.0, 20.0, 24.0])
END = 202  # of the stopped runs of a sweep of 400 steps, validated at every fourth


def stopped(dice, variant="arm", budget=50.0):
    return Run(variant, 8, "0", STEPS, np.array(dice), 0.5 * STEPS, 16, budget)


def whole(dice, variant="arm"):
    steps = 10.0 * np.arange(len(dice))
    return Run(variant, 8, "0", steps, np.array(dice), 0.5 * steps, 16)


@pytest.fixture
def sweep(small):
    """A sweep whose runs of the arm ``random`` were stopped at step 202 of 400, two steps past an evaluation."""
    root = small(left_out=0, failed=0)
    for path in (root / "cells").glob("protocol-a-random-*.parquet"):
        (cell,) = pq.read_table(path).to_pylist()
        write(path, "cells", [cell | {"steps": END, "train_seconds": 20.2}])
        curve = pq.read_table(root / "curves" / path.name).to_pylist()
        kept = [row for row in curve if row["step"] <= END]
        write(root / "curves" / path.name, "curves", [*kept, kept[-1] | {"step": END, "seconds": 0.1 * END}])
    return root


def write(path, table, rows):
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMAS[table]), path)


def test_a_stopped_run_goes_on_to_its_budget_with_its_last_score_at_every_evaluation():
    run = stopped([0.1, 0.5, 0.6, 0.7]).to_budget()
    assert run.steps.tolist() == [0, 10, 20, 24, 30, 40, 50]
    assert run.val_dice.tolist() == [0.1, 0.5, 0.6, 0.7, 0.7, 0.7, 0.7]
    assert run.seconds.tolist() == [0, 5, 10, 12, 15, 20, 25]  # at its own pace
    untouched = whole([0.1, 0.5])
    assert untouched.to_budget() is untouched


def test_a_stopped_run_that_is_below_the_target_did_not_reach_it_within_the_budget():
    time = stopped([0.1, 0.5, 0.6, 0.6]).reached_at(0.7, 2)
    assert (time.steps, time.is_reached) == (50, False)


def test_a_stopped_run_whose_last_score_is_at_the_target_holds_it_as_long_as_evaluations_are_left():
    run = stopped([0.1, 0.5, 0.6, 0.7])
    assert (run.reached_at(0.7, 4).steps, run.reached_at(0.7, 4).is_reached) == (24, True)  # at 24, 30, 40 and 50
    assert not run.reached_at(0.7, 5).is_reached
    assert run.reached_at(0.6, 2).steps == 20


def test_the_horizon_stays_the_budget_and_a_stopped_run_is_cut_there():
    """The reference gets to 0.7 at step 10, the stopped run never: a fifth of its speed at most."""
    runs = [whole([0.1, 0.7, 0.7, 0.7, 0.7, 0.7], "reference"), stopped([0.1, 0.5, 0.6, 0.6])]
    study = study_convergence(runs, {8: 0.7}, "reference", ["0"], ReportOptions())
    assert study.horizons == {8: 50}
    assert study.speed_up("arm", 8).ratio.value == pytest.approx(10 / 50)
    assert study.speed_up("arm", 8).bound == "at most"
    assert study.restricted_mean("arm", 8) == 50


def test_the_area_of_a_stopped_run_is_that_up_to_its_budget():
    run = stopped([0.1, 0.5, 0.6, 0.6]).to_budget()
    assert normalised_area(run.steps, run.val_dice) == pytest.approx((3.0 + 5.5 + 2.4 + 26 * 0.6) / 50)


def rows(cell_id, seed, steps, dice, budget):
    one = {"cell_id": cell_id, "seed": seed, "budget_steps": budget}
    return [one | {"step": step, "val_dice": score} for step, score in zip(steps, dice, strict=True)]


def test_mean_curves_have_every_run_at_every_step():
    early = rows("a", "0", [0, 10, 14], [0.0, 0.4, 0.6], 30)
    late = rows("b", "1", [0, 10, 20, 30], [0.0, 0.2, 0.4, 0.6], 30)
    table = curves_to_budget(pd.DataFrame(early + late))
    assert table.index.tolist() == [0, 10, 14, 20, 30]
    assert table["0"].tolist() == pytest.approx([0.0, 0.4, 0.6, 0.6, 0.6])
    assert table["1"].tolist() == pytest.approx([0.0, 0.2, 0.28, 0.4, 0.6])


def test_mean_curves_reach_the_budget_where_all_runs_were_stopped_and_average_the_runs_of_a_seed():
    runs = rows("a", "0", [0, 10], [0.0, 0.4], 30) + rows("b", "0", [0, 10, 20], [0.0, 0.2, 0.8], 30)
    table = curves_to_budget(pd.DataFrame(runs))
    assert table.index.tolist() == [0, 10, 20, 30]
    assert table["0"].tolist() == pytest.approx([0.0, 0.3, 0.6, 0.6])


def test_mean_curves_without_stopped_runs_are_the_scores_as_they_are():
    runs = rows("a", "0", [0, 10, 20], [0.0, None, 0.4], 20) + rows("b", "1", [0, 10, 20], [0.0, 0.3, 0.2], 20)
    frame = pd.DataFrame(runs).astype({"val_dice": float})
    expected = frame.pivot_table(index="step", columns="seed", values="val_dice", aggfunc="mean")
    assert np.array_equal(curves_to_budget(frame).to_numpy(), expected.to_numpy(), equal_nan=True)


def test_the_steps_that_were_saved_are_told_by_variant_and_in_all(sweep):
    table = saved_table(load_results(sweep)).set_index("variant")
    assert table.loc["random", ["num_cells", "num_stopped", "steps", "budget_steps"]].tolist() == [4, 4, 808, 1600]
    assert table.loc["random", "saved_share"] == pytest.approx(198 / 400)
    assert table.loc["supervised-natural", "saved_share"] == 0
    assert table.loc["all", "saved_share"] == pytest.approx(198 / 800)
    hours = table[["train_hours", "budget_train_hours"]] * 3600
    assert hours.loc["random"].tolist() == pytest.approx([4 * 20.2, 4 * 40.0])
    assert hours.loc["all"].tolist() == pytest.approx([4 * 20.2 + 160, 320])


def test_cost_is_that_of_the_steps_that_were_trained(sweep):
    before = device_hours(find(load_results(sweep))).set_index("variant")
    assert before.loc["random", "finetune_device_hours"] == pytest.approx(4 * 46 / 3600)  # wall seconds as stored


def test_the_answer_says_how_many_runs_were_stopped_and_what_is_assumed_of_them(sweep):
    """After two of its time constants a run of ``random`` is at 86 % of its end, below 95 % of the reference's."""
    said = " ".join(caveats(find(load_results(sweep))))
    assert "4 of 8 fine-tunings were stopped early" in said
    assert "25% of the training steps of the full budget were saved, from 0% (supervised-natural) to 50%" in said
    assert "4 of them had not reached the target and count as not reaching it within the budget" in said
    assert "They decide where a run ends, and nothing else" in said


def test_design_and_methods_name_rule_schedule_and_budget(sweep):
    text = (sweep / "experiment.yaml").read_text()
    rule = "{patience: 5, min_delta: 0.002, cooldown_fraction: 0.2}"
    (sweep / "experiment.yaml").write_text(f"{text}finetune: {{stop: {rule}, learning_rate: 0.01}}\n")
    found = find(load_results(sweep))
    design = dict(design_rows(found))
    assert design["Fine-tuning"] == "at most 400 steps, batches of 16"
    assert design["Early stopping"].startswith(
        "patience 5 evaluations, min_delta 0.002, cooldown over 20% of the budget"
    )
    assert "decide where a run ends, and nothing else" in design["Validation"]
    described = methods(found)
    assert "was trained for at most 400 steps" in described.text
    assert "had not risen by more than 0.002 in 5 evaluations in a row after the warm-up" in described.text
    assert "cooled down to 0 by 1 - sqrt over 20% of these steps (Hägele et al. 2024)" in described.text
    assert "4 of 8 runs ended early" in described.text
    assert any("2405.18392" in work for work in described.references)


def test_the_report_shows_the_saved_steps_and_curves_up_to_the_budget(sweep, monkeypatch):
    figure = convergence_curves(find(load_results(sweep)))
    assert "goes on to its budget with its last Dice" in figure.caption
    for panel in figure.figure.axes[:2]:
        lines = {line.get_label(): line for line in panel.get_lines()}
        assert {line.get_xdata()[-1] for name, line in lines.items() if not name.startswith("_")} == {400}
        dice = lines["random"].get_ydata()
        assert dice[-1] == pytest.approx(dice[lines["random"].get_xdata().tolist().index(END)])
    monkeypatch.setattr("analysis.report.draw_all", lambda findings: [])
    page = write_report(sweep).page.read_text()
    assert "Training steps that early stopping saved" in page
    assert "fine-tunings were stopped early" in page


def test_areas_of_a_sweep_are_up_to_the_budget_and_unsteadiness_is_of_what_was_trained(sweep):
    found = find(load_results(sweep))
    table = curve_stability(found).set_index(["variant", "label_count"])
    areas = [
        trapezoid(np.append(run.val_dice, run.val_dice[-1]), np.append(run.steps, 400)) / 400
        for run in found.runs
        if (run.variant, run.label_count) == ("random", 36)
    ]
    assert len(areas) == 2
    assert table.loc[("random", 36), "normalised_area"] == pytest.approx(np.median(areas))
    assert table.loc[("random", 36), "largest_drawdown"] == 0
    assert np.isnan(table.loc[("random", 36), "spread_after_target"])


def test_runs_that_did_not_reach_the_target_are_cut_at_the_budget_in_every_unit(sweep):
    """All runs take a tenth of a second a step, so that both units say one ratio."""
    table = speed_up_by_unit(find(load_results(sweep)))
    plain = table[(table["label_count"] == 36) & ~table["pretraining_counts"]].set_index("unit")["speed_up"]
    assert plain["seconds"] == pytest.approx(plain["steps"])
    assert plain["samples"] == pytest.approx(plain["steps"])


def test_a_sweep_that_may_stop_has_nothing_for_the_rule_in_hindsight(sweep, capsys):
    assert main([str(sweep)]) == ERROR
    assert "expected cells that ran their whole budget, found finetune.stop" in capsys.readouterr().err


def test_results_of_older_programs_ran_their_whole_budget(small):
    root = small(left_out=0, failed=0)
    make_older(root)
    results = load_results(root)
    assert num_stopped(results.cells) == 0
    assert results.cells["budget_steps"].tolist() == [400] * 8
    assert saved_table(results).empty
    found = find(results)
    assert "Early stopping" not in dict(design_rows(found))
    assert "stopped early" not in " ".join(caveats(found))
    assert "Hägele" not in methods(found).text

"""Runs, targets and costs of a simulated sweep against plain loops and the law of its curves."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from analysis.compare_arms import arms_table
from analysis.convergence.stability import stability
from analysis.convergence.survival import steps_to_target
from analysis.convergence.time_to_target import Run, study_convergence
from analysis.findings import find
from analysis.loading.load import load_results
from analysis.loading.options import ReportOptions
from analysis.pretraining.pretraining_cost import pretraining_cost
from analysis.tables.all_tables import all_tables
from analysis.tables.convergence_tables import convergence, curve_stability, speed_up_by_unit


def curve(variant, seed, dice, count=8):
    steps = np.arange(len(dice)) * 10.0
    return Run(variant, count, seed, steps, np.array(dice), 0.5 * steps, 16)


def by_loop(steps, dice, target, hold):
    for index in range(len(dice) - hold + 1):
        if all(dice[index + offset] >= target for offset in range(hold)):
            return steps[index] if steps[index] else steps[1]
    return None


def test_times_agree_with_a_plain_loop_on_random_curves():
    generator = np.random.default_rng(0)
    steps = np.arange(12) * 5.0
    for hold in (1, 2, 3, 12):
        for _ in range(100):
            dice, target = generator.random(12).round(1), generator.random().__round__(1)
            found, expected = steps_to_target(steps, dice, target, hold), by_loop(steps, dice, target, hold)
            assert found.is_reached == (expected is not None)
            assert found.steps == (steps[-1] if expected is None else expected)


def test_fewer_evaluations_than_the_hold_never_reach_a_target():
    assert not steps_to_target(np.array([0.0, 10.0]), np.ones(2), 0.5, 3).is_reached


def test_a_target_may_be_any_fixed_dice():
    runs = [curve("slow", "0", [0, 0.2, 0.4, 0.6, 0.8, 0.8]), curve("quick", "0", [0, 0.6, 0.7, 0.8, 0.8, 0.8])]
    study = study_convergence(runs, {8: 0.55}, "slow", ["0"], ReportOptions())
    assert (study.steps("slow", 8)[0], study.steps("quick", 8)[0]) == (30.0, 10.0)
    assert study.speed_up("quick", 8).ratio.value == pytest.approx(3.0)


def test_a_dice_as_the_configured_target_is_met_at_the_steps_of_the_curves_own_formula(small, simulated):
    root = small(counts=(36, 224), noise=0.0, left_out=0, failed=0)
    text = (root / "experiment.yaml").read_text().replace("report:\n", "report:\n  convergence_dice: 0.6\n")
    (root / "experiment.yaml").write_text(text)
    found = find(load_results(root))
    assert found.convergence.targets == {36: 0.6, 224: 0.6}
    for arm in ("random", simulated.REFERENCE):
        for count in (36, 224):
            share = 0.6 / (1 - simulated.true_error(arm, count, 0))
            steps = -simulated.SPEED[arm] * math.log(1 - share)  # of dice = (1 - error)(1 - exp(-steps / speed))
            seen = 4 * math.ceil(steps / 4)  # validated at every fourth step
            assert found.convergence.steps(arm, count).tolist() == [seen, seen]
    own = all_tables(found)["time_against_target"].query("share_of_reference.isna()")
    assert own["target_val_dice"].tolist() == [0.6] * 4


def test_the_reference_against_itself_has_no_interval_though_its_runs_miss_the_target(small, simulated):
    root = small(left_out=0, failed=0)
    text = (root / "experiment.yaml").read_text().replace("report:\n", "report:\n  convergence_dice: 0.99\n")
    (root / "experiment.yaml").write_text(text)
    found = find(load_results(root))
    made, compared = all_tables(found), arms_table(found, found)
    assert (made["convergence"]["num_censored"] > 0).all()
    for table in (made["convergence"], made["time_against_target"], compared):
        is_own = table["variant"] == simulated.REFERENCE
        own, others = table[is_own], table[~is_own]
        assert set(own["ratio_is"]) == {"reference"}
        assert set(own["speed_up"]) == {1.0}
        ends = [name for name in table if name.endswith(("low", "high")) and not name.startswith(("labels", "floor"))]
        assert len(ends) == 4
        assert own[ends].isna().all(axis=None)
        assert "reference" not in set(others["ratio_is"])


def test_higher_targets_take_longer_and_are_missed_more_often(tables):
    table = tables["time_against_target"]
    assert sorted(table["share_of_reference"].unique()) == [0.90, 0.95, 0.98, 0.99]
    for _, rows in table.sort_values("share_of_reference").groupby(["variant", "label_count"]):
        assert (np.diff(rows["restricted_mean_steps"]) >= 0).all()
        assert (np.diff(rows["num_censored"]) >= 0).all()


def test_speed_ups_in_samples_and_seconds_are_those_in_steps_where_a_step_costs_the_same(tables):
    table = tables["speed_up_by_unit"]
    free = table[~table["pretraining_counts"]].pivot_table(
        index=["variant", "label_count"], columns="unit", values="speed_up"
    )
    np.testing.assert_allclose(free["samples"], free["steps"])
    np.testing.assert_allclose(free["seconds"], free["steps"])


def test_speed_ups_in_every_unit_bear_the_bounds_of_those_in_steps(tables):
    columns = ["num_censored", "ratio_is", "uncut_low", "uncut_high", "low", "high", "num_pairs"]
    steps = tables["convergence"].assign(label_count=tables["convergence"]["label_count"].astype(str))
    steps = steps.set_index(["variant", "label_count"])
    assert (tables["speed_up_by_unit"]["ratio_is"] != "exact").any()
    for row in tables["speed_up_by_unit"].to_dict("records"):
        same = steps.loc[(row["variant"], str(row["label_count"]))]
        if row["unit"] == "steps":
            assert [row[name] for name in columns] == pytest.approx([same[name] for name in columns], nan_ok=True)
        assert (row["num_censored"], row["ratio_is"]) == (same["num_censored"], same["ratio_is"])
        assert (row["uncut_low"] == 0) == (row["num_censored"] > 0)
        assert np.isinf(row["uncut_high"]) == (row["num_reference_censored"] > 0)


def test_pretraining_runs_of_one_seed_are_averaged_wherever_time_and_stability_are_told(findings):
    """Each cell of one arm a second time, on another pretraining run whose curve rises half as fast."""
    results, arm = findings.results, "byol-domain, 12 epochs"
    own = results.cells[results.cells["variant"] == arm]
    again = own.assign(cell_id=own["cell_id"] + "-again", pretraining_seed=1)
    slow = results.curves[results.curves["cell_id"].isin(own["cell_id"])].copy()
    slow["val_dice"] = slow.groupby("cell_id")["val_dice"].transform(
        lambda scores: scores.to_numpy()[np.arange(len(scores)) // 2]
    )
    slow["cell_id"] += "-again"
    cells = pd.concat([results.cells, again], ignore_index=True)
    more = replace(
        results, cells=cells, curves=pd.concat([results.curves, slow], ignore_index=True), cases=results.cases.iloc[:0]
    )
    found = find(more)
    steps, units = convergence(found), speed_up_by_unit(found).query("unit == 'steps'")
    one = steps[(steps["variant"] == arm) & (steps["label_count"] == "224")].iloc[0]
    other = units[(units["variant"] == arm) & (units["label_count"] == 224)].iloc[0]
    assert (one["speed_up"], one["low"], one["high"]) == pytest.approx((other["speed_up"], other["low"], other["high"]))
    both = [
        np.median([stability(run.steps, run.val_dice, np.inf).area for run in runs])
        for runs in (
            [run for run in found.runs if (run.variant, run.label_count) == (arm, 224)][start::2] for start in (0, 1)
        )
    ]
    table = curve_stability(found).set_index(["variant", "label_count"]).loc[(arm, 224)]
    assert table["num_seeds"] == own.query("label_count == 224")["seed"].nunique()
    assert min(both) < table["normalised_area"] < max(both)


@pytest.mark.parametrize(("steps", "horizon", "expected"), [((50.0, 1000.0), 100.0, 75.0), ((50.0, 70.0), 100.0, 60.0)])
def test_runs_of_one_seed_are_cut_before_they_are_averaged(steps, horizon, expected):
    """A run that reaches the target after the last step that all runs have is not seen to reach it."""
    reached = all(each <= horizon for each in steps)
    runs = [run_to(each, 1000 if each > horizon else int(horizon)) for each in steps]
    study = study_convergence(
        [*runs, run_to(50.0, int(horizon), variant="other")],
        {8: 0.5},
        "other",
        ["0"],
        ReportOptions(hold_evaluations=1),
    )
    (time,) = study.times["arm", 8]
    assert (time.steps, time.is_reached) == (expected, reached)


def two_counts(present, reached=40.0):
    """Runs of two arms at two label counts, (label count, seed) of those that the arm has; the reference has all."""
    points = [(count, seed) for count in (8, 16) for seed in ("0", "1", "2", "3")]
    runs = [run_to(40.0, 100, "other", *point) for point in points]
    runs += [run_to(10.0 if point[0] == 8 else reached, 100, "arm", *point) for point in points if point in present]
    targets, options = {8: 0.5, 16: 0.5}, ReportOptions(hold_evaluations=1)
    return study_convergence(runs, targets, "other", ["0", "1", "2", "3"], options).overall_speed_up("arm")


def test_seeds_added_at_one_label_count_do_not_turn_the_speed_up_over_all_into_that_at_this_one():
    """The arm is four times faster at 8 labels, and no faster at 16."""
    whole = [(count, seed) for count in (8, 16) for seed in "01"]
    for present in (whole, [*whole, (8, "2"), (8, "3")]):
        found = two_counts(present)
        assert (found.ratio.value, found.ratio.num_seeds) == (pytest.approx(2.0), 2)
        assert found.label_counts == (8, 16)


def test_a_label_count_that_is_left_out_is_not_named_and_its_censored_runs_still_make_a_bound():
    found = two_counts([(8, "0"), (8, "1"), (16, "1")], reached=200.0)
    assert (found.label_counts, found.ratio.value) == ((8,), pytest.approx(4.0))
    assert (found.num_censored, found.bound) == (1, "at most")


def run_to(reached, last, variant="arm", count=8, seed="0"):
    """A run whose curve jumps over the target at one step."""
    steps = np.arange(0.0, last + 1, 10.0)
    return Run(variant, count, seed, steps, np.where(steps >= reached, 0.9, 0.1), steps, 4)


def test_pretraining_that_counts_makes_an_arm_slower(small):
    root = small(num_arms=3, counts=(4, 224), num_seeds=3, left_out=0, failed=0)
    text = (root / "experiment.yaml").read_text().replace("reference_arm: supervised-natural", "reference_arm: random")
    (root / "experiment.yaml").write_text(text)
    found = find(load_results(root))
    table = all_tables(found)["speed_up_by_unit"].set_index(["variant", "label_count", "unit", "pretraining_counts"])
    row = ("byol-domain, 12 epochs", 224, "seconds")
    free, whole = (table.loc[(*row, counts), "speed_up"] for counts in (False, True))
    times = [found.convergence.steps(name, 224) * 0.1 for name in ("random", row[0])]
    assert free == pytest.approx(np.exp(np.mean(np.log(times[0] / times[1]))))
    assert whole == pytest.approx(np.exp(np.mean(np.log(times[0] / (times[1] + 12 * 2.0)))))  # 2 s an epoch


def test_the_cost_of_a_chain_adds_its_stages(findings):
    samples = pretraining_cost(findings.results)["samples"]
    assert samples["byol-natural+byol-domain, 3 epochs"] == 3 * 1000 + 12 * 1000
    assert samples["random"] == samples["supervised-natural"] == 0.0  # downloaded: no stage of its own


def test_a_chain_whose_epochs_are_not_in_the_results_has_no_cost(findings):
    lost = replace(findings.results, pretraining=findings.results.pretraining.query("epoch != 2"))
    costs = pretraining_cost(lost)
    assert np.isnan(costs.loc["byol-domain, 12 epochs"]).all()
    assert (costs.loc["random"] == 0).all()


def test_a_cost_over_several_runs_of_a_stage_is_their_mean(findings):
    results = findings.results
    again = results.pretraining.assign(stage_id=lambda table: table["stage_id"] + "-again", seconds=8.0)
    chains = results.cells.assign(
        pretraining_chain=lambda cells: cells["pretraining_chain"].str.replace("@", "-again@", regex=False)
    )
    both = replace(
        results, pretraining=pd.concat([results.pretraining, again]), cells=pd.concat([results.cells, chains])
    )
    assert pretraining_cost(both).loc["byol-domain, 12 epochs", "seconds"] == pytest.approx(12 * (2.0 + 8.0) / 2)


def test_quicker_arms_have_a_larger_area(tables):
    table = tables["stability"].set_index(["variant", "label_count"])
    quick, slow = table.loc[("byol-natural+byol-domain, 12 epochs", 224)], table.loc[("random", 224)]
    assert quick["normalised_area"] > slow["normalised_area"]
    assert (table["largest_drawdown"] == 0).all()  # simulated curves rise


def test_the_references_area_differs_from_itself_by_nothing_without_an_interval(tables, simulated):
    table = tables["stability"].set_index("variant").loc[simulated.REFERENCE]
    assert (table["area_minus_reference"] == 0).all()
    assert table[["area_minus_reference_low", "area_minus_reference_high"]].isna().all(axis=None)


@pytest.mark.parametrize(
    ("tweak", "left_out"),
    [
        (lambda curve: curve, False),
        (lambda curve: curve[curve["step"] == 0], True),  # one validation, before training
        (lambda curve: curve[curve["step"] < 200], True),  # rows were lost
        (lambda curve: curve.assign(val_dice=curve["val_dice"].where(curve["step"] <= 200)), True),  # then undefined
        (lambda curve: curve.assign(val_dice=curve["val_dice"].where(curve["step"] != 200)), False),  # undefined once
    ],
    ids=["whole", "before training alone", "rows lost", "undefined from step 204", "undefined at step 200"],
)
def test_a_curve_without_its_end_is_left_out_with_a_warning_and_cuts_no_other_runs_horizon(
    results, tweak, left_out
) -> None:
    found = load_results(results)
    one = found.cells["cell_id"].iloc[0]
    is_own = found.curves["cell_id"] == one
    curves = pd.concat([found.curves[~is_own], tweak(found.curves[is_own])])
    study = find(replace(found, curves=curves, warnings=[]))
    assert set(study.convergence.horizons.values()) == {400.0}
    assert any(f"1 of {len(found.cells)} cells" in each and one in each for each in study.results.warnings) == left_out
    assert len(study.runs) == len(found.cells) - left_out

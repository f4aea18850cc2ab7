"""Which cells belong to the design, and what is said about the rest."""

import json
import shutil
from datetime import UTC, datetime

import pytest
import yaml

from analysis.findings import find
from analysis.loading.load import load_results, variant_label
from analysis.loading.selection import ReportError
from analysis.tables.design import gap_words
from sweep.experiment import Experiment
from trainables.results import ResultsError, record_failure, record_plan


@pytest.fixture(scope="module")
def loaded(results):
    return load_results(results)


@pytest.fixture
def whole(small):
    """A sweep of three arms without anything missing, to change."""
    return small(num_arms=3, left_out=0, failed=0)


def test_cells_of_other_protocols_are_counted_and_left_out(loaded):
    assert loaded.num_other_protocol == 1
    assert set(loaded.cells["protocol_id"]) == {"protocol-a"}


def test_missing_cells_are_planned_and_unfinished_with_the_reason_of_a_failure(loaded):
    assert len(loaded.planned) == 135
    assert len(loaded.cells) == 132
    assert sorted(loaded.missing["reason"]) == ["", "", "OutOfMemoryError: simulated <failure>"]


def test_failures_of_other_experiments_in_the_folder_are_not_counted(small):
    root = small(left_out=0, failed=1)
    other = {"unit": "cell", "unit_id": "of-another-plan", "name": "other", "reason": "OutOfMemoryError"}
    record_failure(root, other | {"traceback": "", "failed_at": datetime(2026, 1, 1, tzinfo=UTC)})
    found = load_results(root)
    assert len(found.failures) == 1
    assert set(found.failures["unit_id"]) <= set(found.planned["cell_id"])
    assert "1 cell or stage failed." in gap_words(find(found))


def test_cells_behind_a_failed_stage_are_missing_for_that_reason(whole):
    stage = {"unit_id": "stage-byol-domain", "unit": "stage", "name": "byol-domain", "reason": "collapsed"}
    record_failure(whole, stage | {"traceback": "", "failed_at": datetime(2026, 1, 1, tzinfo=UTC)})
    lost = next(path for path in (whole / "cells").glob("protocol-a-byol-domain-3-4-*"))
    lost.unlink()
    missing = load_results(whole).missing.set_index("cell_id")["reason"]
    assert missing[lost.stem] == "pretraining byol-domain failed"


def test_the_simulated_experiment_has_no_setting_that_the_sweep_does_not_know(results):
    for section, values in yaml.safe_load((results / "experiment.yaml").read_text()).items():
        if section != "name":
            known = Experiment.model_fields[section].annotation.model_fields
            assert set(values) <= set(known), section


def test_error_is_one_minus_test_dice_and_a_seed_is_the_pair(loaded):
    cells = loaded.cells
    assert (cells["error"] + cells["test_dice"]).tolist() == pytest.approx([1.0] * len(cells))
    assert set(cells["seed"]) == {"0/10", "1/11", "2/12"}


def test_variants_are_named_with_their_epochs():
    assert variant_label("random", 0) == "random"
    assert variant_label("byol-domain", 12) == "byol-domain, 12 epochs"
    assert variant_label("byol-domain", 1) == "byol-domain, 1 epoch"


def test_a_folder_without_a_marker_is_refused(tmp_path):
    with pytest.raises(ResultsError, match="no results in"):
        load_results(tmp_path)


def test_a_sweep_without_finished_cells_is_refused(small):
    root = small(left_out=0, failed=0)
    shutil.rmtree(root / "cells")
    with pytest.raises(ReportError, match="no finished cells"):
        load_results(root)


def test_absent_side_files_leave_defaults_and_a_warning(small):
    root = small(beside=False)
    loaded = load_results(root)
    assert loaded.options.reference_arm == "supervised-natural"
    assert loaded.label_unit == "slices"
    assert [warning.split()[0] for warning in loaded.warnings] == [
        "experiment.yaml",
        "data.json",
        "versions.json",
        "references.json",
    ]


def test_an_unreadable_file_is_left_out_with_a_warning(small):
    root = small()
    (root / "cells" / "torn.parquet").write_text("torn")
    assert any("torn.parquet" in warning for warning in load_results(root).warnings)


def test_a_point_that_a_later_plan_asks_for_with_another_recipe_shows_the_later_one(whole):
    before = load_results(whole)
    changed = before.planned[before.planned["arm"] == "byol-domain"].drop(columns="plan_number")
    changed = changed.assign(cell_id="new-" + changed["cell_id"])
    record_plan(whole, changed.to_dict("records"))
    after = load_results(whole)
    assert len(after.planned) == len(before.planned)
    assert "byol-domain" not in set(after.cells["arm"])  # the old encoder's cells are not shown as the new one's
    assert set(after.cells["arm"]) == set(before.cells["arm"]) - {"byol-domain"}


def test_a_point_that_a_later_plan_deals_another_pretraining_run_shows_the_later_one(whole):
    before = load_results(whole)
    arm = before.planned[(before.planned["arm"] == "byol-domain") & (before.planned["subset_seed"] == 1)]
    dealt = arm.drop(columns="plan_number").assign(cell_id="new-" + arm["cell_id"], pretraining_seed=1)
    record_plan(whole, dealt.to_dict("records"))
    after = load_results(whole)
    assert len(after.planned) == len(before.planned)
    assert set(dealt["cell_id"]) <= set(after.missing["cell_id"])
    kept = after.cells[after.cells["arm"] == "byol-domain"]  # no mean over the old run's cells and the new one's
    assert set(kept["subset_seed"]) == set(before.cells["subset_seed"]) - {1}


def of_another_recipe(planned, seeds, pretraining_seed=0):
    """Rows of byol-domain at these subset seeds, behind a stage of another recipe."""
    rows = planned[(planned["arm"] == "byol-domain") & planned["subset_seed"].isin(seeds)].drop(columns="plan_number")
    chains = rows["pretraining_chain"].str.replace("@", "-other@")
    return rows.assign(
        cell_id="new-" + rows["cell_id"], pretraining_chain=chains, pretraining_seed=pretraining_seed
    ).to_dict("records")


@pytest.mark.parametrize("seeds", [[0], [0, 1, 2]], ids=["one seed", "all seeds"])
def test_cells_of_an_earlier_recipe_are_no_replicates_of_the_later_ones(whole, seeds):
    before = load_results(whole)
    record_plan(whole, of_another_recipe(before.planned, seeds))
    after = load_results(whole)
    assert set(after.cells["arm"]) == set(before.cells["arm"]) - {"byol-domain"}
    left = after.planned.loc[after.planned["arm"] == "byol-domain", "subset_seed"]
    assert set(left) == set(seeds) & set(before.planned["subset_seed"])
    lost = before.cells[(before.cells["arm"] == "byol-domain") & ~before.cells["subset_seed"].isin(seeds)]
    told = [each for each in after.warnings if "another recipe, images or first weights" in each]
    assert len(told) == lost["pretraining_epochs"].nunique()
    for (_, cells), warning in zip(lost.groupby("pretraining_epochs"), told, strict=True):
        assert f"{len(cells)} cells of byol-domain" in warning


def test_an_earlier_recipes_runs_of_other_pretraining_seeds_are_left_out_too(whole):
    """Each subset has a pretraining run of its own; the second recipe has the first of them alone."""
    first = load_results(whole).planned.drop(columns="plan_number")
    chains = zip(first["pretraining_chain"], first["subset_seed"], strict=True)
    runs = [chain.replace("stage-", f"run-{seed}-") for chain, seed in chains]
    own = first.assign(pretraining_seed=first["subset_seed"], pretraining_chain=runs)
    shutil.rmtree(whole / "planned")
    record_plan(whole, own.to_dict("records"))
    assert len(load_results(whole).planned) == len(first)
    record_plan(whole, of_another_recipe(own.assign(plan_number=1), [0]))
    left = load_results(whole).planned
    assert set(left.loc[left["arm"] == "byol-domain", "subset_seed"]) == {0}
    assert len(left[left["arm"] != "byol-domain"]) == len(first[first["arm"] != "byol-domain"])


def test_the_first_recipe_again_brings_its_cells_back(whole):
    before = load_results(whole)
    record_plan(whole, of_another_recipe(before.planned, [0, 1, 2]))
    record_plan(whole, before.planned.drop(columns="plan_number").to_dict("records"))
    after = load_results(whole)
    assert set(after.cells["cell_id"]) == set(before.cells["cell_id"])
    assert not any("another recipe, images" in each for each in after.warnings)


def test_runs_of_one_plan_that_differ_in_the_pretraining_seed_alone_are_all_kept(whole):
    before = load_results(whole).planned.drop(columns="plan_number")
    crossed = before.assign(cell_id="new-" + before["cell_id"], pretraining_seed=1)
    record_plan(whole, [*before.to_dict("records"), *crossed.to_dict("records")])
    assert len(load_results(whole).planned) == 2 * len(before)


def test_classes_have_the_names_of_the_latest_run(whole):
    before = load_results(whole).cases
    data = json.loads((whole / "data.json").read_text())
    data["class_names"][0] = "cavity"
    (whole / "data.json").write_text(json.dumps(data))
    after = load_results(whole).cases
    assert set(after.class_name[after.class_index == 1]) == {"cavity"}
    assert (after.class_name[after.class_index != 1] == before.class_name[before.class_index != 1]).all()

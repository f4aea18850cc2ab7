"""The plan: stable ids, nothing finished is planned again, shared stages once."""

from pathlib import Path
from typing import Any

import pytest

from sweep.experiment import load_preset
from sweep.inputs import Inputs
from sweep.plan import Plan, build_plan
from trainables.config import RECIPE_VERSION
from trainables.encoder_store import encoder_path
from trainables.results import open_results

ORDERS = {seed: f"order {seed}" for seed in range(3)}


def inputs(**changes: Any) -> Inputs:
    values: dict[str, Any] = {"data_id": "data", "pool_id": "pool", "natural_id": "natural"}
    values |= {"weights_ids": {"random": "random"}, "summary": {}, "label_orders": {}}
    values |= {"label_draw": "uniform", "order_ids": ORDERS, "split": []}
    return Inputs(**{**values, **changes})


def plan(root: Path, *overrides: str, **changes: Any) -> Plan:
    return build_plan(load_preset("smoke", overrides), inputs(**changes), open_results(root))


def ids(plan: Plan) -> set[str]:
    return {cell.job.cell_id for cell in plan.cells}


def finish(root: Path, cell_ids: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sweep.plan.finished_cells", lambda _: cell_ids)


def test_every_cell_has_its_own_id_and_the_same_one_each_time(tmp_path: Path) -> None:
    first = plan(tmp_path)
    assert len(ids(first)) == len(first.cells) == 36
    assert ids(plan(tmp_path)) == ids(first)


@pytest.mark.parametrize(
    "override",
    [
        "finetune.steps=7",
        "model.width=12",
        "data.validation_slices=9",
        "finetune.views.flip_probability=0.4",
    ],
)
def test_whatever_changes_a_number_changes_every_id(tmp_path: Path, override: str) -> None:
    assert not ids(plan(tmp_path)) & ids(plan(tmp_path, override))


def test_code_that_changes_numbers_changes_the_ids_of_every_cell_and_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = plan(tmp_path)
    monkeypatch.setattr("sweep.plan.RECIPE_VERSION", RECIPE_VERSION + 1)
    after = plan(tmp_path)
    assert not ids(before) & ids(after)
    assert not {stage.stage_id for stage in before.stages} & {stage.stage_id for stage in after.stages}


def test_cells_that_are_not_stopped_early_have_the_ids_that_they_had_before_they_could_be(tmp_path: Path) -> None:
    """Stored ids: results of years are found by them."""
    job = plan(tmp_path).cells[0].job
    assert (job.axes["protocol_id"], job.cell_id) == ("834be1f3ca580984", "c32ed998d6969a1f")
    assert ids(plan(tmp_path, "finetune.stop=null")) == ids(plan(tmp_path))


def test_each_setting_of_early_stopping_is_another_protocol(tmp_path: Path) -> None:
    stop = "finetune.stop.patience=3"
    plans = [(), (stop,), (stop, "finetune.stop.min_delta=0"), (stop, "finetune.stop.cooldown_fraction=0.3")]
    protocols = [plan(tmp_path, *each).cells[0].job.axes["protocol_id"] for each in plans]
    assert len(set(protocols)) == 4


def test_what_only_pretraining_sees_leaves_the_arms_without_it_alone(tmp_path: Path) -> None:
    for other in (plan(tmp_path, pool_id="other"), plan(tmp_path, "stages.byol-domain.learning_rate=0.5")):
        common = ids(plan(tmp_path)) & ids(other)
        arms = {cell.point.arm for cell in other.cells if cell.job.cell_id in common}
        assert arms == {"random", "supervised-natural", "byol-natural"}
    for override in ("grid.pretraining_seeds=[1]", "compute.pretraining_workers=2"):
        other = plan(tmp_path, override)
        common = ids(plan(tmp_path)) & ids(other)
        assert {cell.point.arm for cell in other.cells if cell.job.cell_id in common} == {"random"}


def test_other_data_change_every_id_and_other_natural_images_only_those_that_saw_them(tmp_path: Path) -> None:
    assert not ids(plan(tmp_path)) & ids(plan(tmp_path, data_id="other"))
    common = ids(plan(tmp_path)) & ids(plan(tmp_path, natural_id="other"))
    arms = {cell.point.arm for cell in plan(tmp_path).cells if cell.job.cell_id in common}
    assert arms == {"random", "byol-domain"}


def test_another_order_of_labelling_changes_the_ids_of_its_subset_seed_only(tmp_path: Path) -> None:
    other = plan(tmp_path, order_ids=ORDERS | {1: "drawn in another way"})
    common = ids(plan(tmp_path)) & ids(other)
    assert {cell.point.subset_seed for cell in other.cells if cell.job.cell_id in common} == {0}
    assert {cell.point.subset_seed for cell in other.cells if cell.job.cell_id not in common} == {1}


@pytest.mark.parametrize(
    "override",
    [
        "compute.threads=2",
        "report.near_minimum=0.2",
        "name=other",
        "compute.slots=7",
        "compute.example_slices=0",
        "compute.price_per_device_hour=2",
    ],
)
def test_what_changes_no_number_changes_no_id(tmp_path: Path, override: str) -> None:
    assert ids(plan(tmp_path)) == ids(plan(tmp_path, override))


def test_other_views_that_are_as_the_first_are_none(tmp_path: Path) -> None:
    key = "stages.byol-domain.other_views"
    assert ids(plan(tmp_path, f"{key}={{set: paper}}")) == ids(plan(tmp_path))
    assert ids(plan(tmp_path, f"{key}={{set: byol}}")) != ids(plan(tmp_path))
    both = ("stages.byol-domain.views={set: byol}", f"{key}={{set: byol}}")
    assert ids(plan(tmp_path, *both)) == ids(plan(tmp_path, both[0]))


def test_an_arm_without_milestones_has_the_cells_of_its_last_one_recorded_at_zero(tmp_path: Path) -> None:
    """Which the report's axis of epochs has to know: the same cells, of a pretrained encoder."""
    last = [cell for cell in plan(tmp_path).cells if cell.point.arm == "byol-domain" and cell.point.pretraining_epochs]
    plain = plan(tmp_path, "stages.byol-domain.milestones=[]").cells
    plain = tuple(cell for cell in plain if cell.point.arm == "byol-domain")
    assert {cell.point.pretraining_epochs for cell in plain} == {0}
    assert {cell.job.cell_id for cell in plain} < {cell.job.cell_id for cell in last}
    chains = {cell.job.cell_id: cell.job.axes["pretraining_chain"] for cell in last}
    assert all(cell.job.axes["pretraining_chain"] == chains[cell.job.cell_id] for cell in plain)


def test_more_seeds_counts_and_arms_extend_a_finished_experiment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish(tmp_path, ids(plan(tmp_path)), monkeypatch)
    assert not plan(tmp_path).missing
    wider = plan(tmp_path, "grid.subset_seeds=[0,1,2]")
    assert {cell.point.subset_seed for cell in wider.missing} == {2}
    assert {cell.point.label_count for cell in plan(tmp_path, "grid.label_counts=[2,4,8]").missing} == {4}


def test_a_stage_that_two_arms_share_is_planned_once_and_parents_come_first(tmp_path: Path) -> None:
    stages = plan(tmp_path).stages
    assert [stage.name for stage in stages] == [
        "supervised-natural",
        "byol-natural",
        "byol-domain",
        "supervised-natural+byol-domain",
        "byol-natural+byol-domain",
    ]
    assert stages[3].job.initial == f"file:{encoder_path(tmp_path / 'encoders', stages[0].stage_id, 1)}"


def test_stages_whose_encoders_exist_or_whose_cells_are_finished_are_not_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = plan(tmp_path)
    for epoch in (1, 2):
        path = encoder_path(tmp_path / "encoders", first.stages[2].stage_id, epoch)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert "byol-domain" not in [stage.name for stage in plan(tmp_path).stages]
    natural = {cell.job.cell_id for cell in first.cells if "byol-natural" in cell.point.arm}
    finish(tmp_path, natural, monkeypatch)
    assert [stage.name for stage in plan(tmp_path).stages] == ["supervised-natural", "supervised-natural+byol-domain"]


def test_per_length_schedules_are_stages_of_their_own(tmp_path: Path) -> None:
    stages = plan(
        tmp_path,
        "stages.byol-domain.schedule=per_length",
        "grid.arms=[random, byol-domain]",
        "report.reference_arm=random",
    ).stages
    assert [stage.config.epochs for stage in stages] == [1, 2]


def test_initial_weights_of_a_file_enter_the_id_by_content(tmp_path: Path) -> None:
    overrides = ("arms.random.weights=file:/w.pth", "grid.arms=[random]", "report.reference_arm=random")
    first, second = (plan(tmp_path, *overrides, weights_ids={"file:/w.pth": f"sha256:{n}"}) for n in "ab")
    assert not ids(first) & ids(second)


def test_another_way_of_drawing_labels_is_another_protocol(tmp_path: Path) -> None:
    protocols = [
        {cell.job.axes["protocol_id"] for cell in plan(tmp_path, label_draw=draw).cells}
        for draw in ("uniform", "stratified")
    ]
    assert not protocols[0] & protocols[1]


def test_each_pretraining_seed_is_a_run_of_every_stage(tmp_path: Path) -> None:
    once, twice = plan(tmp_path), plan(tmp_path, "grid.pretraining_seeds=[0,1]")
    assert len(twice.stages) == 2 * len(once.stages)
    assert sorted(stage.job.seed for stage in twice.stages) == [0] * 5 + [1] * 5
    common = ids(once) & ids(twice)
    kept = {(cell.point.arm == "random", cell.point.subset_seed) for cell in once.cells if cell.job.cell_id in common}
    assert kept == {(True, 0), (True, 1), (False, 0)}


def test_a_stage_that_another_experiment_trained_is_not_trained_again(tmp_path: Path) -> None:
    shared = tmp_path / "encoders"
    override = f"compute.encoders={shared}"
    first = plan(tmp_path / "first", override)
    for stage in first.stages:
        for epoch in stage.config.kept_epochs:
            path = encoder_path(shared, stage.stage_id, epoch)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    second = plan(tmp_path / "second", override, "finetune.steps=7")
    assert len(second.missing) == 36
    assert not second.stages
    assert {job.stage_id for job in second.trained_elsewhere} == {stage.stage_id for stage in first.stages}
    assert len(plan(tmp_path / "second").stages) == 5  # of its own where none are shared


def test_a_cell_names_every_stage_that_its_encoder_cost(tmp_path: Path) -> None:
    first = plan(tmp_path)
    natural, chained = first.stages[0].stage_id, first.stages[3].stage_id
    cells = [cell.job.axes for cell in first.cells if cell.point.arm == "supervised-natural+byol-domain"]
    assert {cell["pretraining_chain"] for cell in cells} == {f"{natural}@1 {chained}@1", f"{natural}@1 {chained}@2"}
    assert {cell.job.axes["pretraining_chain"] for cell in first.cells if cell.point.arm == "random"} == {""}


def test_another_decoder_needs_no_other_encoders(tmp_path: Path) -> None:
    first, second = plan(tmp_path), plan(tmp_path, "model.decoder_channels=[16, 16, 16, 16, 16]")
    assert [stage.stage_id for stage in first.stages] == [stage.stage_id for stage in second.stages]
    assert not ids(first) & ids(second)

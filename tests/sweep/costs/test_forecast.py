"""What a plan is said to cost: by arm and in all, from known seconds; and what is timed, believed or refused."""

import io
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from sweep.costs.calibration import CalibrationError, Costs, calibrate, work_share
from sweep.costs.estimate import estimate
from sweep.costs.finished_units import read_finished_units
from sweep.costs.forecast import Forecast, forecast, kept
from sweep.costs.forecast_file import KeptForecast
from sweep.costs.tables import forecast_lines, forecast_table
from sweep.costs.time_left import Room
from sweep.experiment import Experiment, load_preset
from sweep.inputs import Inputs
from sweep.plan import Plan, build_plan
from sweep.wording import amount, size
from trainables.encoder_store import encoder_path, record_epochs, resume_path
from trainables.placement import network_to_device
from trainables.processes import DeviceError
from trainables.results import SCHEMAS, commit_cell, open_results
from trainables.training_step import CaptureError

SUMMARY = {
    "num_slices": {"train": 64, "validation": 16, "test": 16, "pool": 200},
    "channel_names": ["image"],
    "class_names": ["right", "wall", "left"],
    "natural": {"num_images": 48, "num_classes": 4},
}
CHAIN = "supervised-natural+byol-domain"


def inputs() -> Inputs:
    orders = {0: "first", 1: "second"}
    split = [{"train": [], "val": [], "test": ["a", "b", "c", "d"]}]
    return Inputs("d", "p", "n", {"random": "random"}, SUMMARY, {}, "uniform", orders, split)


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """Leave the number of threads as it was."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def experiment(*overrides: str) -> Experiment:
    return load_preset("smoke", ["compute.device=cpu", *overrides])


def plan(root: Path, *overrides: str) -> Plan:
    return build_plan(experiment(*overrides), inputs(), open_results(root))


def costs(plan: Plan, cell: float = 36.0, epoch: float = 360.0) -> Costs:
    stages = {stage.stage_id: stage for stage in plan.stages}
    epochs = {key: stage.config.epochs for key, stage in stages.items()}
    return Costs(cell, "by hand", dict.fromkeys(stages, epoch), epochs)


def priced(root: Path, *overrides: str, room: Room | None = None, share: float = 1.0) -> Forecast:
    planned = plan(root, *overrides)
    room = room or Room(1, 1, 1)
    return forecast(experiment(*overrides), planned, inputs(), costs(planned), room, share, "of a test")


def text(rendered: Any, width: int = 80) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width).print(rendered)
    return stream.getvalue()


def finish_a_cell(
    plan: Plan, seconds: float, name: str = "other", device: str = "cpu", threads: int = 1, year: int = 2026
) -> None:
    job = plan.cells[0].job
    blank = dict.fromkeys(SCHEMAS["cells"].names) | {"finished_at": datetime(year, 1, 1, tzinfo=UTC)}
    ran = {"cell_id": name, "wall_seconds": seconds, "device": device, "threads": threads}
    commit_cell(job.results, blank | job.axes | ran, [], [])


def epochs_of(plan: Plan, name: str, seconds: list[float]) -> None:
    stage = next(stage for stage in plan.stages if stage.name == name)
    blank = dict.fromkeys(SCHEMAS["pretraining"].names) | {"stage_id": stage.stage_id}
    rows = [blank | {"epoch": number + 1, "device_seconds": each} for number, each in enumerate(seconds)]
    record_epochs(stage.job.results, stage.job.encoders, stage.stage_id, rows)


def test_a_shared_stage_counts_once_in_all_and_in_every_arm_that_needs_it(tmp_path: Path) -> None:
    found = priced(tmp_path)
    hours = {arm.name: (arm.pretraining_seconds / 3600, arm.finetuning_seconds / 3600) for arm in found.arms}
    # A tenth of an hour an epoch, a hundredth a cell. byol-domain has two epochs and two milestones of four cells.
    assert hours["random"] == pytest.approx((0.0, 0.04))
    assert hours["supervised-natural"] == pytest.approx((0.1, 0.04))
    assert hours["byol-domain"] == pytest.approx((0.2, 0.08))
    assert hours[CHAIN] == pytest.approx((0.3, 0.08))
    assert found.total.pretraining_seconds / 3600 == pytest.approx(0.8)  # the arms' own add up to 1.0
    assert found.total.device_seconds / 3600 == pytest.approx(0.8 + 0.36)
    assert found.wall_seconds == pytest.approx(found.total.device_seconds)  # one at a time


def test_a_cell_that_shares_a_gpu_costs_its_share(tmp_path: Path) -> None:
    assert priced(tmp_path, share=0.25).total.finetuning_seconds == pytest.approx(36 * 36.0 / 4)


def test_a_price_adds_a_column_and_no_price_none(tmp_path: Path) -> None:
    found = priced(tmp_path, "compute.price_per_device_hour=2.5")
    assert found.cost(found.total) == pytest.approx(2.5 * 1.16)
    assert "2.90" in text(forecast_table(found)).splitlines()[-2]
    assert forecast_lines(found)[1].endswith("cost 2.90 at 2.50 a device-hour")
    free = priced(tmp_path)
    assert free.cost(free.total) is None
    assert "cost" not in text(forecast_table(free)) + "".join(forecast_lines(free))


def test_cells_that_may_stop_early_are_forecast_at_most_until_some_have_finished(tmp_path: Path) -> None:
    def said(*overrides: str) -> tuple[str, str]:
        asked, planned = experiment(*overrides), plan(tmp_path, *overrides)
        found = calibrate(asked, planned, inputs(), read_finished_units(asked, planned))
        priced = forecast(asked, planned, inputs(), found, Room(1, 1, 1), 1.0, "of a test")
        return text(forecast_table(priced), 200), "\n".join(forecast_lines(priced))

    price, stop = "compute.price_per_device_hour=2.5", "finetune.stop.patience=2"
    table, lines = said(price)
    assert "at most" not in table + lines
    table, lines = said(price, stop)
    assert table.startswith("forecast, device-hours at most (of a test")
    assert lines.count("at most") == 4  # device-hours, a cell, the time on the clock, the cost
    assert "about" not in lines
    for shown in (" ".join(table.split()), lines):
        assert "from timing a few steps, for the whole budget, which finetune.stop may cut short)" in shown
    finish_a_cell(plan(tmp_path, stop), 12.0)  # by which time what cells take is known
    table, lines = said(price, stop)
    assert "at most" not in table + lines
    assert "median of 1 finished cells" in lines


@pytest.mark.parametrize("width", [80, 140])
def test_the_table_keeps_every_figure_on_a_narrow_terminal(tmp_path: Path, width: int) -> None:
    found = priced(tmp_path, "compute.price_per_device_hour=2.5")
    said = text(forecast_table(found), width)
    assert "…" not in said
    assert all(amount(arm.device_seconds / 3600) in said for arm in found.arms)


def calibrated(planned: Plan) -> Costs:
    return calibrate(experiment(), planned, inputs(), read_finished_units(experiment(), planned))


def test_what_has_finished_is_believed_and_nothing_of_it_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planned = plan(tmp_path, "grid.arms=[random,byol-domain]", "report.reference_arm=random")
    finish_a_cell(planned, 12.5)
    epochs_of(planned, "byol-domain", [4.0])
    monkeypatch.setattr("sweep.costs.calibration._time", lambda run: pytest.fail("timed"))
    stage_id = planned.stages[0].stage_id
    found = calibrated(planned)
    assert (found.cell_seconds, found.basis) == (12.5, "median of 1 finished cells")
    assert found.stage_seconds(stage_id) == 2 * 4.0  # its state is gone: it starts anew
    resume_path(planned.stages[0].job.encoders, stage_id).touch()
    encoder_path(planned.stages[0].job.encoders, stage_id, 1).touch()
    assert calibrated(planned).stage_seconds(stage_id) == 4.0


@pytest.mark.parametrize(
    ("overrides", "gpu_here", "believed"),
    [
        ([], None, [1.0]),
        (["compute.threads=4"], None, [4.0]),
        (["compute.device=auto"], None, [1.0]),
        (["compute.device=auto"], "NVIDIA L4", [5.0]),
        (["compute.device=cuda"], None, [3.0, 5.0]),  # of a cluster's: this machine has none to time on
        (["compute.device=auto", "compute.address=head:6379"], None, [1.0, 3.0, 5.0]),
        (["compute.device=cpu", "compute.address=head:6379"], "NVIDIA L4", [1.0]),
    ],
)
def test_only_cells_that_ran_as_the_next_ones_will_are_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overrides: list[str], gpu_here: str | None, believed: list[float]
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr("torch.cuda.is_available", lambda: gpu_here is not None)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda: gpu_here)
    planned = plan(tmp_path)
    finish_a_cell(planned, 1.0, "a")
    finish_a_cell(planned, 4.0, "b", threads=4)
    finish_a_cell(planned, 3.0, "c", device="NVIDIA H100")
    finish_a_cell(planned, 5.0, "d", device="NVIDIA L4")
    finish_a_cell(planned, 2.0, "torn")
    (tmp_path / "cases" / "torn.parquet").unlink()
    found = read_finished_units(experiment(*overrides), planned)
    assert sorted(found.cell_seconds) == believed
    assert found.begun == {planned.cells[0].job.axes["protocol_id"]}


@pytest.mark.parametrize("year", [1970, 2100])
def test_cells_of_a_clock_that_jumped_tell_their_seconds_all_the_same(tmp_path: Path, year: int) -> None:
    planned = plan(tmp_path)
    finish_a_cell(planned, 12.5)
    finish_a_cell(planned, 14.5, "b", year=year)
    found = read_finished_units(experiment(), planned)
    assert sorted(found.cell_seconds) == [12.5, 14.5]
    assert calibrate(experiment(), planned, inputs(), found).cell_seconds == 13.5


def test_what_has_begun_is_not_kept_as_forecast_of_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sweep.costs.calibration._time", lambda run: 16.0)
    few = ["grid.arms=[byol-natural,byol-domain]", "report.reference_arm=byol-domain"]
    planned = plan(tmp_path, *few)
    protocol = planned.cells[0].job.axes["protocol_id"]
    stages = {stage.name: stage.stage_id for stage in planned.stages}

    def kept_now() -> KeptForecast:
        found = estimate(experiment(*few), planned, inputs(), "serial", is_asked=True)
        assert isinstance(found, Forecast)
        return kept(found, planned)

    first = kept_now()
    assert (set(first.cell_seconds), set(first.epoch_seconds)) == ({protocol}, set(stages.values()))
    finish_a_cell(planned, 12.5)
    epochs_of(planned, "byol-domain", [4.0])
    assert kept_now() == KeptForecast({}, {stages["byol-natural"]: 48.0})  # 16 s for a batch of 16 of 48 images


def test_stages_of_one_recipe_are_timed_once_and_scaled_by_their_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed: list[int] = []
    monkeypatch.setattr("sweep.costs.calibration._time", lambda run: timed.append(1) or 16.0)
    planned = plan(tmp_path)
    found = calibrated(planned)
    assert len(timed) == 2 + 3  # a cell's training and evaluation, three recipes of five stages
    by_name = {stage.name: found.epoch_seconds[stage.stage_id] for stage in planned.stages}
    assert by_name["byol-natural"] == 48  # 16 s for a batch of 16
    assert by_name["byol-domain"] == by_name[CHAIN] == 200


def test_what_is_timed_is_placed_as_what_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ResNet-50 has pointwise convolutions, which torch leaves to the BLAS unless they are placed for oneDNN."""
    placed: list[str] = []

    def place(network: Any, device: Any) -> Any:
        placed.append(type(network).__name__)
        return network_to_device(network, device)

    monkeypatch.setattr("sweep.costs.calibration.network_to_device", place)
    monkeypatch.setattr("sweep.costs.calibration._time", lambda run: 1.0)
    calibrated(plan(tmp_path, "grid.arms=[byol-domain]", "report.reference_arm=byol-domain"))
    assert placed == ["Segmenter", "BYOL"]


def test_the_real_timing_of_cells_and_stages_gives_positive_seconds(tmp_path: Path) -> None:
    planned = plan(tmp_path, "grid.arms=[byol-domain]", "report.reference_arm=byol-domain")
    found = calibrated(planned)
    assert 0 < found.cell_seconds < 60
    assert all(0 < seconds < 60 for seconds in found.epoch_seconds.values())


def test_the_work_of_calibrating_is_weighed_against_that_of_the_run(tmp_path: Path) -> None:
    planned = plan(tmp_path)
    # Timed 1 + 3 times: two steps of 4 samples, 8 evaluated at a third; three batches of 16. In the run: 36 cells
    # of 6 steps of 4, evaluating 8 slices 3 times and 16 at the end; 48 images twice, and 200 six times.
    by_hand = 4 * (2 * 4 + 8 / 3 + 3 * 16) / (36 * (6 * 4 + (3 * 8 + 16) / 3) + 2 * 48 + 6 * 200)
    seen = read_finished_units(experiment(), planned)
    assert work_share(experiment(), planned, inputs(), seen) == pytest.approx(by_hand)
    said = estimate(experiment(), planned, inputs(), "ray", is_asked=False)
    assert said == f"timing a few steps would be {by_hand:.0%} of the work of this run; --dry-run does it"
    long = experiment("finetune.steps=2000")
    assert isinstance(estimate(long, planned, inputs(), "serial", is_asked=False), Forecast)


def test_a_finished_plan_needs_no_forecast(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    everything = {cell.job.cell_id for cell in plan(tmp_path).cells}
    monkeypatch.setattr("sweep.plan.finished_cells", lambda _: everything)
    assert estimate(experiment(), plan(tmp_path), inputs(), "ray", is_asked=True) == "nothing to run"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (DeviceError("this process sees no CUDA device"), "this process sees no CUDA device"),
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried\nmore"),
            "timing a few steps failed by CUDA out of memory. Tried",
        ),
        (CaptureError("it cannot be captured"), "timing a few steps failed by it cannot be captured"),
    ],
)
def test_a_device_that_cannot_be_timed_on_leaves_the_run_without_a_forecast_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, message: str
) -> None:
    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr("sweep.costs.calibration._timed_cell", fails)
    with pytest.raises(CalibrationError, match=message):
        calibrated(plan(tmp_path))
    said = estimate(experiment(), plan(tmp_path), inputs(), "ray", is_asked=True)
    assert said == f"{message}; finished cells of the same protocol would be believed instead"


def test_a_plan_that_does_not_fit_this_machine_has_no_forecast_here(tmp_path: Path) -> None:
    wide = experiment("compute.threads=4096")
    said = estimate(wide, plan(tmp_path), inputs(), "ray", is_asked=True)
    assert isinstance(said, str)
    assert "a cell needs 4096 CPU on one node, which none has" in said


@pytest.mark.parametrize("is_asked", [True, False])
def test_a_cluster_whose_nodes_are_not_known_yet_has_no_forecast(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_asked: bool
) -> None:
    """Nor one of this machine, which may be a head without GPUs or cores."""
    monkeypatch.setattr("sweep.costs.estimate.this_machine", lambda: pytest.fail("divided"))
    joined = experiment("compute.device=cuda", "compute.address=head:6379")
    said = estimate(joined, plan(tmp_path), inputs(), "ray", is_asked=is_asked)
    assert said == (
        "the nodes of the cluster at head:6379 are not known before it is joined; --dry-run with compute.slots=N "
        "forecasts N cells at once"
    )


@pytest.mark.parametrize(
    ("overrides", "gpu_here", "share"),
    [
        (["compute.device=cuda"], False, 0.25),
        (["compute.device=auto"], True, 0.25),
        (["compute.device=auto"], False, 1.0),  # for the device that is timed
        (["compute.device=cpu"], True, 1.0),
    ],
)
def test_the_slots_of_a_cluster_are_forecast_whatever_this_machine_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overrides: list[str], gpu_here: bool, share: float
) -> None:
    planned = plan(tmp_path)
    monkeypatch.setattr("torch.cuda.is_available", lambda: gpu_here)
    monkeypatch.setattr("sweep.costs.estimate.this_machine", lambda: {"CPU": 1.0, "GPU": float(gpu_here)})
    monkeypatch.setattr("sweep.costs.estimate.calibrate", lambda *_: costs(planned, cell=36.0))
    joined = experiment(*overrides, "compute.address=head:6379", "compute.slots=12")
    found = estimate(joined, planned, inputs(), "ray", is_asked=True)
    assert isinstance(found, Forecast)
    assert (found.slots, found.cell_seconds) == (12, 36.0 * share)


@pytest.mark.parametrize(("overrides", "slots", "share"), [([], 4, 0.5), (["compute.slots=2"], 2, 1.0)])
def test_cells_that_cores_or_slots_keep_few_are_forecast_with_the_part_of_a_gpu_that_they_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overrides: list[str], slots: int, share: float
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    planned = plan(tmp_path)
    monkeypatch.setattr("sweep.costs.estimate.this_machine", lambda: {"CPU": 4.0, "GPU": 2.0})
    monkeypatch.setattr("sweep.costs.estimate.calibrate", lambda *_: costs(planned, cell=36.0))
    found = estimate(experiment("compute.device=cuda", *overrides), planned, inputs(), "ray", is_asked=True)
    assert isinstance(found, Forecast)
    assert (found.slots, found.cell_seconds) == (slots, 36.0 * share)


def test_numbers_are_written_for_people() -> None:
    assert [amount(each) for each in (12.345, 0.5, 0.0123, 0.00012, 0.00001, 0)] == [
        "12.35",
        "0.50",
        "0.012",
        "0.0001",
        "<0.0001",
        "0.00",
    ]
    assert [size(each) for each in (999, 1000, 123456, 3.2e6, 1.5e9, 2e12)] == [
        "999 B",
        "1.0 kB",
        "123 kB",
        "3.2 MB",
        "1.5 GB",
        "2.0 TB",
    ]

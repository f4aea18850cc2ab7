"""What an experiment has used, from a results folder whose rows are known."""

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from sweep.costs.account import read_account
from sweep.costs.forecast_file import KeptForecast, keep_forecast, read_forecast
from sweep.costs.tables import print_account
from trainables.results import (
    AXES,
    SCHEMAS,
    DeviceShares,
    commit_cell,
    note_device_share,
    open_results,
    read_device_shares,
    record_plan,
    write_rows,
)

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def cell(number: int, arm: str, chain: str, seconds: float, device: str = "cpu") -> dict[str, Any]:
    blank = dict.fromkeys(SCHEMAS["cells"].names)
    named = {"cell_id": f"{arm}-{number}", "arm": arm, "protocol_id": "p", "pretraining_chain": chain}
    return blank | named | {"wall_seconds": seconds, "device": device, "finished_at": NOON}


def write(root: Path, cells: list[dict[str, Any]]) -> None:
    for row in cells:
        commit_cell(root, row, [], [])


PLANNED = [
    cell(0, "random", "", 10.0),
    cell(0, "natural", "one@2", 20.0),
    cell(0, "chain", "one@3 two@1", 30.0),
    cell(1, "chain", "one@3 two@2", 40.0),
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three epochs of a natural stage of 100 s each and two of a domain stage of 50 s on two workers."""
    root = open_results(tmp_path / "results")
    (root / "experiment.yaml").write_text("compute: {gpus_per_cell: 0.5, price_per_device_hour: 7.2}\n")
    for key, name, seconds in (("one", "natural", [100.0] * 3), ("two", "natural+domain", [50.0, 50.0])):
        blank = dict.fromkeys(SCHEMAS["pretraining"].names) | {"stage_id": key, "stage": name}
        rows = [blank | {"epoch": epoch + 1, "device_seconds": each} for epoch, each in enumerate(seconds)]
        write_rows(root, "pretraining", key, rows)
    record_plan(root, [{name: row[name] for name, _ in AXES} for row in PLANNED])
    return root


def test_a_stage_counts_once_in_all_and_up_to_the_epoch_that_an_arm_needs_in_each(root: Path) -> None:
    write(root, PLANNED[:3])
    account = read_account(root)
    figures = {arm.name: (arm.num_cells, arm.pretraining_seconds, arm.finetuning_seconds) for arm in account.arms}
    assert figures == {"random": (1, 0, 10), "natural": (1, 200, 20), "chain": (1, 300 + 100, 30)}
    assert [(stage.name, stage.num_epochs, stage.device_seconds) for stage in account.stages] == [
        ("natural", 3, 300),
        ("natural+domain", 2, 100),
    ]
    assert account.device_seconds == 400 + 60
    assert account.price_per_device_hour == 7.2


def test_a_cell_on_a_shared_gpu_counts_by_its_share(root: Path) -> None:
    write(root, [cell(0, "random", "", 10.0, device="NVIDIA H100")])
    assert read_account(root).finetuning_seconds == 5.0


def test_a_cell_counts_by_the_share_that_its_launcher_gave_it_whatever_a_later_run_gives(root: Path) -> None:
    note_device_share(root, 1.0, NOON - timedelta(hours=1))  # in this process, which holds the whole GPU
    note_device_share(root, 0.25, NOON + timedelta(hours=1))  # on Ray, four a GPU
    note_device_share(root, 0.25, NOON + timedelta(hours=2))
    assert len(read_device_shares(root).since) == 2
    alone, shared = (cell(number, "chain", "one@3 two@2", 100.0, device="NVIDIA H100") for number in (0, 1))
    write(root, [alone, shared | {"finished_at": NOON + timedelta(hours=3)}])
    assert read_account(root).finetuning_seconds == 100 + 25


@pytest.mark.parametrize("content", ["{", "3", '[["noon", 1]]', '[["2026-01-01", null]]', "[1]"])
def test_a_damaged_note_of_shares_is_none(root: Path, content: str) -> None:
    (root / "device_shares.json").write_text(content)
    assert read_device_shares(root) == DeviceShares()


@pytest.mark.parametrize("jump", [timedelta(days=365), timedelta(days=-365)])
def test_clocks_that_jump_change_no_costs_but_a_cells_share_where_they_alone_tell_it(
    root: Path, jump: timedelta
) -> None:
    """Seconds are those that a cell counted itself. A GPU's share is looked up by the clock: the nearest known one."""
    write(root, PLANNED[:2])
    before = read_account(root)
    write(root, [PLANNED[0] | {"finished_at": NOON + jump}])
    assert read_account(root) == before
    note_device_share(root, 0.25, NOON - timedelta(hours=1))
    write(root, [PLANNED[0] | {"finished_at": NOON + jump, "device": "NVIDIA H100"}])
    share = 0.25 if jump > timedelta() else 0.5  # before all notes that of experiment.yaml
    assert read_account(root).finetuning_seconds == 10 * share + 20


def test_a_launcher_whose_clock_was_set_back_is_believed_for_the_cells_after_it(root: Path) -> None:
    note_device_share(root, 1.0, NOON)
    note_device_share(root, 0.25, NOON - timedelta(days=1))
    write(root, [PLANNED[0] | {"finished_at": NOON - timedelta(hours=23), "device": "NVIDIA H100"}])
    assert read_account(root).finetuning_seconds == 2.5


def test_a_cell_that_lost_a_file_counts_as_little_as_one_that_never_ran(root: Path) -> None:
    write(root, PLANNED[:2])
    (root / "cases" / "natural-0.parquet").unlink()  # 20 s of 30: the next run runs it again
    assert read_account(root).finetuning_seconds == 10


def test_all_plans_of_the_latest_protocol_count_whatever_the_latest_of_them_asks_for(root: Path) -> None:
    write(root, PLANNED)
    record_plan(root, [{name: PLANNED[0][name] for name, _ in AXES}])
    assert read_account(root).finetuning_seconds == 10 + 20 + 30 + 40


def test_cells_of_other_plans_are_left_out(root: Path) -> None:
    write(root, [cell(9, "random", "", 1e6)])
    assert read_account(root).finetuning_seconds == 0


def test_what_was_used_is_compared_with_the_first_forecast_of_the_same_units(root: Path) -> None:
    write(root, PLANNED[:2])
    assert read_account(root).forecast_ratio is None
    keep_forecast(root, KeptForecast({"p": 10.0}, {"one": 50.0}))
    keep_forecast(root, KeptForecast({"p": 99.0}, {"one": 99.0}))  # of a later run, that has seen the first
    account = read_account(root)
    # Two cells of 10 s and three epochs of 50 s were forecast; 30 s and 300 s were used. Nobody forecast stage two.
    assert account.forecast_seconds == 170
    assert account.forecast_ratio == pytest.approx(330 / 170)
    assert [stage.forecast_seconds for stage in account.stages] == [150, None]


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"cell_seconds": 3}', '{"cell_seconds": {"p": null}}', '{"other": {}}']
)
def test_a_damaged_forecast_is_none(root: Path, content: str) -> None:
    (root / "forecast.json").write_text(content)
    assert read_forecast(root) == KeptForecast()


def test_the_account_is_told_in_hours_and_money(root: Path) -> None:
    write(root, PLANNED[:3])
    keep_forecast(root, KeptForecast({}, {"one": 50.0}))
    stream = io.StringIO()
    print_account(read_account(root), Console(file=stream, width=80))
    lines = [line.split() for line in stream.getvalue().splitlines()]
    assert ["chain", "1", "0.11", "0.0083", "0.12", "0.86"] in lines  # 430 s are 0.1194 h, at 7.2
    assert ["all", "3", "0.11", "0.017", "0.13", "0.92"] in lines
    assert ["natural", "3", "0.083", "2.00"] in lines
    assert "used 2.00 times the device-hours that were forecast for the same units" in stream.getvalue()

"""A real small run: what was forecast of its disk, what its account adds up to, which events it logs."""

import json
import re
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from sweep.costs.storage import sizes, stage_bytes
from sweep.data_efficiency import main
from sweep.exit_codes import DONE, INTERRUPTED, OUT_OF_TIME, USAGE
from sweep.experiment import load_file
from sweep.inputs import read_inputs
from sweep.plan import build_plan
from sweep.status import read_status
from trainables.results import read_device_shares, read_table

ROOT = Path(__file__).parents[3]
Run = Callable[..., int]


def arguments(results: Path, cache: Path) -> list[str]:
    arms = ["grid.arms=[random, byol-domain]", "report.reference_arm=random", "grid.subset_seeds=[0]"]
    common = ["--preset", "smoke", "--launcher", "serial", "--results", str(results), "grid.label_counts=[2]"]
    return [*common, *arms, f"compute.cache={cache}", "compute.device=cpu", "compute.price_per_device_hour=3600"]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    """Three cells of two arms behind one stage of two epochs, at one coin a device-second."""
    folder = tmp_path_factory.mktemp("costs") / "results"
    assert (
        main([*arguments(folder, cache), "--log-json", str(folder.parent / "log.jsonl"), "--tensorboard", "cells"])
        == DONE
    )
    return folder


@pytest.fixture(scope="module")
def events(results: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (results.parent / "log.jsonl").read_text().splitlines()]


def documented_fields() -> dict[str, set[str]]:
    """The fields of each event, from the table of the documentation."""
    rows = re.findall(r"^\| (`.*?) \| (.*?) \|$", (ROOT / "docs/running.md").read_text(), re.MULTILINE)
    names = {event: re.findall(r"`(\w+)`", fields) for cell, fields in rows for event in re.findall(r"`(\w+)`", cell)}
    return {event: set(fields) | {"event", "time"} for event, fields in names.items()}


def num_bytes(*folders: Path) -> int:
    return sum(path.stat().st_size for folder in folders for path in folder.rglob("*") if path.is_file())


def test_the_disk_that_was_forecast_is_what_the_run_took(results: Path, tmp_path: Path) -> None:
    experiment = load_file(results / "experiment.yaml")
    inputs = read_inputs(experiment)
    found = sizes(experiment, inputs)
    plan = build_plan(experiment, inputs, tmp_path / "as if nothing had run")
    cells = num_bytes(*(results / table for table in ("cells", "curves", "cases"))) / 3
    assert found.cell == pytest.approx(cells, rel=0.15)
    encoders = num_bytes(results / "encoders", results / "pretraining")
    assert stage_bytes(plan.stages[0], found, 1) == pytest.approx(encoders, rel=0.05)


def test_the_account_adds_up_what_the_rows_say_and_status_tells_the_same(
    results: Path, events: list[dict[str, Any]]
) -> None:
    cells = read_table(results, "cells")[0].column("wall_seconds").to_pylist()
    epochs = read_table(results, "pretraining")[0].column("device_seconds").to_pylist()
    account = read_status(results).account
    assert account.finetuning_seconds == pytest.approx(sum(cells))
    assert account.pretraining_seconds == pytest.approx(sum(epochs))
    told = events[-1]["account"]
    assert told["finetuning_seconds"] + told["pretraining_seconds"] == pytest.approx(account.device_seconds)


def test_a_run_in_one_process_notes_that_a_cell_holds_a_whole_device(results: Path) -> None:
    assert [share for _, share in read_device_shares(results).since] == [1.0]


def test_a_run_holds_its_devices_at_least_as_long_as_its_units_take(
    results: Path, events: list[dict[str, Any]]
) -> None:
    last = next(event for event in reversed(events) if event["event"] == "progress")
    assert read_status(results).account.device_seconds < last["device_seconds"] <= last["seconds"]
    assert last["cost"] == pytest.approx(last["device_seconds"])  # one coin a second
    assert (last["cells_done"], last["stages_done"], last["seconds_left"]) == (3, 1, 0)


def test_every_event_has_exactly_its_documented_fields(events: list[dict[str, Any]]) -> None:
    documented = documented_fields()
    seen = {event["event"] for event in events}
    assert seen == set(documented) - {"stage_stopped", "packing_reduced", "cell_retried"}
    for event in events:
        assert set(event) == documented[event["event"]], event["event"]


def test_events_come_in_the_order_of_the_run(events: list[dict[str, Any]]) -> None:
    order = [event["event"] for event in events]
    assert order[:3] == ["run_started", "stage_started", "stage_ended"]
    assert order[-1] == "run_ended"
    assert order.count("cell_ended") == order.count("cell_started") == 3
    assert (events[0]["cells_planned"], events[0]["stages_to_train"], events[-1]["exit_code"]) == (3, 1, DONE)
    assert [event["time"] for event in events] == sorted(event["time"] for event in events)


def test_the_run_left_event_files_of_its_stage_and_cells(results: Path) -> None:
    assert len(list((results / "tensorboard" / "pretraining").rglob("events.out.tfevents.*"))) == 1
    assert len(list((results / "tensorboard" / "cells").rglob("events.out.tfevents.*"))) == 3


def test_a_run_that_has_spent_its_money_stops_and_the_same_command_goes_on(
    tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = arguments(tmp_path / "results", cache)
    assert main([*command, "--max-cost", "1e-9"]) == OUT_OF_TIME
    said = capsys.readouterr().err
    assert re.search(r"out of money: \d+\.\d+ of 1e-09 used; the same command goes on from here", said)
    assert read_table(tmp_path / "results", "cells")[0].num_rows == 0
    assert read_table(tmp_path / "results", "pretraining")[0].num_rows == 1  # the epoch that was running
    assert main([*command, "--max-cost", "1e9", "--log-json", "-"]) == DONE
    captured = capsys.readouterr()
    assert json.loads(captured.out.splitlines()[-1])["event"] == "run_ended"
    assert "used by finished cells and epochs" in captured.err
    assert read_table(tmp_path / "results", "cells")[0].num_rows == 3


def test_an_interrupted_run_says_what_it_has_used_and_ends_its_log(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sweep.launch_serial.launch", interrupted)
    assert main([*arguments(tmp_path / "results", cache), "--log-json", "-"]) == INTERRUPTED
    captured = capsys.readouterr()
    assert "this run kept devices for 0.00 device-hours, cost 0.00" in captured.err
    last = json.loads(captured.out.splitlines()[-1])
    assert (last["event"], last["exit_code"]) == ("run_ended", INTERRUPTED)


def test_a_budget_without_a_price_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--preset", "smoke", "--results", str(tmp_path / "r"), "--max-cost", "5"]) == USAGE
    assert "--max-cost: expected a price to count with, found none; set compute.price" in capsys.readouterr().err


def test_a_run_with_nothing_to_do_logs_its_start_and_its_end(
    results: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments(results, cache), "--log-json", "-"]) == DONE
    started, ended = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (started["event"], started["cells_planned"], started["cells_finished"]) == ("run_started", 3, 3)
    assert (ended["event"], ended["exit_code"]) == ("run_ended", DONE)
    assert ended["account"] == json.loads(json.dumps(asdict(read_status(results).account)))


def test_a_log_that_cannot_be_opened_is_named_and_nothing_runs(
    results: Path, tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments(tmp_path / "results", cache), "--log-json", str(tmp_path / "no" / "log")]) == 1
    assert "no/log" in capsys.readouterr().err
    assert read_table(tmp_path / "results", "cells")[0].num_rows == 0

"""Stages and cells in trackers: read back from a local MLflow database and from offline W&B files, where installed."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sweep.exit_codes import DONE, ERROR
from sweep.export import main
from trainables.results import SCHEMAS, open_results, write_rows

STAGE = "0123456789abcdef"


def epochs(root: Path, losses: list[float]) -> None:
    blank = dict.fromkeys(SCHEMAS["pretraining"].names)
    named = {"stage_id": STAGE, "stage": "byol-natural", "pretraining_seed": 3, "objective": "byol"}
    timed = {"samples": 100, "seconds": 4.0}
    rows = [blank | named | timed | {"epoch": number + 1, "loss": loss} for number, loss in enumerate(losses)]
    write_rows(root, "pretraining", STAGE, rows)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two epochs of a stage."""
    root = open_results(tmp_path / "results")
    epochs(root, [0.75, 0.5])
    return root


@pytest.mark.filterwarnings("default")  # of the trackers' own dependencies
def test_mlflow_holds_each_epoch_once_however_often_it_is_exported(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = pytest.importorskip("mlflow", reason="the package is not installed: pip install mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    assert main([str(root), "--to", "mlflow", "--project", "mine"]) == DONE
    epochs(root, [0.75, 0.5, 0.25])
    assert main([str(root), "--to", "mlflow", "--project", "mine"]) == DONE
    client = mlflow.MlflowClient()
    (run,) = client.search_runs([client.get_experiment_by_name("mine").experiment_id])
    history = client.get_metric_history(run.info.run_id, "loss")
    assert sorted((metric.step, metric.value) for metric in history) == [(1, 0.75), (2, 0.5), (3, 0.25)]
    assert run.data.params["objective"] == "byol"
    assert run.info.run_name == "pretraining/byol-natural-seed-3-01234567"


def log_records(content: bytes) -> Iterator[bytes]:
    """The records of a short LevelDB log: a header of the file, then checksum, length, kind and data of each."""
    assert len(content) < 32768, "longer logs have records in parts"
    position = 7
    while position + 7 <= len(content):
        length = int.from_bytes(content[position + 4 : position + 6], "little")
        yield content[position + 7 : position + 7 + length]
        position += 7 + length


@pytest.mark.filterwarnings("default")
def test_wandb_offline_files_hold_every_epoch(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb", reason="the package is not installed: pip install wandb")
    from wandb.proto.wandb_internal_pb2 import Record

    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    assert main([str(root), "--to", "wandb"]) == DONE
    (file,) = (tmp_path / "wandb").glob(f"offline-run-*/run-{STAGE}.wandb")
    losses, deadline = [], time.monotonic() + 60
    while not losses and time.monotonic() < deadline:  # W&B's own service writes, and on a busy machine it is late
        time.sleep(0.1)
        for data in log_records(file.read_bytes()):
            record = Record()
            record.ParseFromString(data)
            losses += [item.value_json for item in record.history.item if "loss" in (item.key, *item.nested_key)]
    assert losses == ["0.75", "0.5"]


class RefusalError(Exception):
    """What the packages below raise, as MlflowException and wandb.Error are raised."""


def refuses(*_: object, **__: object) -> None:
    raise RefusalError("connection refused\nand many lines more")


def packages(name: str) -> dict[str, Any]:
    """Modules that stand for a tracker's, by name, with as much of them as export uses before the first request."""
    if name == "wandb":
        return {"wandb": SimpleNamespace(Error=RefusalError, Settings=SimpleNamespace, init=refuses)}
    client = SimpleNamespace(get_experiment_by_name=refuses)
    errors = SimpleNamespace(MlflowException=RefusalError)
    return {"mlflow": SimpleNamespace(MlflowClient=lambda: client), "mlflow.exceptions": errors}


@pytest.mark.parametrize(("tracker", "setting"), [("mlflow", "MLFLOW_TRACKING_URI"), ("wandb", "WANDB_MODE=offline")])
def test_a_tracker_that_cannot_be_reached_is_told_in_one_line(
    root: Path, tracker: str, setting: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, module in packages(tracker).items():
        monkeypatch.setitem(sys.modules, name, module)
    assert main([str(root), "--to", tracker]) == ERROR
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: --to {tracker}: expected it to take the runs, found: connection refused; set ")
    assert line.endswith(setting)


@pytest.mark.filterwarnings("default")
def test_an_mlflow_server_that_is_not_there_is_told_in_one_line(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("mlflow", reason="the package is not installed: pip install mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    assert main([str(root), "--to", "mlflow"]) == ERROR
    assert "expected it to take the runs, found: " in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("tracker", ["mlflow", "wandb"])
def test_a_tracker_that_is_not_installed_is_named(
    root: Path, tracker: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, tracker, None)
    assert main([str(root), "--to", tracker]) == ERROR
    said = capsys.readouterr().err
    assert f"--to {tracker}: expected the packages of {tracker}, found" in said
    assert f"pip install {tracker}" in said


def test_another_folder_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path), "--to", "mlflow"]) == ERROR
    assert "no results in" in capsys.readouterr().err

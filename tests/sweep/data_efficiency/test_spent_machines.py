"""A full disk and a GPU that no longer works end a run: neither is a failure of a cell."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from sweep import data_efficiency
from sweep.exit_codes import DONE, ERROR
from tests.sweep.data_efficiency.broken import Broken
from tests.sweep.data_efficiency.run import Run
from trainables.jobs import StageJob
from trainables.results import read_table


def test_a_disk_that_fills_up_ends_in_a_clear_error_and_loses_nothing(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run() == DONE
    before = read_table(tmp_path / "results", "cells")[0].num_rows

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pyarrow.parquet.write_table", full)
    assert run("grid.subset_seeds=[0,1]") == ERROR
    assert "No space left on device" in capsys.readouterr().err
    assert read_table(tmp_path / "results", "cells")[0].num_rows == before


def test_a_disk_that_is_full_for_a_cell_ends_the_run_and_is_no_failure_of_the_cell(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sweep.launch_serial.run_and_commit", Broken(OSError(28, "No space left on device")))
    monkeypatch.setattr("sweep.data_efficiency.shutil.disk_usage", lambda _: SimpleNamespace(free=5 * 2**20))
    assert run("--log-json", str(tmp_path / "log")) == ERROR
    said = capsys.readouterr().err.splitlines()[-1]
    assert re.match(r"error: disk full: 5 MiB are free at .*results; make room \(\[Errno 28\] No space left", said)
    last = json.loads((tmp_path / "log").read_text().splitlines()[-1])
    assert (last["event"], last["exit_code"]) == ("run_ended", ERROR)
    assert read_table(tmp_path / "results", "failures")[0].num_rows == 0


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            OSError(28, "No space left on device", "/cache/images.npy"),
            "disk full at /cache/images.npy; make room there",
        ),
        (OSError(28, "No space left on device"), "disk full: make room"),
    ],
)
def test_where_the_results_have_room_another_disk_is_the_full_one(
    error: OSError, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweep.data_efficiency.shutil.disk_usage", lambda _: SimpleNamespace(free=70_033 * 2**20))
    assert data_efficiency._full_disk(error, tmp_path) == said


def test_a_gpu_that_no_longer_works_ends_a_run_of_one_process(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = Broken(RuntimeError("CUDA error: an illegal memory access was encountered"))
    monkeypatch.setattr("sweep.launch_serial.run_and_commit", broken)
    assert run("grid.subset_seeds=[0,1]") == ERROR
    assert "the GPU of this process no longer works" in capsys.readouterr().err
    assert broken.calls == read_table(tmp_path / "results", "failures")[0].num_rows == 1


def test_a_gpu_that_no_longer_works_in_a_stage_ends_a_run_of_one_process_there(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls: list[str] = []

    def stage(job: StageJob, report: object) -> None:
        calls.append(job.stage_id)
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr("sweep.launch_serial.run_stage", stage)
    assert run("grid.arms=[random, byol-domain, byol-natural]", "--log-json", str(tmp_path / "log")) == ERROR
    assert "the GPU of this process no longer works" in capsys.readouterr().err
    assert len(calls) == read_table(tmp_path / "results", "failures")[0].num_rows == 1
    last = json.loads((tmp_path / "log").read_text().splitlines()[-1])
    assert (last["event"], last["exit_code"]) == ("run_ended", ERROR)

"""Cells and stages that fail: tried again as often as asked, told, and given up where all fail alike."""

from pathlib import Path

import pytest

from sweep.exit_codes import DONE, OUT_OF_TIME, SOME_FAILED
from tests.sweep.data_efficiency.broken import Broken
from tests.sweep.data_efficiency.run import Run
from trainables.fit import FinetuningError
from trainables.jobs import StageJob
from trainables.pretrain import run_stage
from trainables.results import read_table


def test_a_failed_stage_fails_its_cells_only_and_says_why(
    run: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    broken = (
        "grid.arms=[random,byol-domain]",
        "stages.byol-domain.optimizer=sgd",
        "stages.byol-domain.learning_rate=1e30",
    )
    assert run(*broken) == SOME_FAILED
    said = capsys.readouterr().err
    assert "failed stage byol-domain: PretrainingError: stage byol-domain: the loss is" in said
    assert read_table(tmp_path / "results", "cells")[0].column("arm").to_pylist() == ["random"]


def test_a_cause_that_fails_every_cell_ends_the_run_after_five(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("no such kernel")

    monkeypatch.setattr("sweep.launch_serial.run_and_commit", broken)
    assert run("grid.subset_seeds=[0,1,2,3,4,5,6,7]") == SOME_FAILED
    assert "given up: the first cells all failed by RuntimeError; mend its cause" in capsys.readouterr().err
    assert read_table(tmp_path / "results", "failures")[0].num_rows == 5


def test_failures_of_an_earlier_run_do_not_give_up_the_next(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweep.launch_serial.run_and_commit", Broken(ValueError("poison")))
    grid = "grid.label_counts=[2,4]"
    assert run(grid, "grid.subset_seeds=[0,1,2,3,4,5]") == SOME_FAILED
    assert read_table(tmp_path / "results", "failures")[0].num_rows == 6
    assert run(grid, "grid.subset_seeds=[0,1,2,3,4,5,6,7,8,9]") == SOME_FAILED
    done = read_table(tmp_path / "results", "cells")[0].column("label_count").to_pylist()
    assert done == [4] * 10


@pytest.mark.parametrize(
    ("error", "retries", "calls"),
    [
        (OSError(5, "Input/output error"), 1, 2),
        (ValueError("x"), 0, 1),
        (MemoryError("x"), 3, 4),
        (FinetuningError("the training loss is nan before step 3"), 3, 1),
    ],
)
def test_a_cell_is_tried_again_as_often_as_asked_but_not_where_its_seed_would_fail_again(
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    retries: int,
    calls: int,
) -> None:
    broken = Broken(error)
    monkeypatch.setattr("sweep.launch_serial.run_and_commit", broken)
    assert run(f"compute.max_retries={retries}") == SOME_FAILED
    assert broken.calls == calls
    (failure,) = read_table(tmp_path / "results", "failures")[0].to_pylist()
    assert failure["reason"] == f"{type(error).__name__}: {error}"
    assert "Traceback" in failure["traceback"]


def test_a_cell_that_succeeds_when_tried_again_leaves_no_failure(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sweep.launch_serial.run_and_commit", Broken(OSError(116, "Stale file handle"), tries=1))
    assert run() == DONE
    assert "cells were tried again once after a failure" in capsys.readouterr().err
    assert read_table(tmp_path / "results", "failures")[0].num_rows == 0


def test_a_stage_that_raises_is_tried_again(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls: list[str] = []

    def stage(job: StageJob, report: object) -> None:
        calls.append(job.stage_id)
        if len(calls) == 1:
            raise OSError(5, "Input/output error")
        run_stage(job)

    monkeypatch.setattr("sweep.launch_serial.run_stage", stage)
    assert run("grid.arms=[random, byol-domain]") == DONE
    assert len(calls) == 2
    assert read_table(tmp_path / "results", "failures")[0].num_rows == 0


def test_a_failure_of_an_earlier_run_is_told_as_such(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    broken = ("grid.arms=[random,byol-domain]", "stages.byol-domain.optimizer=sgd")
    broken += ("stages.byol-domain.learning_rate=1e30",)
    assert run(*broken) == SOME_FAILED
    assert "failed stage byol-domain: PretrainingError" in capsys.readouterr().err
    assert run(*broken, "--max-hours", "1e-6") == OUT_OF_TIME
    assert "failed stage byol-domain (in an earlier run): PretrainingError" in capsys.readouterr().err

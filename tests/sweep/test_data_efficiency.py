"""The command line: exit codes, dry runs, and every bad input told clearly before anything is trained."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml
from safetensors.torch import save_file

from benchmarks.scheduling import commit_made_up
from sweep import data_efficiency, exit_codes
from sweep.data_efficiency import main
from sweep.exit_codes import DONE, ERROR, OUT_OF_TIME, SOME_FAILED, USAGE
from trainables.config import ModelConfig, PhantomConfig
from trainables.data.phantom import write_phantom
from trainables.finetune import FinetuningError
from trainables.jobs import CellJob, StageJob
from trainables.models.encoder import Encoder
from trainables.pretrain import run_stage
from trainables.results import read_table

Run = Callable[..., int]
TINY = (
    "grid.arms=[random]",
    "report.reference_arm=random",
    "grid.label_counts=[2]",
    "grid.subset_seeds=[0]",
)


@pytest.fixture
def run(tmp_path: Path, cache: Path) -> Run:
    """Run the command on a one-cell experiment without Ray."""

    def call(*arguments: str) -> int:
        common = ["--preset", "smoke", "--launcher", "serial", "--results", str(tmp_path / "results")]
        return main([*common, *TINY, f"compute.cache={cache}", "compute.device=cpu", *arguments])

    return call


@pytest.fixture
def training(tmp_path: Path) -> Path:
    """An ACDC folder to damage."""
    root = tmp_path / "acdc" / "training"
    write_phantom(root, PhantomConfig(num_patients=12, num_slices=3, num_frames=2))
    return root


def test_help_answers_in_under_a_second_without_importing_torch_or_ray() -> None:
    started = time.perf_counter()
    command = [sys.executable, "-X", "importtime", "-m", "sweep.data_efficiency", "--help"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - started
    assert "--dry-run" in answer.stdout
    assert not {"torch", "ray", "pandas", "pyarrow"} & {
        line.split("|")[-1].strip() for line in answer.stderr.splitlines()
    }
    assert seconds < 5  # the imports above are what costs; this only catches a new one


def test_a_run_finishes_and_running_again_does_nothing(
    run: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run() == DONE
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "results" / "cells").iterdir()}
    assert run() == DONE
    assert "nothing to do" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "results" / "cells").iterdir()} == written


def test_more_seeds_extend_a_finished_run(run: Run, tmp_path: Path) -> None:
    assert run() == DONE
    assert run("grid.subset_seeds=[0,1]") == DONE
    assert read_table(tmp_path / "results", "cells")[0].num_rows == 2


def test_config_versions_data_manifest_and_label_order_stand_beside_the_tables(run: Run, tmp_path: Path) -> None:
    run()
    root = tmp_path / "results"
    assert yaml.safe_load((root / "experiment.yaml").read_text())["finetune"]["steps"] == 6
    assert json.loads((root / "versions.json").read_text())["torch"] == torch.__version__.split("+")[0]
    data = json.loads((root / "data.json").read_text())
    assert data["num_patients"] == {"train": 8, "validation": 2, "test": 2, "pool": 8}
    order = json.loads((root / "subsets" / "seed-0.json").read_text())["order"]
    assert len({(row["patient"], row["phase"], row["slice"]) for row in order}) == data["num_slices"]["train"]
    (fold,) = json.loads((root / "splits_final.json").read_text())
    assert {part: len(cases) for part, cases in fold.items()} == {"train": 16, "val": 4, "test": 4}  # ED and ES of each


def test_a_run_on_the_orders_and_the_split_of_another_asks_for_the_same_cells(
    run: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run("data.label_draw=stratified") == DONE
    kept = Path(shutil.copytree(tmp_path / "results", tmp_path / "kept"))
    capsys.readouterr()
    assert run(f"data.label_orders={kept}/subsets") == DONE
    assert "nothing to do" in capsys.readouterr().err
    assert run("data.split=file", f"data.split_file={kept}/splits_final.json", "data.label_draw=stratified") == DONE
    assert "nothing to do" in capsys.readouterr().err


def test_an_order_that_was_drawn_on_other_data_is_refused(
    run: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run() == DONE
    orders = f"data.label_orders={tmp_path}/results/subsets"
    assert run(orders, "data.phantom.seed=1") == ERROR  # as many patients, phases and slices, but other images
    assert "seed-0.json: found an order drawn on data" in capsys.readouterr().err


def test_a_dry_run_says_what_would_run_and_what_it_costs_and_writes_nothing(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--dry-run", "grid.arms=[random,byol-domain]") == DONE
    said = capsys.readouterr().err
    assert "3 cells: 0 finished, 3 to run, after 1 pretraining stages" in said
    assert "forecast" in said
    assert "3 cells of" in said
    assert not (tmp_path / "results").exists()
    run()
    assert run("--dry-run", "grid.arms=[random,byol-domain]") == DONE
    said = capsys.readouterr().err
    assert "3 cells: 1 finished, 2 to run" in said
    assert "median of 1 finished cells" in said


def test_print_config_prints_an_experiment_that_runs_again(
    run: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run("--print-config") == DONE
    (tmp_path / "mine.yaml").write_text(capsys.readouterr().out)
    assert main(["--config", str(tmp_path / "mine.yaml"), "--print-config"]) == DONE


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


@pytest.mark.parametrize("arguments", [["--preset", "dmo"], ["finetune.step=1"], ["--config", "/nowhere.yaml"]])
def test_usage_errors_exit_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == USAGE
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["preset=smoke"], "'preset=smoke': preset is no key of an experiment; use --preset smoke"),
        (["max-hours=2"], "use --max-hours 2"),
        *(([f"{name}=a"], f"use --{name} a") for name in ("config", "results", "launcher", "address", "mirror")),
        *(([f"{name}=a"], f"use --{name} a") for name in ("tensorboard", "log-json", "max-cost")),
        (["--launcher", "serial", "compute.pretraining_workers=4"], "compute.pretraining_workers: expected 1 with"),
    ],
)
def test_what_the_command_line_cannot_mean_is_answered_with_what_to_write(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main([*arguments, "--results", str(tmp_path / "results")]) == USAGE
    assert message in capsys.readouterr().err
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("files", "setting"), [("cat/a.png dog/a.png", "natural.root="), ("p1/a.nii.gz", "data.unlabelled_root=")]
)
def test_images_without_masks_are_refused_as_data_root_with_the_setting_that_takes_them(
    run: Run, files: str, setting: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Empty files: their names tell."""
    root = tmp_path / "pictures"
    for name in files.split():
        (root / name).parent.mkdir(parents=True)
        (root / name).touch()
    assert run("data.format=auto", f"data.root={root}") == ERROR
    said = capsys.readouterr().err.replace("\n", " ")
    assert f"{setting}{root}" in said
    assert "Traceback" not in said
    assert not list((tmp_path / "results").rglob("*.parquet"))


def test_a_device_that_is_not_there_is_refused_once_before_data_are_read(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert run("compute.device=cuda") == ERROR
    assert "this machine has no CUDA device; use compute.device=cpu or auto" in capsys.readouterr().err
    assert not list((tmp_path / "results").rglob("*.parquet"))


def remove_mask(root: Path) -> None:
    next((root / "patient004").glob("*_gt.nii.gz")).unlink()


def truncate_image(root: Path) -> None:
    path = next((root / "patient004").glob("*_4d.nii.gz"))
    path.write_bytes(path.read_bytes()[:-100])


def remove_patients(root: Path) -> None:
    for folder in root.iterdir():
        folder.rename(folder.with_name(folder.name.replace("patient", "case")))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (remove_mask, r"patient004_frame\d+_gt\.nii\.gz: found no mask"),
        (truncate_image, r"patient004_4d\.nii\.gz: found a file that cannot be read"),
        (remove_patients, "expected folders named patient001, patient002"),
    ],
)
def test_bad_data_are_refused_before_anything_is_trained(
    run: Run,
    training: Path,
    damage: Callable[[Path], None],
    message: str,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    damage(training)
    assert run("data.format=acdc", f"data.root={training}") == ERROR
    import re

    said = capfd.readouterr().err
    assert re.search(message, said.replace("\n", " "))
    assert "Traceback" not in said
    assert not (tmp_path / "results" / "cells").exists()


def test_a_label_count_above_the_slices_there_are_is_refused(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("grid.label_counts=[2,999]") == ERROR
    assert (
        "asks for 999 labelled slices, but the training split has 64 slices (8 patients, 64 slices)"
        in capsys.readouterr().err
    )


def test_a_batch_that_an_objective_cannot_learn_from_is_refused_before_anything_is_trained(
    run: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    moco = ["stages.byol-domain.objective=moco", "stages.byol-domain.options={queue_size: 8}"]
    assert run("grid.arms=[random,byol-domain]", *moco) == ERROR
    message = "stages.byol-domain: options.queue_size: expected at least the 16 samples of a batch, found 8"
    assert message in capsys.readouterr().err
    assert not list((tmp_path / "results").rglob("*.parquet"))


def test_weights_that_do_not_fit_are_refused_with_their_keys(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_file(Encoder(ModelConfig(encoder="resnet18", width=8), 1).state_dict(), tmp_path / "w.safetensors")
    assert run(f"arms.random.weights=file:{tmp_path / 'w.safetensors'}") == ERROR
    assert "do not fit resnet10 of width 8" in capsys.readouterr().err


def test_the_plan_tells_what_was_matched_of_a_weights_file(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = Encoder(ModelConfig(encoder="resnet10", width=8), 1).state_dict()
    save_file({f"module.{key}": value for key, value in state.items()}, tmp_path / "w.safetensors")
    source = f"file:{tmp_path / 'w.safetensors'}"
    assert run(f"arms.random.weights={source}", "--dry-run") == DONE
    num = len(state)
    assert (
        f"weights {source}: {num} of {num} encoder keys matched; layout: below module; licence: unknown"
        in capsys.readouterr().err
    )


def test_a_folder_of_another_schema_version_is_refused(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run()
    (tmp_path / "results" / "labelcurve.json").write_text('{"schema_version": 99}')
    assert run() == ERROR
    assert "schema version 99" in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_results_folder_without_permission_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "results").mkdir(mode=0o500)
    assert run() == ERROR


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


def test_an_order_that_is_written_down_again_still_says_how_it_was_drawn(run: Run, tmp_path: Path) -> None:
    assert run("data.label_draw=stratified") == DONE
    kept = Path(shutil.copytree(tmp_path / "results", tmp_path / "kept"))
    assert run(f"data.label_orders={kept}/subsets") == DONE
    again = json.loads((tmp_path / "results" / "subsets" / "seed-0.json").read_text())
    assert again == json.loads((kept / "subsets" / "seed-0.json").read_text())


def test_a_folder_for_encoders_that_cannot_be_written_is_refused_before_anything_runs(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert run(f"compute.encoders={tmp_path / 'file' / 'encoders'}") == ERROR
    assert "choose another with compute.encoders" in capsys.readouterr().err


def test_two_experiments_share_the_encoders_that_one_of_them_trained(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = (f"compute.encoders={tmp_path / 'encoders'}", "grid.arms=[random, byol-domain]")
    assert run(*common) == DONE
    (tmp_path / "results").rename(tmp_path / "first")
    capsys.readouterr()
    assert run(*common, "finetune.steps=3") == DONE
    assert "3 to run, after 0 pretraining stages" in capsys.readouterr().err
    first, second = (read_table(tmp_path / name, "pretraining")[0] for name in ("first", "results"))
    assert second.num_rows == first.num_rows > 0
    assert second == first


def test_a_set_smaller_than_a_batch_is_named_before_it_becomes_one(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    stage = ["grid.arms=[byol-domain]", "report.reference_arm=byol-domain", "stages.byol-domain.batch_size=5000"]
    assert run(*stage, "--dry-run") == DONE
    said = capsys.readouterr().err
    assert re.search(
        r"warning: stages\.byol-domain: expected at least batch_size=5000 samples, found \d+: all are one batch", said
    )


def test_a_run_that_is_out_of_time_says_so_and_the_same_command_goes_on(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arms = ("grid.arms=[random, byol-domain]", "stages.byol-domain.epochs=2")
    assert run(*arms, "--max-hours", "1e-6") == OUT_OF_TIME
    said = capsys.readouterr().err
    assert "out of time after 1e-06 hours; the same command goes on from here" in said
    assert "failed" not in said.replace("failed ┃", "")
    assert run(*arms) == DONE
    assert read_table(tmp_path / "results", "cells")[0].num_rows == 3


@pytest.mark.parametrize("hours", ["0", "-1", "soon", "inf", "nan"])
def test_a_time_that_is_no_number_of_hours_is_refused(run: Run, hours: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run("--max-hours", hours)
    assert f"expected a number of hours above 0, found '{hours}'" in capsys.readouterr().err


def test_a_cause_that_fails_every_cell_ends_the_run_after_five(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("no such kernel")

    monkeypatch.setattr("sweep.launch_serial.run_and_commit", broken)
    assert run("grid.subset_seeds=[0,1,2,3,4,5,6,7]") == SOME_FAILED
    assert "given up: the first cells all failed by RuntimeError; mend its cause" in capsys.readouterr().err
    assert read_table(tmp_path / "results", "failures")[0].num_rows == 5


class Broken:
    """Takes the place of a cell's work; fails by ``error`` for label counts and tries that are asked to."""

    def __init__(self, error: Exception, label_count: int = 2, tries: int = 99) -> None:
        self.error, self.label_count, self.tries, self.calls = error, label_count, tries, 0

    def __call__(self, job: CellJob) -> None:
        if job.axes["label_count"] == self.label_count:
            self.calls += 1
            if self.calls <= self.tries:
                raise self.error
        commit_made_up(job)


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


def test_every_exit_code_is_defined_once_and_told_in_the_help() -> None:
    told = re.search(r"Exit codes: (.*)", " ".join((data_efficiency.__doc__ or "").split()))
    assert told
    found = {int(number) for number in re.findall(r"\b(\d+) [a-z]", told.group(1))}
    codes = {name: value for name, value in vars(exit_codes).items() if name.isupper()}
    assert found == set(codes.values())
    for name in ("data_efficiency.py", "run.py"):
        source = (Path(exit_codes.__file__).parent / name).read_text()
        assert not re.search(r"^(\w+, )*(DONE|INTERRUPTED)(, \w+)* = ", source, re.MULTILINE), name

"""Every bad input is refused with a clear error before anything is trained."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import save_file

from sweep.exit_codes import DONE, ERROR, USAGE
from tests.sweep.data_efficiency.run import Run
from trainables.config import ModelConfig, PhantomConfig
from trainables.data.phantom import write_phantom
from trainables.models.encoder import Encoder


@pytest.fixture
def training(tmp_path: Path) -> Path:
    """An ACDC folder to damage."""
    root = tmp_path / "acdc" / "training"
    write_phantom(root, PhantomConfig(num_patients=12, num_slices=3, num_frames=2))
    return root


def test_an_order_that_was_drawn_on_other_data_is_refused(
    run: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run() == DONE
    orders = f"data.label_orders={tmp_path}/results/subsets"
    assert run(orders, "data.phantom.seed=1") == ERROR  # as many patients, phases and slices, but other images
    assert "seed-0.json: found an order drawn on data" in capsys.readouterr().err


def test_early_stopping_of_cells_that_are_not_validated_is_refused_before_anything_is_trained(
    run: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run("finetune.stop.patience=2", "data.validation_slices=0") == ERROR
    said = " ".join(capsys.readouterr().err.split())
    assert "finetune.stop: expected validation slices" in said
    assert "found data.validation_slices=0; set finetune.stop=null, or validate on some" in said
    assert not list((tmp_path / "results").rglob("*.parquet"))


def test_a_patience_that_cannot_run_out_is_warned_of_before_anything_is_trained(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """A warm-up of 0.8 of 12 steps and a cooldown of 3 leave the validations after steps 1 to 8."""
    steps = ("finetune.steps=12", "finetune.evaluate_every=1")
    assert run(*steps, "finetune.stop.patience=8", "--dry-run") == DONE
    said = " ".join(capsys.readouterr().err.split())
    assert "warning: finetune.stop.patience=8 never runs out" in said
    assert "found 8, so that every cell runs its whole budget; lower it or finetune.evaluate_every" in said
    assert run(*steps, "finetune.stop.patience=7", "--dry-run") == DONE
    assert "never runs out" not in " ".join(capsys.readouterr().err.split())


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


def test_a_weights_file_that_does_not_exist_is_told_with_the_arms_that_ask_for_it_and_what_to_do(
    run: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "there").mkdir()
    settings = ["grid.arms=[random,one,two]", "arms.two={weights: 'file:there/w.pth', stages: [byol-domain]}"]
    asked = "arms.one={weights: 'file:there/w.pth', stages: []}"
    for folder, addition in ((tmp_path / "there", ""), (tmp_path / "nowhere", "; its folder is not there")):
        own = [each.replace("there/w.pth", f"{folder}/w.pth") for each in (asked, *settings)]
        assert run(*own) == ERROR
        said = " ".join(capsys.readouterr().err.split())
        where = f"weights file {folder}/w.pth does not exist on this machine"
        remedy = f"correct the path, or copy the file to it{addition}"
        assert f"error: arms.one.weights, arms.two.weights: {where}; {remedy}" in said
    assert not list((tmp_path / "results").rglob("*.parquet"))


def test_weights_that_do_not_fit_are_refused_with_their_keys(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_file(Encoder(ModelConfig(encoder="resnet18", width=8), 1).state_dict(), tmp_path / "w.safetensors")
    assert run(f"arms.random.weights=file:{tmp_path / 'w.safetensors'}") == ERROR
    assert "do not fit resnet10 of width 8" in capsys.readouterr().err


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


def test_a_folder_for_encoders_that_cannot_be_written_is_refused_before_anything_runs(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert run(f"compute.encoders={tmp_path / 'file' / 'encoders'}") == ERROR
    assert "choose another with compute.encoders" in capsys.readouterr().err


def test_a_cache_that_cannot_be_written_is_named_with_the_setting_that_moves_it(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert run(f"compute.cache={tmp_path / 'file' / 'cache'}") == ERROR
    said = capsys.readouterr().err
    assert f"{tmp_path}/file/cache: found a cache of decoded data that cannot be written" in said
    assert "compute.cache=FOLDER" in said
    assert "the same command goes on" not in said


def test_a_log_in_no_folder_is_refused_before_anything_is_written(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--log-json", str(tmp_path / "nowhere" / "log")) == ERROR
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(f"error: --log-json {tmp_path}/nowhere/log: expected a file that events can be added to")
    assert not (tmp_path / "results").exists()


def test_a_log_may_lie_in_the_results_folder_that_the_run_creates(run: Run, tmp_path: Path) -> None:
    assert run("--log-json", str(tmp_path / "results" / "log")) == DONE
    assert "run_ended" in (tmp_path / "results" / "log").read_text()


@pytest.mark.parametrize("dry", [(), ("--dry-run",)], ids=["run", "dry run"])
@pytest.mark.parametrize(
    ("folder", "found"), [("results", "a file of that name is there"), ("results/one", "Not a directory")]
)
def test_a_file_in_the_place_of_the_results_folder_is_called_one(
    run: Run, dry: tuple[str, ...], folder: str, found: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "results").touch()
    where = str(tmp_path / folder)
    assert run("--results", where, *dry) == ERROR
    said = capsys.readouterr().err
    assert said == f"error: results folder {where} cannot be written ({found}); choose another with --results\n"


def test_a_set_smaller_than_a_batch_is_named_before_it_becomes_one(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    stage = ["grid.arms=[byol-domain]", "report.reference_arm=byol-domain", "stages.byol-domain.batch_size=5000"]
    assert run(*stage, "--dry-run") == DONE
    said = capsys.readouterr().err
    assert re.search(
        r"warning: stages\.byol-domain: expected at least batch_size=5000 samples, found \d+: all are one batch", said
    )


@pytest.mark.parametrize(
    "key",
    [
        "data.root",
        "data.unlabelled_root",
        "data.cases_csv",
        "data.split_file",
        "data.label_orders",
        "natural.root",
        "compute.encoders",
        "compute.cache",
    ],
)
def test_a_uri_is_refused_where_a_path_is_meant(
    run: Run, key: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(f"{key}=s3://bucket/prefix") == USAGE
    said = " ".join(capsys.readouterr().err.split())
    assert f"{key}: expected a path on a disk" in said
    assert "found 's3://bucket/prefix'" in said
    assert not (tmp_path / "s3:").exists()

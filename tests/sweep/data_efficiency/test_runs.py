"""A run does what is missing: it is planned, extended, repeated, shared and stopped by the clock."""

import json
import shutil
import time
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import save_file

from sweep.exit_codes import DONE, INTERRUPTED, OUT_OF_TIME
from sweep.inputs import read_inputs
from sweep.plan import Plan
from sweep.status import main as status
from tests.sweep.data_efficiency.run import Run
from trainables.config import ModelConfig, PhantomConfig
from trainables.data.phantom import write_phantom
from trainables.encoder_store import record_epochs
from trainables.models.encoder import Encoder
from trainables.results import read_table


def test_a_run_finishes_and_running_again_does_nothing(
    run: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run() == DONE
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "results" / "cells").iterdir()}
    assert run() == DONE
    assert "nothing to do" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "results" / "cells").iterdir()} == written


def test_a_cell_that_is_stopped_early_is_finished_and_counted_as_any_other(
    run: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    stop = ["finetune.steps=12", "finetune.evaluate_every=1", "finetune.stop={patience: 1, min_delta: 0.99}"]
    assert run(*stop) == DONE
    (cell,) = read_table(tmp_path / "results", "cells")[0].to_pylist()
    assert cell["steps"] < cell["budget_steps"] == 12
    assert run(*stop) == DONE
    assert "nothing to do" in capsys.readouterr().err
    assert status([str(tmp_path / "results")]) == DONE
    assert "1 of 1" in capsys.readouterr().out
    assert run(*stop[:2]) == DONE  # without stopping it is another cell
    assert sorted(row["steps"] for row in read_table(tmp_path / "results", "cells")[0].to_pylist()) == [
        cell["steps"],
        12,
    ]


def test_brackets_in_a_folders_name_are_no_markup(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "a[/b] [red]c"
    assert run("--results", str(folder)) == DONE
    assert run("--results", str(folder)) == DONE
    assert str(folder) in capsys.readouterr().err


def test_more_seeds_extend_a_finished_run(run: Run, tmp_path: Path) -> None:
    assert run() == DONE
    assert run("grid.subset_seeds=[0,1]") == DONE
    assert read_table(tmp_path / "results", "cells")[0].num_rows == 2


def test_config_versions_data_manifest_and_label_order_stand_beside_the_tables(run: Run, tmp_path: Path) -> None:
    run()
    root = tmp_path / "results"
    assert yaml.safe_load((root / "experiment.yaml").read_text())["finetune"]["steps"] == 6
    assert json.loads((root / "versions.json").read_text())["torch"] == torch.__version__.split("+")[0]
    assert json.loads((root / "references.json").read_text())["dino"].endswith("arXiv:2104.14294")
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


def test_a_dry_run_says_what_would_run_and_what_it_costs_and_writes_nothing(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--dry-run", "grid.arms=[random,byol-domain]") == DONE
    said = capsys.readouterr().err
    assert "3 cells: 0 finished, 3 to run, after 1 pretraining stage;" in said
    assert "forecast" in said
    assert "3 cells of" in said
    assert not (tmp_path / "results").exists()
    run()
    assert run("--dry-run", "grid.arms=[random,byol-domain]") == DONE
    said = capsys.readouterr().err
    assert "3 cells: 1 finished, 2 to run" in said
    assert "median of 1 finished cells" in said


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


def test_an_order_that_is_written_down_again_still_says_how_it_was_drawn(run: Run, tmp_path: Path) -> None:
    assert run("data.label_draw=stratified") == DONE
    kept = Path(shutil.copytree(tmp_path / "results", tmp_path / "kept"))
    assert run(f"data.label_orders={kept}/subsets") == DONE
    again = json.loads((tmp_path / "results" / "subsets" / "seed-0.json").read_text())
    assert again == json.loads((kept / "subsets" / "seed-0.json").read_text())


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


def test_the_hours_count_from_the_start_of_the_command(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slowly(*arguments: object) -> object:
        time.sleep(1.0)
        return read_inputs(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("sweep.inputs.read_inputs", slowly)
    assert run("--max-hours", str(0.5 / 3600)) == OUT_OF_TIME
    assert read_table(tmp_path / "results", "cells")[0].num_rows == 0


def test_a_stage_that_is_stopped_while_it_is_trained_again_leaves_the_rows_of_its_whole_training(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = ("grid.arms=[random, byol-domain]", "stages.byol-domain.epochs=3")
    assert run(*stage, "stages.byol-domain.milestones=[3]") == DONE
    before = read_table(tmp_path / "results", "pretraining")[0]

    def stopped(plan: Plan, board: object) -> None:
        job = plan.stages[0].job
        record_epochs(job.results, job.encoders, job.stage_id, before.to_pylist()[:1])
        raise KeyboardInterrupt

    monkeypatch.setattr("sweep.launch_serial.launch", stopped)
    assert run(*stage, "stages.byol-domain.milestones=[2,3]") == INTERRUPTED
    assert read_table(tmp_path / "results", "pretraining")[0] == before


def test_the_plan_tells_whose_images_they_are_and_that_none_were_given(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--dry-run") == DONE
    assert "data: synthetic hearts, since data.root is not set; " in capsys.readouterr().err
    root = tmp_path / "acdc" / "training"
    write_phantom(root, PhantomConfig(num_patients=12, num_slices=3, num_frames=2))
    assert run("--dry-run", f"data.root={root}") == DONE
    said = capsys.readouterr().err
    (line,) = (line for line in said.splitlines() if line.startswith("data: "))
    assert line.startswith(f"data: {root} (acdc); ")
    numbers = [int(word) for word in line.partition("; ")[2].split() if word.isdigit()]
    assert sum(numbers[0::2]) == 12 * 2 * 3  # patients, frames, slices
    assert sum(numbers[1::2]) == 12


def test_a_run_with_other_settings_says_that_the_folder_holds_cells_which_it_does_not_ask_for(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run() == DONE
    assert run("grid.subset_seeds=[0,1]") == DONE
    assert "warning:" not in capsys.readouterr().err
    assert run("finetune.steps=3") == DONE
    assert "results holds 2 finished cells of other data, settings, label counts or seeds" in capsys.readouterr().err


def test_an_arm_is_named_on_one_line_of_a_log(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """Away from a terminal a table was 80 columns wide, and names were broken within a word."""
    name = "supervised-natural+byol-domain-of-a-long-name"
    assert run(f"arms.{name}={{weights: random}}", f"grid.arms=[random,{name}]", "--dry-run") == DONE
    said = capsys.readouterr().err
    assert len([line for line in said.partition("forecast, device-hours")[2].splitlines() if name in line]) == 1

"""A pretraining stage: it learns, it can be killed and resumed to the same weights, and it watches for collapse."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from trainables.config import ComputeConfig, DataConfig, ModelConfig, NaturalConfig, PhantomConfig, StageConfig
from trainables.data.dataset import DataError
from trainables.data.natural import open_natural
from trainables.data.slices import open_store
from trainables.encoder_store import encoder_path
from trainables.jobs import StageJob
from trainables.pretrain import PretrainingError, measure_collapse, run_stage
from trainables.results import open_results, read_table

NATURAL = NaturalConfig(num_images=48, num_classes=2, image_size=32)
DATA = DataConfig(image_size=32, spacing_mm=4, phantom=PhantomConfig(num_patients=12, num_slices=3, num_frames=2))


def job(root: Path, cache: Path, objective: str = "byol", data: str = "domain", **stage: Any) -> StageJob:
    recipe = {"objective": objective, "data": data, "epochs": 3, "milestones": (1, 3), "batch_size": 16}
    heads = {"projection_hidden": 16, "projection_size": 8, "prediction_hidden": 16, "momentum_start": 0.9}
    recipe |= {"options": heads if objective == "byol" else {}}
    return StageJob(
        results=open_results(root),
        encoders=root / "encoders",
        stage_id="stage",
        name="byol-domain",
        initial="random",
        weights_id="random",
        initial_name="random",
        seed=0,
        stage=StageConfig.model_validate(recipe | stage),
        model=ModelConfig(encoder="resnet10", width=8),
        data=DATA,
        natural=NATURAL,
        source_id=open_store(DATA, cache).pool_id if data == "domain" else open_natural(NATURAL, cache).data_id,
        compute=ComputeConfig(cache=cache, device="cpu"),
    )


def encoder(root: Path, epoch: int) -> dict[str, torch.Tensor]:
    return load_file(encoder_path(root / "encoders", "stage", epoch))


def test_encoders_are_kept_at_the_milestones_with_a_row_per_epoch(tmp_path: Path, cache: Path) -> None:
    run_stage(job(tmp_path, cache))
    assert sorted(path.name for path in (tmp_path / "encoders" / "stage").glob("*.safetensors")) == [
        "epoch-0001.safetensors",
        "epoch-0003.safetensors",
    ]
    assert not torch.equal(encoder(tmp_path, 1)["conv1.weight"], encoder(tmp_path, 3)["conv1.weight"])
    rows = read_table(tmp_path, "pretraining")[0].to_pylist()
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert all(row["samples"] == 48 for row in rows)  # 8 training patients of 3 slices and 2 frames
    assert all(-1 <= row["loss"] <= 1 for row in rows)
    assert not list(tmp_path.rglob("resume.pt"))


def test_a_stage_killed_after_an_epoch_and_resumed_ends_with_the_same_weights(tmp_path: Path, cache: Path) -> None:
    run_stage(job(tmp_path / "whole", cache))

    def kill(row: dict[str, Any]) -> None:
        if row["epoch"] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_stage(job(tmp_path / "killed", cache), report=kill)
    epochs: list[int] = []
    run_stage(job(tmp_path / "killed", cache), report=lambda row: epochs.append(row["epoch"]))
    assert epochs == [3]
    whole, resumed = encoder(tmp_path / "whole", 3), encoder(tmp_path / "killed", 3)
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)
    assert read_table(tmp_path / "killed", "pretraining")[0].num_rows == 3


def test_a_torn_resume_file_restarts_the_stage_and_ends_with_the_same_weights(tmp_path: Path, cache: Path) -> None:
    run_stage(job(tmp_path / "whole", cache))
    torn = open_results(tmp_path / "torn") / "encoders" / "stage" / "resume.pt"
    torn.parent.mkdir(parents=True)
    torn.write_bytes(b"PK\x03\x04 torn")
    run_stage(job(tmp_path / "torn", cache))
    whole, restarted = encoder(tmp_path / "whole", 3), encoder(tmp_path / "torn", 3)
    assert all(torch.equal(whole[key], restarted[key]) for key in whole)


def test_supervised_pretraining_lowers_its_loss_on_procedural_classes(tmp_path: Path, cache: Path) -> None:
    run_stage(job(tmp_path, cache, "supervised", "natural", epochs=20, milestones=(), learning_rate=3e-3))
    losses = [row["loss"] for row in read_table(tmp_path, "pretraining")[0].to_pylist()]
    assert sum(losses[-5:]) < 0.9 * sum(losses[:5])
    assert encoder(tmp_path, 20)["conv1.weight"].shape[1] == 3


def test_a_loss_that_is_not_finite_stops_the_stage_with_a_reason(tmp_path: Path, cache: Path) -> None:
    broken = job(tmp_path, cache, "supervised", "natural", optimizer="sgd", learning_rate=1e30, warmup_epochs=0)
    with pytest.raises(PretrainingError, match=r"the loss is (nan|inf) in epoch 1; lower learning_rate \(1e\+30\)"):
        run_stage(broken)
    assert not list(tmp_path.rglob("*.safetensors"))


def test_collapse_measures_of_known_features() -> None:
    one_point = torch.ones(64, 32)
    assert measure_collapse(one_point).std == pytest.approx(0, abs=1e-6)
    one_line = torch.outer(torch.linspace(-1, 1, 64), torch.ones(32))
    assert measure_collapse(one_line).effective_rank == pytest.approx(1, abs=1e-3)
    spread = torch.randn(4096, 32, generator=torch.Generator().manual_seed(0))
    measured = measure_collapse(spread)
    assert measured.std == pytest.approx(1, abs=0.02)  # the closed form for an isotropic cloud
    assert measured.effective_rank == pytest.approx(32, rel=0.02)


def test_a_milestone_that_is_added_after_it_was_passed_is_kept_all_the_same(tmp_path: Path, cache: Path) -> None:
    def kill(row: dict[str, Any]) -> None:
        if row["epoch"] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_stage(job(tmp_path, cache, milestones=(3,)), report=kill)
    run_stage(job(tmp_path, cache, milestones=(1, 3)))
    run_stage(job(tmp_path / "whole", cache, milestones=(1, 3)))
    for epoch in (1, 3):
        whole, resumed = encoder(tmp_path / "whole", epoch), encoder(tmp_path, epoch)
        assert all(torch.equal(whole[key], resumed[key]) for key in whole)


def test_an_encoder_that_exists_is_never_written_again(tmp_path: Path, cache: Path) -> None:
    run_stage(job(tmp_path, cache))
    before = encoder_path(tmp_path / "encoders", "stage", 3).stat().st_mtime_ns
    run_stage(job(tmp_path, cache))
    assert encoder_path(tmp_path / "encoders", "stage", 3).stat().st_mtime_ns == before


def test_a_batch_that_the_objective_cannot_learn_from_stops_the_stage(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(PretrainingError, match=r"stage byol-domain: options\.queue_size: .* found 8"):
        run_stage(job(tmp_path, cache, "moco", options={"queue_size": 8}))


def test_images_that_are_not_those_of_the_plan_stop_the_stage(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(DataError, match="but the run was planned with other"):
        run_stage(job(tmp_path, cache).model_copy(update={"source_id": "other"}))


def test_a_stage_whose_encoders_exist_is_not_trained_but_its_rows_are_taken_over(tmp_path: Path, cache: Path) -> None:
    first = job(tmp_path / "first", cache)
    run_stage(first)
    before = {path: path.stat().st_mtime_ns for path in first.encoders.rglob("*.safetensors")}
    second = job(tmp_path / "second", cache).model_copy(update={"encoders": first.encoders})
    epochs: list[int] = []
    run_stage(second, report=lambda row: epochs.append(row["epoch"]))
    assert not epochs
    assert {path: path.stat().st_mtime_ns for path in first.encoders.rglob("*.safetensors")} == before
    assert read_table(tmp_path / "second", "pretraining")[0].column("epoch").to_pylist() == [1, 2, 3]


def test_a_kept_encoder_has_a_card_with_its_own_sha256_and_its_parents(tmp_path: Path, cache: Path) -> None:
    run_stage(job(tmp_path, cache))
    parent = encoder_path(tmp_path / "encoders", "stage", 3)
    child = job(tmp_path, cache).model_copy(update={"stage_id": "child", "initial": f"file:{parent}"})
    run_stage(child)
    cards = [
        json.loads(encoder_path(tmp_path / "encoders", name, 3).with_suffix(".json").read_text())
        for name in ("stage", "child")
    ]
    assert cards[0]["sha256"] == hashlib.sha256(parent.read_bytes()).hexdigest() == cards[1]["initial"]["sha256"]
    assert cards[1]["initial"]["initial"] == cards[0]["initial"]
    assert [card["epochs"] for card in cards] == [3, 3]

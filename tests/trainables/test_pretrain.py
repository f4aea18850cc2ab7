"""A pretraining stage: it learns, it can be killed and resumed to the same weights, and it watches for collapse."""

import hashlib
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from trainables.config import ComputeConfig, DataConfig, ModelConfig, NaturalConfig, PhantomConfig, StageConfig
from trainables.data.natural import open_natural
from trainables.data.slices import open_store
from trainables.encoder_store import encoder_path
from trainables.jobs import StageJob
from trainables.models.encoder import Encoder
from trainables.objectives import OBJECTIVES
from trainables.pretrain import PretrainingError, run_stage
from trainables.results import open_results, read_table, record_failure

NATURAL = NaturalConfig(num_images=32, num_classes=2, image_size=32)
SMALL = {"projection_hidden": 16, "projection_size": 8, "prediction_hidden": 16, "queue_size": 24, "momentum": 0.9}
SMALL |= {"momentum_start": 0.9, "num_prototypes": 16, "num_local_views": 1, "patch_size": 8}
DATA = DataConfig(image_size=32, spacing_mm=4, phantom=PhantomConfig(num_patients=12, num_slices=3, num_frames=2))


def job(root: Path, cache: Path, objective: str = "byol", data: str = "domain", **stage: Any) -> StageJob:
    recipe: dict[str, Any] = {"objective": objective, "data": data, "epochs": 3, "milestones": (1, 3), "batch_size": 16}
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
        compute=ComputeConfig(cache=cache, device="cpu", checkpoint_share=1),
    )


def encoder(root: Path, epoch: int) -> dict[str, torch.Tensor]:
    return load_file(encoder_path(root / "encoders", "stage", epoch))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    """A results folder after an undisturbed ``job``. Tests that change it change a copy."""
    root = tmp_path_factory.mktemp("whole") / "results"
    run_stage(job(root, cache))
    return root


@pytest.fixture
def trained(whole: Path, tmp_path: Path) -> Path:
    """A copy of it to change."""
    return Path(shutil.copytree(whole, tmp_path / "trained"))


def test_encoders_are_kept_at_the_milestones_with_a_row_per_epoch(whole: Path) -> None:
    assert sorted(path.name for path in (whole / "encoders" / "stage").glob("*.safetensors")) == [
        "epoch-0001.safetensors",
        "epoch-0003.safetensors",
    ]
    assert not torch.equal(encoder(whole, 1)["conv1.weight"], encoder(whole, 3)["conv1.weight"])
    rows = read_table(whole, "pretraining")[0].to_pylist()
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert all(row["samples"] == 48 for row in rows)  # 8 training patients of 3 slices and 2 frames
    assert all(-1 <= row["loss"] <= 1 for row in rows)
    assert not list(whole.rglob("resume.pt"))


def kill_after(epoch: int) -> Callable[[dict[str, Any]], None]:
    """A report that ends the stage as Ctrl-C does."""

    def report(row: dict[str, Any]) -> None:
        if row["epoch"] == epoch:
            raise KeyboardInterrupt

    return report


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_stage_killed_after_an_epoch_and_resumed_ends_with_the_same_weights(
    tmp_path: Path, cache: Path, objective: str
) -> None:
    recipe = {"objective": objective, "data": "natural", "epochs": 2, "milestones": (2,), "micro_batches": 2}
    options = {key: value for key, value in SMALL.items() if key in OBJECTIVES[objective].options_type.model_fields}
    recipe |= {"options": options, "learning_rate": 1e-3}
    run_stage(job(tmp_path / "whole", cache, **recipe))
    with pytest.raises(KeyboardInterrupt):
        run_stage(job(tmp_path / "killed", cache, **recipe), report=kill_after(1))
    epochs: list[int] = []
    run_stage(job(tmp_path / "killed", cache, **recipe), report=lambda row: epochs.append(row["epoch"]))
    assert epochs == [2]
    whole, resumed = encoder(tmp_path / "whole", 2), encoder(tmp_path / "killed", 2)
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)
    tables = [read_table(tmp_path / name, "pretraining")[0].to_pandas() for name in ("whole", "killed")]
    unclocked = [table.drop(columns=["seconds", "device_seconds"]) for table in tables]
    pd.testing.assert_frame_equal(*unclocked, check_exact=True)


def test_a_torn_resume_file_restarts_the_stage_and_ends_with_the_same_weights(
    whole: Path, tmp_path: Path, cache: Path
) -> None:
    torn = open_results(tmp_path) / "encoders" / "stage" / "resume.pt"
    torn.parent.mkdir(parents=True)
    torn.write_bytes(b"PK\x03\x04 torn")
    run_stage(job(tmp_path, cache))
    expected, restarted = encoder(whole, 3), encoder(tmp_path, 3)
    assert all(torch.equal(expected[key], restarted[key]) for key in expected)


@pytest.mark.parametrize(("share", "saved"), [(0.05, [1]), (1.0, [1, 2, 3])])
def test_saving_the_state_takes_its_share_of_the_time_at_most(
    share: float, saved: list[int], tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    epochs: list[int] = []

    def slow(path: Path, state: dict[str, Any]) -> None:
        epochs.append(state["epoch"])
        time.sleep(0.3)  # of epochs that take far less

    monkeypatch.setattr("trainables.pretrain.write_state", slow)
    stage = job(tmp_path, cache, epochs=4, milestones=())
    compute = stage.compute.model_copy(update={"checkpoint_share": share})
    run_stage(stage.model_copy(update={"compute": compute}))
    assert epochs == saved  # never the last one, which leaves its encoder


def test_a_stage_that_is_stopped_between_two_saves_saves_once_more(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainables.pretrain._Loop.saving_pays", lambda loop: False)
    with pytest.raises(KeyboardInterrupt):
        run_stage(job(tmp_path, cache), report=kill_after(2))
    epochs: list[int] = []
    run_stage(job(tmp_path, cache), report=lambda row: epochs.append(row["epoch"]))
    assert epochs == [3]


def test_supervised_pretraining_lowers_its_loss_on_procedural_classes(tmp_path: Path, cache: Path) -> None:
    run_stage(job(tmp_path, cache, "supervised", "natural", epochs=20, milestones=(), learning_rate=3e-3))
    losses = [row["loss"] for row in read_table(tmp_path, "pretraining")[0].to_pylist()]
    assert sum(losses[-5:]) < 0.9 * sum(losses[:5])
    assert encoder(tmp_path, 20)["conv1.weight"].shape[1] == 3


def test_a_milestone_that_is_added_after_it_was_passed_is_kept_all_the_same(
    whole: Path, tmp_path: Path, cache: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_stage(job(tmp_path, cache, milestones=(3,)), report=kill_after(2))
    run_stage(job(tmp_path, cache))
    for epoch in (1, 3):
        expected, resumed = encoder(whole, epoch), encoder(tmp_path, epoch)
        assert all(torch.equal(expected[key], resumed[key]) for key in expected)


def test_an_encoder_that_exists_is_never_written_again(tmp_path: Path, cache: Path) -> None:
    run_stage(job(tmp_path, cache, milestones=(3,)))
    before = encoder_path(tmp_path / "encoders", "stage", 3).stat().st_mtime_ns
    epochs: list[int] = []
    run_stage(job(tmp_path, cache, milestones=(1, 3)), report=lambda row: epochs.append(row["epoch"]))
    assert epochs == [1, 2, 3]  # trained again, for the encoder that was not kept
    assert encoder_path(tmp_path / "encoders", "stage", 1).is_file()
    assert encoder_path(tmp_path / "encoders", "stage", 3).stat().st_mtime_ns == before


def test_a_stage_whose_encoders_exist_is_not_trained_but_its_rows_are_taken_over(
    trained: Path, tmp_path: Path, cache: Path
) -> None:
    before = {path: path.stat().st_mtime_ns for path in trained.rglob("*.safetensors")}
    assert len(before) == 2
    second = job(tmp_path / "second", cache).model_copy(update={"encoders": trained / "encoders"})
    epochs: list[int] = []
    run_stage(second, report=lambda row: epochs.append(row["epoch"]))
    assert not epochs
    assert {path: path.stat().st_mtime_ns for path in trained.rglob("*.safetensors")} == before
    assert read_table(tmp_path / "second", "pretraining")[0].column("epoch").to_pylist() == [1, 2, 3]


def test_a_kept_encoder_has_a_card_with_its_own_sha256_and_its_parents(trained: Path, cache: Path) -> None:
    parent = encoder_path(trained / "encoders", "stage", 3)
    child = job(trained, cache).model_copy(update={"stage_id": "child", "initial": f"file:{parent}"})
    run_stage(child)
    cards = [
        json.loads(encoder_path(trained / "encoders", name, 3).with_suffix(".json").read_text())
        for name in ("stage", "child")
    ]
    assert cards[0]["sha256"] == hashlib.sha256(parent.read_bytes()).hexdigest() == cards[1]["initial"]["sha256"]
    assert cards[1]["initial"]["initial"] == cards[0]["initial"]
    assert [card["epochs"] for card in cards] == [3, 3]


@pytest.mark.parametrize("views", ["paper", "byol"])  # the latter blur, by a product with matrices
def test_flops_are_those_of_every_convolution_forward_and_backward(tmp_path: Path, cache: Path, views: str) -> None:
    recipe = {"set": views, "blur_probability": float(views == "byol")}
    run_stage(job(tmp_path, cache, "supervised", "natural", epochs=1, milestones=(), views=recipe))
    network = Encoder(ModelConfig(encoder="resnet10", width=8), 3)
    forward: list[int] = []

    def count(module: torch.nn.Conv2d, inputs: Any, output: torch.Tensor) -> None:
        kernel = module.in_channels * module.kernel_size[0] * module.kernel_size[1]
        forward.append(2 * kernel * output[0].numel())

    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(count)
    network(torch.zeros(2, 3, 32, 32))
    head = 2 * network.num_features * NATURAL.num_classes
    # backward costs as much for the weights and as much for the inputs, which the first layer has no use for
    per_sample = 3 * (sum(forward) + head) - forward[0]
    row = read_table(tmp_path, "pretraining")[0].to_pylist()[0]
    assert row["flops"] == pytest.approx(row["samples"] * per_sample)
    assert row["device_seconds"] == row["seconds"] * row["num_workers"]


def test_a_probe_is_a_column_of_the_epochs_that_it_was_asked_for(tmp_path: Path, cache: Path) -> None:
    run_stage(job(tmp_path, cache, epochs=4, milestones=(), probe_every_epochs=2))
    scores = [row["probe_r2"] for row in read_table(tmp_path, "pretraining")[0].to_pylist()]
    assert [score is None for score in scores] == [True, False, True, False]
    run_stage(job(tmp_path / "unprobed", cache, epochs=4, milestones=()))
    probed, unprobed = encoder(tmp_path, 4), encoder(tmp_path / "unprobed", 4)
    assert all(torch.equal(probed[key], unprobed[key]) for key in probed)


def test_a_disk_that_fills_up_while_a_checkpoint_is_written_leaves_the_one_before(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_stage(job(tmp_path, cache), report=kill_after(1))
    kept = (tmp_path / "encoders" / "stage" / "resume.pt").read_bytes()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("trainables.resume_file.torch.save", full)
        with pytest.raises(OSError, match=r"resume.pt cannot be written .*No space left on device; \d+ MiB are free"):
            run_stage(job(tmp_path, cache))
    assert (tmp_path / "encoders" / "stage" / "resume.pt").read_bytes() == kept
    assert not list(tmp_path.rglob(".tmp-*"))
    run_stage(job(tmp_path, cache))
    assert encoder(tmp_path, 3)


@pytest.mark.slow
def test_a_compiled_stage_learns_what_an_interpreted_one_does(tmp_path: Path, cache: Path) -> None:
    run_stage(job(tmp_path / "compiled", cache, compile=True))
    run_stage(job(tmp_path / "interpreted", cache))
    losses = [
        [row["loss"] for row in read_table(tmp_path / name, "pretraining")[0].to_pylist()]
        for name in ("compiled", "interpreted")
    ]
    assert losses[0][0] == pytest.approx(losses[1][0], abs=1e-3)
    assert losses[0] == pytest.approx(losses[1], abs=1e-2)  # rounding grows from step to step
    assert encoder(tmp_path / "compiled", 3).keys() == encoder(tmp_path / "interpreted", 3).keys()


@pytest.mark.parametrize("optimizer", ["sgd", "lars"])
def test_a_stage_that_dies_between_an_encoder_and_its_state_ends_with_the_same_weights(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, optimizer: str
) -> None:
    recipe = {"optimizer": optimizer, "precision": "bf16", "milestones": (2, 3)}
    run_stage(job(tmp_path / "whole", cache, **recipe))
    save = torch.save

    def die_after_epoch_two(state: dict[str, Any], *rest: Any) -> None:
        if state["epoch"] == 2:
            raise KeyboardInterrupt
        save(state, *rest)

    with monkeypatch.context() as patched:
        patched.setattr("trainables.resume_file.torch.save", die_after_epoch_two)
        with pytest.raises(KeyboardInterrupt):
            run_stage(job(tmp_path / "killed", cache, **recipe))
    assert encoder(tmp_path / "killed", 2)
    epochs: list[int] = []
    run_stage(job(tmp_path / "killed", cache, **recipe), report=lambda row: epochs.append(row["epoch"]))
    assert epochs == [2, 3]
    whole, resumed = encoder(tmp_path / "whole", 3), encoder(tmp_path / "killed", 3)
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)


def test_a_stage_that_finished_but_had_not_cleared_up_leaves_nothing_behind(trained: Path, cache: Path) -> None:
    left = trained / "encoders" / "stage" / "resume.pt"
    left.write_bytes(b"of a run that died")
    record_failure(trained, job(trained, cache).failure(RuntimeError("it died")))
    run_stage(job(trained, cache))
    assert not left.exists()
    assert read_table(trained, "failures")[0].num_rows == 0


def test_a_state_of_another_program_is_refused(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_stage(job(tmp_path, cache), report=kill_after(1))
    path = tmp_path / "encoders" / "stage" / "resume.pt"
    state = torch.load(path, weights_only=True)
    state["objective"] = {f"old.{key}": value for key, value in state["objective"].items()}
    torch.save(state, path)
    with pytest.raises(PretrainingError, match=r"resume.pt is of another version of the program; remove it"):
        run_stage(job(tmp_path, cache))


@pytest.mark.slow
def test_bf16_learns_as_fp32_does_within_the_spread_of_seeds(tmp_path: Path, cache: Path) -> None:
    """The distance of one seed's two loss curves stays below half of what two seeds' curves lie apart."""
    epochs, seeds = 6, range(4)
    curves: dict[str, list[list[float]]] = {"fp32": [], "bf16": []}
    for precision, found in curves.items():
        for seed in seeds:
            stage = job(
                tmp_path / f"{precision}-{seed}", cache, precision=precision, epochs=epochs, milestones=(epochs,)
            )
            losses: list[float] = []
            run_stage(stage.model_copy(update={"seed": seed}), lambda row, kept=losses: kept.append(row["loss"]))
            found.append(losses)
    full, half = torch.tensor(curves["fp32"]), torch.tensor(curves["bf16"])
    assert full.shape == half.shape == (len(seeds), epochs)
    assert not torch.equal(full, half)
    apart = (half - full).square().mean().sqrt()
    spread = full.var(0).mean().sqrt()  # over seeds, pooled over epochs
    assert apart < spread / 2

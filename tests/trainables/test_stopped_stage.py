"""A stage that cannot learn, or whose features or loss have gone wrong, stops with its reason."""

from pathlib import Path

import pytest
import torch

from tests.trainables.test_pretrain import job
from trainables.data.dataset import DataError
from trainables.models.encoder import Encoder
from trainables.optimisation import Optimisation
from trainables.pretrain import PretrainingError, run_stage


def test_a_loss_that_is_not_finite_stops_the_stage_with_a_reason(tmp_path: Path, cache: Path) -> None:
    broken = job(tmp_path, cache, "supervised", "natural", optimizer="sgd", learning_rate=1e30, warmup_epochs=0)
    with pytest.raises(PretrainingError, match=r"the loss is (nan|inf) in epoch 1; lower learning_rate \(1e\+30\)"):
        run_stage(broken)
    assert not list(tmp_path.rglob("*.safetensors"))


def test_an_encoder_that_the_last_step_broke_is_not_kept(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loss of a step is that of the weights before it."""
    real = Optimisation.step

    def diverging(self: Optimisation) -> None:
        real(self)
        next(self._network.parameters()).data.fill_(float("inf"))

    monkeypatch.setattr(Optimisation, "step", diverging)
    with pytest.raises(PretrainingError, match=r"the encoder is no longer finite in epoch 1; lower learning_rate"):
        run_stage(job(tmp_path, cache, "supervised", "natural", epochs=1, milestones=(1,), batch_size=10_000))
    assert not list(tmp_path.rglob("*.safetensors"))


def test_a_batch_that_the_objective_cannot_learn_from_stops_the_stage(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(PretrainingError, match=r"stage byol-domain: options\.queue_size: .* found 8"):
        run_stage(job(tmp_path, cache, "moco", options={"queue_size": 8}))


def test_images_that_are_not_those_of_the_plan_stop_the_stage(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(DataError, match="but the run was planned with other"):
        run_stage(job(tmp_path, cache).model_copy(update={"source_id": "other"}))


def test_features_that_stay_collapsed_stop_the_stage_with_a_reason(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def one_point(encoder: Encoder, images: torch.Tensor) -> torch.Tensor:
        return encoder.stages(images)[-1].mean((2, 3)) * 0 + 1

    monkeypatch.setattr(Encoder, "forward", one_point)
    with pytest.raises(
        PretrainingError,
        match=r"up to epoch 3 the features have been collapsed for 3 epochs \(standard deviation 0, below",
    ):
        run_stage(job(tmp_path, cache, epochs=9, milestones=(9,)))
    assert not list(tmp_path.rglob("*.safetensors"))
    run_stage(job(tmp_path / "classes", cache, "supervised", "natural"))  # whose features may be as alike as they like


def test_half_precision_is_refused_without_a_gpu(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(PretrainingError, match="precision fp16 expects a GPU, found a CPU; use bf16 or fp32"):
        run_stage(job(tmp_path, cache, precision="fp16"))


def test_bf16_is_refused_on_a_cpu_for_views_whose_gradients_are_not_reproducible_there(
    tmp_path: Path, cache: Path
) -> None:
    message = r"precision: bf16 on a CPU expects views of more than 16 px, found 14; use fp32, or larger views"
    options = {"num_prototypes": 16, "projection_hidden": 16}
    with pytest.raises(PretrainingError, match=f"stage byol-domain: {message}"):
        run_stage(job(tmp_path, cache, "dino", precision="bf16", options=options))


def test_parts_of_a_batch_must_be_equal(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(PretrainingError, match="a batch of 48 cannot pass in 5 equal parts; lower micro_batches"):
        run_stage(job(tmp_path, cache, batch_size=100, micro_batches=5))

"""What a stage's epochs and steps are made of: orders and views of their own, batches in parts, a count of collapse."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainables.test_pretrain import encoder, job, kill_after
from trainables import pretrain
from trainables.data.batches import Samples
from trainables.models.encoder import Encoder
from trainables.pretrain import PretrainingError, run_stage
from trainables.results import read_table


@pytest.mark.parametrize("micro_batches", [2, 8])
def test_a_batch_that_passes_in_parts_moves_weights_as_a_whole_one_where_no_norm_looks_at_it(
    micro_batches: int, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Views are the whole image, since parts draw their own; classes need no other sample of the batch."""

    def as_evaluated(norm: torch.nn.Module, mode: bool = True) -> torch.nn.Module:
        return torch.nn.Module.train(norm, False)

    monkeypatch.setattr(torch.nn.BatchNorm2d, "train", as_evaluated)
    views = {"crop_scale": (1, 1), "crop_ratio": (1, 1), "flip_probability": 0, "colour_probability": 0}
    recipe = {"views": views, "optimizer": "sgd", "learning_rate": 0.1, "gradient_clip": 0.5}
    run_stage(job(tmp_path / "whole", cache, "supervised", "natural", **recipe))
    run_stage(job(tmp_path / "parts", cache, "supervised", "natural", **recipe, micro_batches=micro_batches))
    whole, parts = encoder(tmp_path / "whole", 3), encoder(tmp_path / "parts", 3)
    assert not torch.equal(encoder(tmp_path / "whole", 1)["conv1.weight"], whole["conv1.weight"])
    assert all(torch.allclose(whole[key], parts[key], rtol=1e-4, atol=1e-6) for key in whole)
    losses = [
        [row["loss"] for row in read_table(tmp_path / name, "pretraining")[0].to_pylist()]
        for name in ("whole", "parts")
    ]
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)


def test_epochs_of_collapsed_features_count_on_in_a_stage_that_is_resumed(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Encoder.forward
    monkeypatch.setattr(Encoder, "forward", lambda *given: real(*given) * 0 + 1)
    with pytest.raises(KeyboardInterrupt):
        run_stage(job(tmp_path, cache, epochs=9, milestones=(9,)), report=kill_after(2))
    with pytest.raises(PretrainingError, match="up to epoch 3 the features have been collapsed for 3 epochs"):
        run_stage(job(tmp_path, cache, epochs=9, milestones=(9,)))


def test_each_epoch_has_an_order_and_views_of_its_own(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, drawn = pretrain.random_view, []

    def noted(samples: Samples, indices: torch.Tensor, *rest: Any) -> torch.Tensor:
        view = real(samples, indices, *rest)
        drawn.append((indices, view))
        return view

    monkeypatch.setattr(pretrain, "random_view", noted)
    run_stage(job(tmp_path, cache, epochs=2, milestones=(), batch_size=48, views={"crop_scale": (0.2, 0.9)}))
    (first, one), (again, other), (second, next_one), _ = drawn  # two views of the only batch of each epoch
    assert first is again
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(48))
    assert first.tolist() != second.tolist()
    of_one_sample = [view[indices.argsort()][0] for indices, view in ((first, one), (first, other), (second, next_one))]
    assert not torch.equal(of_one_sample[0], of_one_sample[1])
    assert not torch.equal(of_one_sample[0], of_one_sample[2])

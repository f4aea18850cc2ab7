"""Every objective of the registry passes one contract."""

import copy
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from trainables.config import ModelConfig, StageConfig, ViewConfig
from trainables.models.encoder import Encoder
from trainables.objectives import OBJECTIVES, Batch, Objective, build_objective, options_of, references
from trainables.objectives.optimizer import build_optimizer

MODEL = ModelConfig(encoder="resnet10", width=8)
SMALL = {"projection_hidden": 16, "projection_size": 8, "prediction_hidden": 16, "queue_size": 24, "momentum": 0.9}
SMALL |= {"momentum_start": 0.9, "num_prototypes": 16, "num_local_views": 1, "patch_size": 8}
TARGETS = torch.tensor([0, 1, 2, 3] * 2)


def stage(name: str, **values: Any) -> StageConfig:
    options = {key: value for key, value in SMALL.items() if key in OBJECTIVES[name].options_type.model_fields}
    return StageConfig.model_validate({"objective": name, "options": options, "data": "natural", "epochs": 1, **values})


def build(name: str, channels: int = 1, seed: int = 0) -> Objective:
    torch.manual_seed(seed)
    return build_objective(Encoder(MODEL, channels), stage(name), 4)


def views(objective: Objective, channels: int = 1, seed: int = 1) -> list[torch.Tensor]:
    """The views of eight images, each its image and some noise."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(8, channels, 32, 32, generator=generator)
    return [
        images[..., : view.size, : view.size]
        + 0.1 * torch.randn(8, channels, view.size, view.size, generator=generator)
        for view in objective.views(stage("byol"), 32)
    ]


def train(objective: Objective, num_steps: int, learning_rate: float = 1e-2, channels: int = 1) -> list[float]:
    """Losses of some steps on the same images."""
    optimizer = torch.optim.Adam(objective.trained.parameters(), lr=learning_rate)
    losses = []
    for step in range(num_steps):
        result = objective(views(objective, channels), TARGETS)
        optimizer.zero_grad()
        result.loss.backward()
        optimizer.step()
        objective.after_step(step, 1000)
        losses.append(float(result.loss.detach()))
    return losses


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_training_lowers_a_finite_loss_and_changes_the_kept_encoder(name: str, channels: int) -> None:
    objective = build(name, channels)
    before = copy.deepcopy(objective.kept_encoder().state_dict())
    train(objective, 3, learning_rate=0, channels=channels)  # fills the queues
    losses = train(objective, 9, channels=channels)
    assert torch.isfinite(torch.tensor(losses)).all()
    assert sum(losses[-3:]) / 3 < losses[0]
    after = objective.kept_encoder().state_dict()
    assert not torch.equal(before["conv1.weight"], after["conv1.weight"])
    assert not torch.equal(before["bn1.running_mean"], after["bn1.running_mean"])


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_gradient_reaches_everything_that_is_trained(name: str) -> None:
    objective = build(name)
    objective(views(objective), TARGETS).loss.backward()
    gradients = {key: parameter.grad for key, parameter in objective.trained.named_parameters()}
    assert not [key for key, gradient in gradients.items() if gradient is None or not gradient.any()]
    assert any(key.startswith("encoder.") for key in gradients)
    frozen = set(objective.parameters()) - set(objective.trained.parameters())
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in frozen)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_kept_encoder_has_the_keys_of_the_one_it_was_given(name: str) -> None:
    objective = build(name)
    train(objective, 1)
    assert list(objective.kept_encoder().state_dict()) == list(Encoder(MODEL, 1).state_dict())


@pytest.mark.parametrize("name", OBJECTIVES)
def test_an_objective_put_back_from_its_state_goes_on_with_the_same_losses(name: str) -> None:
    first, other = build(name), build(name, seed=5)
    train(first, 1)
    other.load_own_state(copy.deepcopy(first.own_state()))  # as the pretraining loop does
    assert train(first, 2) == train(other, 2)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_state_of_an_objective_holds_all_that_is_trained_whatever_wraps_it(name: str) -> None:
    objective = build(name)
    before = objective.own_state()
    trained = {value.data_ptr() for value in objective.trained.state_dict().values() if value.numel()}
    assert trained <= {value.data_ptr() for value in before.values()}
    objective.trained = torch.nn.Sequential(objective.trained)
    assert objective.own_state().keys() == before.keys()


@pytest.mark.parametrize("change", [{"more": torch.ones(1)}, {"online.project.layers.0.weight": None}])
def test_a_state_of_other_names_is_refused(change: dict[str, torch.Tensor | None]) -> None:
    objective = build("simclr")
    state = {key: value for key, value in (objective.own_state() | change).items() if value is not None}
    with pytest.raises(ValueError, match=rf"expected the state of SimCLR, found other names: \['{next(iter(change))}'"):
        objective.load_own_state(state)


class Unowned(OBJECTIVES["simclr"]):  # type: ignore[misc]
    """Would be resumed from fresh weights."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        del self.online


def test_an_objective_that_holds_what_it_trains_under_one_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OBJECTIVES, "simclr", Unowned)
    with pytest.raises(TypeError, match=r"Unowned holds trained\.encoder\.conv1\.weight under that name alone"):
        build("simclr")


@pytest.mark.parametrize("name", OBJECTIVES)
def test_equal_seeds_train_alike(name: str) -> None:
    assert train(build(name), 2) == train(build(name), 2)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_bfloat16_changes_the_loss_little_and_the_state_not_in_type(name: str) -> None:
    objective = build(name)
    full = float(copy.deepcopy(objective)(views(objective), TARGETS).loss.detach())
    with torch.autocast("cpu", torch.bfloat16):
        loss = objective(views(objective), TARGETS).loss
    loss.backward()
    assert float(loss.detach()) == pytest.approx(full, rel=0.1, abs=0.02)
    assert {value.dtype for value in objective.state_dict().values()} <= {torch.float32, torch.int64}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_features_have_one_row_per_sample_and_carry_no_gradient(name: str) -> None:
    objective = build(name)
    features = objective(views(objective), TARGETS).features
    assert features.shape == (8, 64)
    assert not features.requires_grad


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_batch_that_workers_cannot_share_is_refused(name: str) -> None:
    options = options_of(stage(name))
    options.check_batch(Batch(num_samples=8, num_workers=2, image_size=32))
    with pytest.raises(ValueError, match="a batch of 3 cannot feed 2 workers two samples each"):
        options.check_batch(Batch(num_samples=3, num_workers=2, image_size=32))
    with pytest.raises(ValueError, match="a batch of 9 cannot be shared equally by 2 workers"):
        options.check_batch(Batch(num_samples=9, num_workers=2, image_size=32))


@pytest.mark.parametrize("name", ["moco", "densecl"])
def test_a_queue_shorter_than_a_batch_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"options\.queue_size: expected at least the 32 samples of a batch, found 24"):
        options_of(stage(name)).check_batch(Batch(num_samples=32, num_workers=1, image_size=32))


def test_a_patch_that_leaves_nothing_visible_is_refused() -> None:
    message = r"options\.patch_size: 32 px leaves none of 1 patches visible in images of 32 px"
    with pytest.raises(ValueError, match=message):
        options_of(stage("masked", options={})).check_batch(Batch(num_samples=8, num_workers=1, image_size=32))


def test_the_second_view_has_its_own_recipe_where_the_stage_gives_one() -> None:
    own = stage("byol", views={"set": "byol"}, other_views={"set": "byol-second"})
    assert [view.recipe.blur_probability for view in build("byol").views(own, 32)] == [1.0, 0.1]
    assert [view.recipe for view in build("byol").views(stage("byol"), 32)] == [ViewConfig()] * 2


def test_dinos_small_views_are_small_crops_in_fewer_pixels() -> None:
    first, second, *small = build("dino").views(stage("dino"), 224)
    assert (first.size, second.size) == (224, 224)
    assert [view.size for view in small] == [96]
    assert small[0].recipe.crop_scale == (0.05, 0.4)


@pytest.mark.parametrize("name", ["adamw", "sgd", "lars"])
def test_biases_and_norms_take_no_weight_decay(name: str) -> None:
    network = build("byol").trained
    decayed, plain = build_optimizer(network, stage("byol", optimizer=name, weight_decay=0.1)).param_groups
    assert decayed["weight_decay"] == 0.1
    assert plain["weight_decay"] == 0
    assert all(parameter.ndim > 1 for parameter in decayed["params"])
    assert len(decayed["params"]) + len(plain["params"]) == len(list(network.parameters()))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_paper_to_cite_is_the_source_that_the_file_names(name: str) -> None:
    """Supervised pretraining has no paper of its own."""
    sources = re.findall(r"arXiv (\d{4}\.\d{5})", sys.modules[OBJECTIVES[name].__module__].__doc__ or "")
    cited = re.findall(r"arXiv:(\d{4}\.\d{5})$", OBJECTIVES[name].reference)
    assert cited == sources[:1]
    assert references().get(name, "") == OBJECTIVES[name].reference


def test_the_table_of_methods_names_every_objective_with_its_options_and_their_defaults() -> None:
    text = (Path(__file__).parents[2] / "docs" / "pretraining.md").read_text().split("## Methods")[1].split("\n## ")[0]
    rows = {re.findall(r"`([^`]+)`", line)[0]: line for line in text.splitlines() if line.startswith("| `")}
    assert set(rows) >= set(OBJECTIVES)
    for name, objective in OBJECTIVES.items():
        fields = objective.options_type.model_fields
        lines = [line for line in text.splitlines() if line.startswith(f"| `{name}`")]
        described = " ".join(lines)
        assert not [key for key in fields if f"`{key}: {fields[key].default:g}`" not in described], name

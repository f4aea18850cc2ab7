"""Every objective passes one contract; BYOL's loss and moving average equal a version written out here."""

import copy

import pytest
import torch
from torch.nn import functional as F

from trainables.config import ModelConfig, StageConfig
from trainables.models.encoder import Encoder
from trainables.objectives import BYOL, OBJECTIVES, Objective
from trainables.objectives.optimizer import build_optimizer

MODEL = ModelConfig(encoder="resnet10", width=8)
HEADS = {"projection_hidden": 16, "projection_size": 8, "prediction_hidden": 16}


def stage(objective: str = "byol", **values: object) -> StageConfig:
    return StageConfig.model_validate({"objective": objective, "data": "natural", "epochs": 1, **HEADS, **values})


def build(name: str) -> Objective:
    torch.manual_seed(0)
    return OBJECTIVES[name](Encoder(MODEL, 1), stage(name), 3)


def views(objective: Objective) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(6, 1, 32, 32, generator=generator) for _ in range(objective.num_views)]


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_step_lowers_a_finite_loss_and_changes_the_kept_encoder(name: str) -> None:
    objective = build(name)
    optimizer = torch.optim.SGD(objective.trained.parameters(), lr=0.05)
    before = copy.deepcopy(objective.kept_encoder().state_dict())
    losses = []
    for step in range(8):
        result = objective(views(objective), torch.tensor([0, 1, 2] * 2))
        optimizer.zero_grad()
        result.loss.backward()
        optimizer.step()
        objective.after_step(step, 100)
        losses.append(float(result.loss.detach()))
    assert torch.isfinite(torch.tensor(losses)).all()
    assert losses[-1] < losses[0]
    after = objective.kept_encoder().state_dict()
    assert not torch.equal(before["conv1.weight"], after["conv1.weight"])
    assert not torch.equal(before["bn1.running_mean"], after["bn1.running_mean"])


@pytest.mark.parametrize("name", OBJECTIVES)
def test_features_have_one_row_per_sample_and_carry_no_gradient(name: str) -> None:
    objective = build(name)
    features = objective(views(objective), torch.tensor([0, 1, 2] * 2)).features
    assert features.shape == (6, 64)
    assert not features.requires_grad


def test_byols_loss_equals_minus_the_mean_cosine_of_both_directions() -> None:
    objective = build("byol")
    assert isinstance(objective, BYOL)
    first, second = views(objective)
    reference = copy.deepcopy(objective)
    loss = objective([first, second]).loss.detach()
    predict = [reference.online.predict(reference.online.project(reference.online.encoder(v))) for v in (first, second)]
    target = [reference.target_project(reference.target_encoder(v)) for v in (first, second)]
    cosines = [
        sum(float((F.normalize(p, dim=0) @ F.normalize(t, dim=0)).detach()) for p, t in zip(ps, ts, strict=True)) / 6
        for ps, ts in ((predict[0], target[1]), (predict[1], target[0]))
    ]
    assert float(loss) == pytest.approx(-sum(cosines) / 2, abs=1e-6)


def test_byols_copy_moves_towards_the_online_network_by_one_minus_the_momentum() -> None:
    objective = build("byol")
    assert isinstance(objective, BYOL)
    online, target = objective.online.encoder.conv1.weight, objective.target_encoder.conv1.weight
    online.data += 1.0
    before = target.detach().clone()
    objective.after_step(0, 100)  # at step 0 the momentum is its start, 0.99
    assert torch.allclose(target, 0.99 * before + 0.01 * online, atol=1e-6)


def test_no_gradient_reaches_byols_copy() -> None:
    objective = build("byol")
    assert isinstance(objective, BYOL)
    objective(views(objective)).loss.backward()
    assert all(parameter.grad is None for parameter in objective.target_encoder.parameters())
    assert all(parameter.grad is not None for parameter in objective.online.parameters())


@pytest.mark.parametrize("name", ["adamw", "sgd", "lars"])
def test_biases_and_norms_take_no_weight_decay(name: str) -> None:
    network = build("byol").trained
    decayed, plain = build_optimizer(network, stage(optimizer=name, weight_decay=0.1)).param_groups
    assert decayed["weight_decay"] == 0.1
    assert plain["weight_decay"] == 0
    assert all(parameter.ndim > 1 for parameter in decayed["params"])
    assert len(decayed["params"]) + len(plain["params"]) == len(list(network.parameters()))

"""One optimiser step, against its formula written out."""

import copy
from typing import Any

import lightly.utils.lars
import pytest
import torch
from torch import nn

from trainables.config import StageConfig
from trainables.objectives.lars import LARS
from trainables.optimisation import Optimisation, peak_learning_rate

CPU = torch.device("cpu")


def stage(**values: Any) -> StageConfig:
    recipe = {"objective": "byol", "data": "domain", "epochs": 1, "warmup_epochs": 0, "learning_rate": 0.1}
    return StageConfig.model_validate(recipe | values)


def network() -> nn.Module:
    """A layer with a weight and a bias, and a norm: their values are known."""
    built = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    with torch.no_grad():
        built[0].weight.copy_(torch.tensor([[3.0, 0.0], [0.0, 4.0]]))
        built[0].bias.copy_(torch.tensor([1.0, 2.0]))
    return built


def step_with(config: StageConfig, gradient: float = 1.0) -> nn.Module:
    """Take the first of ten steps with one gradient everywhere."""
    built = network()
    optimisation = Optimisation(built, config, 16, 10, CPU)
    optimisation.begin(0)
    optimisation.backward(gradient * sum(parameter.sum() for parameter in built.parameters()))  # type: ignore[arg-type]
    optimisation.step()
    return built


@pytest.mark.parametrize(("scaling", "expected"), [("none", 0.4), ("linear", 0.2), ("sqrt", 0.4 * 0.5**0.5)])
def test_the_learning_rate_is_scaled_with_the_batch_from_256(scaling: str, expected: float) -> None:
    config = stage(learning_rate=0.4, batch_size=4096, learning_rate_scaling=scaling)
    assert peak_learning_rate(config, batch_size=128) == pytest.approx(expected)  # of a set smaller than a batch


def test_a_step_is_taken_at_the_scaled_rate() -> None:
    moved = step_with(stage(optimizer="sgd", momentum=0.0, learning_rate_scaling="linear"))  # batches of 16
    assert moved[0].bias.tolist() == pytest.approx([1 - 0.1 * 16 / 256, 2 - 0.1 * 16 / 256])


def test_the_rate_follows_warm_up_and_cosine_step_by_step() -> None:
    optimisation = Optimisation(network(), stage(warmup_epochs=0.4, epochs=2), 16, 5, CPU)
    rates = []
    for step in range(10):
        optimisation.begin(step)
        rates.append(optimisation.learning_rate)
    assert rates[:3] == pytest.approx([0.1 / 3, 0.2 / 3, 0.1])
    assert rates[6] == pytest.approx(0.05)  # half way from step 2 to step 10
    assert rates == sorted(rates[:3]) + sorted(rates[3:], reverse=True)


def test_sgd_decays_weights_but_neither_biases_nor_norms() -> None:
    moved = step_with(stage(optimizer="sgd", momentum=0.0, weight_decay=0.5))
    assert moved[0].weight[0, 0].item() == pytest.approx(3 - 0.1 * (1 + 0.5 * 3))
    assert moved[0].bias.tolist() == pytest.approx([1 - 0.1, 2 - 0.1])
    assert moved[1].weight.tolist() == pytest.approx([0.9, 0.9])


def test_momentum_of_sgd_is_nesterovs() -> None:
    moved = step_with(stage(optimizer="sgd", momentum=0.9, weight_decay=0.0))
    assert moved[0].bias.tolist() == pytest.approx([1 - 0.1 * (1 + 0.9), 2 - 0.1 * (1 + 0.9)])


def test_lars_scales_each_weight_by_its_own_norms_and_leaves_biases_and_norms_to_sgd() -> None:
    moved = step_with(stage(optimizer="lars", momentum=0.0, weight_decay=0.5, trust_coefficient=0.02))
    weight_norm, gradient_norm = 5.0, 2.0  # of [[3, 0], [0, 4]] and of four ones
    trust = 0.02 * weight_norm / (gradient_norm + 0.5 * weight_norm)
    assert moved[0].weight[0, 0].item() == pytest.approx(3 - 0.1 * trust * (1 + 0.5 * 3))
    assert moved[0].weight[0, 1].item() == pytest.approx(0 - 0.1 * trust * 1)
    assert moved[0].bias.tolist() == pytest.approx([0.9, 1.9])
    assert moved[1].bias.tolist() == pytest.approx([-0.1, -0.1])


def groups_with(shapes: list[tuple[int, ...]], decay: float) -> list[dict[str, Any]]:
    """Two groups of weights, the second without decay; the first weight of each is 0 everywhere."""
    generator = torch.Generator().manual_seed(0)
    every = [[torch.randn(shape, generator=generator) for shape in shapes] for _ in range(2)]
    for weights in every:
        weights[0].zero_()
    return [{"params": weights, "weight_decay": wd} for weights, wd in zip(every, (decay, 0.0), strict=True)]


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_lars_is_lightlys_to_the_bit_and_goes_on_from_its_state(momentum: float) -> None:
    """One weight is 0, one has a gradient of 0 in the first three steps, and one has none in the fifth."""
    shapes = [(4, 3), (8, 4, 3, 3), (5, 2), (1, 1)]
    options = {"lr": 0.3, "momentum": momentum, "trust_coefficient": 0.02}
    theirs = lightly.utils.lars.LARS(groups_with(shapes, 1e-3), **options)
    ours = [LARS(groups_with(shapes, 1e-3), **options)]
    generator = torch.Generator().manual_seed(1)
    for step in range(6):
        for index, reference in enumerate(weights_of(theirs)):
            gradient = torch.randn(reference.shape, generator=generator) * (index % 4 != 2 or step > 2)
            for weight in (reference, *(weights_of(each)[index] for each in ours)):
                weight.grad = None if (index % 4, step) == (3, 4) else gradient.clone()
        for optimizer in (theirs, *ours):
            optimizer.step()
        for each in ours:
            assert all(torch.equal(*pair) for pair in zip(weights_of(each), weights_of(theirs), strict=True)), step
        if step == 3:
            ours.append(LARS(copy.deepcopy([{"params": group["params"]} for group in theirs.param_groups]), **options))
            ours[1].load_state_dict(copy.deepcopy(theirs.state_dict()))


def weights_of(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    return [weight for group in optimizer.param_groups for weight in group["params"]]


def test_lars_looks_at_no_number_and_so_waits_for_no_gpu() -> None:
    """Numbers on torch's meta device cannot be looked at, and lightly's asks whether norms are 0."""
    for kind in (LARS, lightly.utils.lars.LARS):
        weight = torch.zeros(3, 2, device="meta", requires_grad=True)
        weight.grad = torch.zeros_like(weight)
        groups = [{"params": [weight], "weight_decay": 0.1}]
        optimizer = kind(groups, lr=0.1, momentum=0.9, trust_coefficient=0.02)
        if kind is LARS:
            optimizer.step()
        else:
            with pytest.raises((RuntimeError, NotImplementedError), match="meta"):
                optimizer.step()


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_gradients_are_clipped_to_a_norm_over_all_parameters_whatever_scales_the_loss(precision: str) -> None:
    config = stage(optimizer="sgd", momentum=0.0, weight_decay=0.0, gradient_clip=1.0, precision=precision)
    moved = step_with(config, gradient=7.0)
    num_values = 4 + 2 + 2 + 2
    assert moved[0].bias[0].item() == pytest.approx(1 - 0.1 / num_values**0.5, rel=1e-5)


def test_a_scaled_loss_moves_weights_as_the_loss_itself_does() -> None:
    config = stage(optimizer="sgd", momentum=0.0, weight_decay=0.5, precision="fp16")
    moved = step_with(config, gradient=0.25)
    assert moved[0].bias.tolist() == pytest.approx([1 - 0.1 * 0.25, 2 - 0.1 * 0.25])
    assert moved[0].weight[0, 0].item() == pytest.approx(3 - 0.1 * (0.25 + 0.5 * 3))


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "lars"])
def test_a_step_of_fp16_whose_gradients_overflow_is_left_out_and_its_lower_scale_survives_a_resume(
    optimizer: str,
) -> None:
    """A bias takes no decay, so that the first step of each optimiser moves it by the rate where its gradient is 1."""
    config = stage(optimizer=optimizer, precision="fp16", **({"momentum": 0.0} if optimizer == "sgd" else {}))
    built = network()
    optimisation = Optimisation(built, config, 16, 10, CPU)
    scales = [optimisation.state_dict()["scaler"]["scale"]]
    for step, gradient in enumerate((float("inf"), 1.0)):
        optimisation.begin(step)
        optimisation.backward((gradient * built[0].bias).sum())
        if step == 0:
            optimisation.step()
            assert built[0].bias.tolist() == [1.0, 2.0]
            saved = optimisation.state_dict()
            scales.append(saved["scaler"]["scale"])
            optimisation = Optimisation(built, config, 16, 10, CPU)
            optimisation.load_state_dict(saved)
    assert built[0].bias.grad is not None
    assert built[0].bias.grad.tolist() == [scales[1]] * 2  # what the loss was multiplied by
    assert scales[1] == scales[0] / 2
    optimisation.step()
    assert built[0].bias.tolist() == pytest.approx([1 - optimisation.learning_rate, 2 - optimisation.learning_rate])


def test_a_state_that_is_loaded_goes_on_with_its_momentum() -> None:
    config, gradient = stage(optimizer="sgd", momentum=0.9, weight_decay=0.0), torch.ones(2)
    ended = []
    for is_interrupted in (False, True):
        built = network()
        optimisation = Optimisation(built, config, 16, 10, CPU)
        for step in range(4):
            if step == 2 and is_interrupted:
                saved = optimisation.state_dict()
                optimisation = Optimisation(built, config, 16, 10, CPU)
                optimisation.load_state_dict(saved)
            optimisation.begin(step)
            optimisation.backward((built[0].bias * gradient).sum())
            optimisation.step()
        ended.append(built[0].bias.tolist())
    assert ended[0] == ended[1]


def test_a_forward_pass_is_in_the_precision_that_was_asked_for() -> None:
    for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)):
        optimisation = Optimisation(network(), stage(precision=precision), 16, 1, CPU)
        with optimisation.autocast():
            assert nn.functional.linear(torch.ones(1, 2), torch.ones(2, 2)).dtype == dtype


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"batch_size": 10, "micro_batches": 4}, r"micro_batches: expected a divisor of batch_size=10, found 4"),
        ({"data": "natural", "probe_every_epochs": 1}, r"probe_every_epochs: expected 0 with data: natural"),
        ({"optimizer": "lars", "weight_decay": 0}, r"weight_decay: expected above 0 with lars.* found 0"),
        ({"momentum": 0.8}, r"momentum: expected none with optimizer=adamw, .* found 0.8; it is of sgd and lars"),
        ({"optimizer": "sgd", "trust_coefficient": 0.02}, r"trust_coefficient: expected none with optimizer=sgd"),
        ({"milestones": (3, 2)}, r"milestones: expected rising epochs from 1, found \(3, 2\)"),
        ({"epochs": 5, "milestones": (2, 9)}, r"milestones: the last must be epochs=5, found 9"),
    ],
)
def test_a_stage_that_contradicts_itself_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        stage(**values)

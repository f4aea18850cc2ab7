"""Floating-point operations of a step, against those of layers worked out by hand."""

import copy

import torch
from torch import nn

from trainables.cost import StepFlops


def test_a_convolution_costs_two_operations_a_product_forward_and_as_many_for_its_weights() -> None:
    layer, flops = nn.Conv2d(3, 4, kernel_size=3, padding=1), StepFlops(is_compiled=False)
    with flops.counted():
        layer(torch.zeros(2, 3, 8, 8)).sum().backward()
    products = 2 * (4 * 8 * 8) * (3 * 3 * 3)  # samples, outputs, inputs of each; the images take no gradient
    assert flops.of_steps(5, num_workers=3) == 5 * 3 * 2 * (products + products)


def test_a_layer_behind_another_hands_gradients_on_at_the_same_cost() -> None:
    layers, flops = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3)), StepFlops(is_compiled=False)
    with flops.counted():
        layers(torch.zeros(4, 5)).sum().backward()
    assert flops.of_steps(1, num_workers=1) == 2 * 4 * (2 * 5 * 7 + 3 * 7 * 3)


def test_only_the_first_step_is_counted() -> None:
    layer, flops = nn.Linear(5, 7, bias=False), StepFlops(is_compiled=False)
    for num_samples in (1, 100):
        with flops.counted():
            layer(torch.zeros(num_samples, 5))
    assert flops.of_steps(1, num_workers=1) == 2 * 5 * 7


def test_nothing_is_known_of_a_compiled_network() -> None:
    flops = StepFlops(is_compiled=True)
    with flops.counted():
        nn.Linear(5, 7)(torch.zeros(1, 5))
    assert flops.of_steps(1, num_workers=1) is None


def test_counting_changes_neither_gradients_nor_statistics_nor_the_random_stream() -> None:
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5))
    counted, images = copy.deepcopy(plain), torch.randn(2, 1, 8, 8)
    torch.manual_seed(1)
    plain(images).square().sum().backward()
    torch.manual_seed(1)
    with StepFlops(is_compiled=False).counted():
        counted(images).square().sum().backward()
    after = counted.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in plain.state_dict().items())
    for first, second in zip(plain.parameters(), counted.parameters(), strict=True):
        assert first.grad is not None
        assert torch.equal(first.grad, second.grad)

"""Where a network's convolutions run once it is placed on a CPU."""

import pytest
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from torchvision.models.resnet import Bottleneck

from trainables.placement import network_to_device

CPU = torch.device("cpu")
BLAS_CONVOLUTION = "aten::_slow_conv2d_forward"
needs_onednn = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch is built without oneDNN")


@pytest.fixture
def one_thread():
    """As in a worker; with more threads torch takes oneDNN by itself."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def bottleneck() -> nn.Module:
    """ResNet-50's block: a pointwise convolution on either side of one of 3 x 3."""
    torch.manual_seed(0)
    return Bottleneck(64, 16)


def operations(network: nn.Module, images: Tensor) -> set[str]:
    with profile(activities=[ProfilerActivity.CPU]) as recorded:
        network(images).sum().backward()
    return {event.key for event in recorded.key_averages()}


@needs_onednn
@pytest.mark.usefixtures("one_thread")
def test_no_convolution_of_a_small_batch_is_left_to_the_blas():
    images = torch.randn(2, 64, 8, 8).contiguous(memory_format=torch.channels_last)
    plain = bottleneck().to(memory_format=torch.channels_last)
    if BLAS_CONVOLUTION not in operations(plain, images):
        pytest.skip("this torch takes oneDNN by itself")
    found = operations(network_to_device(bottleneck(), CPU), images)
    assert "aten::mkldnn_convolution" in found
    assert BLAS_CONVOLUTION not in found


@pytest.mark.usefixtures("one_thread")
def test_a_placed_network_computes_what_it_did():
    images = torch.randn(2, 64, 8, 8)
    plain, placed = bottleneck().double(), network_to_device(bottleneck().double(), CPU)
    for network in (plain, placed):
        network(images.double()).square().sum().backward()
    torch.testing.assert_close(placed(images.double()), plain(images.double()))
    for (name, expected), found in zip(plain.named_parameters(), placed.parameters(), strict=True):
        torch.testing.assert_close(found.grad, expected.grad, msg=lambda text, name=name: f"{name}: {text}")


def test_a_placed_network_has_its_channels_last_and_the_same_state():
    placed = network_to_device(bottleneck(), CPU)
    assert placed.conv2.weight.is_contiguous(memory_format=torch.channels_last)
    state, expected = placed.state_dict(), bottleneck().state_dict()
    assert list(state) == list(expected)
    assert all(torch.equal(state[name], expected[name]) for name in expected)


def test_convolutions_on_another_device_are_left_as_they_are():
    placed = network_to_device(bottleneck(), torch.device("meta"))
    assert {module.dilation for module in placed.modules() if isinstance(module, nn.Conv2d)} == {(1, 1)}

"""Weights in and out: strict, safe, and equal to torchvision's and smp's networks."""

from pathlib import Path

import pytest
import segmentation_models_pytorch as smp
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor

from trainables.config import ModelConfig
from trainables.models.encoder import Encoder
from trainables.models.segmenter import Segmenter
from trainables.weights import WeightsError, adapt_channels, build_encoder, check_unchanged, check_weights, save_encoder
from trainables.weights.files import read_tensors

SMALL = ModelConfig(encoder="resnet10", width=8, decoder_channels=(8, 8, 8, 8, 8))


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_the_encoder_equals_torchvisions_features_key_by_key(name: str, tmp_path: Path) -> None:
    reference = getattr(torchvision.models, name)(weights=None).eval()
    path = tmp_path / "weights.pth"
    torch.save(reference.state_dict(), path)
    encoder = build_encoder(ModelConfig(encoder=name), f"file:{path}", in_channels=3, seed=0).eval()  # type: ignore[arg-type]
    images = torch.randn(2, 3, 64, 64)
    reference.fc = torch.nn.Identity()
    assert torch.equal(encoder(images), reference(images))


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_the_u_net_equals_smps_with_the_same_state_dict(name: str) -> None:
    config = ModelConfig(encoder=name)  # type: ignore[arg-type]
    network = Segmenter(Encoder(config, 1), config, 4).eval()
    reference = smp.Unet(name, encoder_weights=None, in_channels=1, classes=4).eval()
    reference.load_state_dict(network.state_dict())
    images = torch.randn(2, 1, 64, 64)
    assert torch.equal(network(images), reference(images))


@pytest.mark.parametrize("in_channels", [1, 2, 3, 4])
@pytest.mark.parametrize("of_weights", [1, 2, 3])
def test_a_grey_image_has_equal_features_however_many_channels_repeat_it(in_channels: int, of_weights: int) -> None:
    before = torch.nn.Conv2d(of_weights, 4, 3, bias=False)
    after = torch.nn.Conv2d(in_channels, 4, 3, bias=False)
    after.weight.data = adapt_channels(before.weight.data, in_channels)
    image = torch.randn(1, 1, 8, 8)
    repeated = image.expand(-1, in_channels, -1, -1), image.expand(-1, of_weights, -1, -1)
    assert torch.allclose(after(repeated[0]), before(repeated[1]), atol=1e-6)


def test_weights_for_grey_images_are_those_that_timm_makes_of_rgb_ones() -> None:
    from timm.models import adapt_input_conv

    rgb = torch.randn(4, 3, 7, 7)
    assert torch.allclose(adapt_channels(rgb, 1), adapt_input_conv(1, rgb), atol=1e-6)


def test_the_scale_of_the_input_does_not_reach_an_encoder_in_training() -> None:
    encoder = Encoder(SMALL, 1).train()
    images = 10 * torch.randn(4, 1, 64, 64)
    assert torch.allclose(encoder(images), encoder(3 * images), atol=1e-3)


def saved(tmp_path: Path, state: dict[str, Tensor]) -> str:
    save_file(state, tmp_path / "w.safetensors")
    return f"file:{tmp_path / 'w.safetensors'}"


def test_a_file_is_read_once_and_training_what_was_built_changes_nothing_that_is_built_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = Encoder(SMALL, 3).state_dict()
    counters = {key for key in state if key.endswith("num_batches_tracked")}
    source = saved(tmp_path, {key: state[key] for key in state if key not in counters})
    reads = []
    monkeypatch.setattr(
        "trainables.weights.loading.read_tensors", lambda path: reads.append(path) or read_tensors(path)
    )
    first, second = (build_encoder(SMALL, source, 1, seed) for seed in (0, 1))
    for parameter in first.parameters():
        parameter.data += 1
    first.train()(torch.randn(2, 1, 64, 64))
    third = build_encoder(SMALL, source, 1, 0)
    expected = {key: adapt_channels(value, 1) if key == "conv1.weight" else value for key, value in state.items()}
    for encoder in (second, third):
        assert all(torch.equal(value, expected[key]) for key, value in encoder.state_dict().items())
        assert all(parameter.requires_grad for parameter in encoder.parameters())
    assert len(reads) == 1
    build_encoder(SMALL, source, 3, 0)  # fitted to other channels
    assert len(reads) == 2


def test_a_file_that_was_replaced_is_read_and_checked_again(tmp_path: Path) -> None:
    source = saved(tmp_path, Encoder(SMALL, 1).state_dict())
    weights_id = check_weights(source, SMALL).weights_id
    check_unchanged(source, weights_id)
    other = Encoder(SMALL, 1).state_dict()
    saved(tmp_path, other)
    assert torch.equal(build_encoder(SMALL, source, 1, 0).conv1.weight, other["conv1.weight"])
    with pytest.raises(WeightsError, match="differ from those that the run was planned with"):
        check_unchanged(source, weights_id)


def test_weights_of_another_encoder_are_refused_with_their_keys(tmp_path: Path) -> None:
    source = saved(tmp_path, Encoder(ModelConfig(encoder="resnet18"), 1).state_dict())
    looks = r"do not fit resnet10 of width 8: the file looks like resnet18 of width 64; "
    with pytest.raises(WeightsError, match=looks + r".*unexpected \(layer1\.1\.bn1\.bias.*another shape"):
        check_weights(source, SMALL)


def test_a_missing_key_is_refused_by_name(tmp_path: Path) -> None:
    state = Encoder(SMALL, 1).state_dict()
    del state["layer3.0.conv1.weight"]
    with pytest.raises(WeightsError, match=r"1 missing \(layer3\.0\.conv1\.weight \(32, 16, 3, 3\)\)"):
        check_weights(saved(tmp_path, state), SMALL)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("imagenet", r"expected random, torchvision:.*, timm:.*, hf:ORG/REPO.* or file:PATH"),
        ("file:", r"expected random, "),
        ("hf:resnet-50", r"expected random, .*hf:ORG/REPO"),
        ("torchvison:ResNet50_Weights.X", r"did you mean 'torchvision:ResNet50_Weights\.X'"),
        (__file__, r"did you mean 'file:/.*test_weights\.py'"),
        ("file:/nowhere/w.pth", r"/nowhere/w\.pth does not exist"),
        ("torchvision:ResNet50_Weights.IMAGENET", r"no such name; did you mean 'ResNet50_Weights\.IMAGENET1K_V"),
        ("timm:resnet18", r"a ResNet's name with its tag; there are .*resnet18\.a1_in1k"),
        ("timm:resnetaa50.a1h_in1k", r"a ResNet's name with its tag; did you mean 'resnet50\."),
    ],
)
def test_unknown_sources_are_refused_not_replaced_by_random_ones(source: str, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        check_weights(source, SMALL)


def test_a_saved_encoder_loads_back_and_is_identified_by_its_content(tmp_path: Path) -> None:
    encoder = Encoder(SMALL, 1)
    path = tmp_path / "encoder.safetensors"
    save_encoder(path, encoder.state_dict(), {"stage": "x"})
    loaded = build_encoder(SMALL, f"file:{path}", 1, seed=5).state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in encoder.state_dict().items())
    first = check_weights(f"file:{path}", SMALL).weights_id
    save_encoder(path, Encoder(SMALL, 1).state_dict(), {"stage": "x"})
    assert first.startswith("sha256:")
    assert check_weights(f"file:{path}", SMALL).weights_id != first
    with pytest.raises(WeightsError, match="differ from those that the run was planned with"):
        check_unchanged(f"file:{path}", first)


def test_a_checkpoint_in_half_precision_is_loaded_in_single(tmp_path: Path) -> None:
    source = saved(tmp_path, {key: value.half() for key, value in Encoder(SMALL, 3).state_dict().items()})
    assert build_encoder(SMALL, source, 1, seed=0).conv1.weight.dtype == torch.float32


def test_random_weights_depend_on_the_seed_alone() -> None:
    first, again, other = (build_encoder(SMALL, "random", 1, seed).conv1.weight for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)

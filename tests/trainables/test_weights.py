"""Weights in and out: strict, safe, and equal to torchvision's and smp's networks."""

import pickle
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
from trainables.weights import WeightsError, adapt_channels, build_encoder, check_weights, save_encoder

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


def test_rgb_weights_summed_over_channels_see_a_grey_image_as_before() -> None:
    rgb = torch.nn.Conv2d(3, 4, 3, bias=False)
    grey = torch.nn.Conv2d(1, 4, 3, bias=False)
    grey.weight.data = adapt_channels(rgb.weight.data, 1)
    image = torch.randn(1, 1, 8, 8)
    assert torch.allclose(grey(image), rgb(image.repeat(1, 3, 1, 1)), atol=1e-6)


def test_grey_weights_spread_over_three_channels_see_a_grey_image_as_before() -> None:
    weight = torch.randn(4, 1, 3, 3)
    assert torch.allclose(adapt_channels(weight, 3).sum(1, keepdim=True), weight, atol=1e-6)


@pytest.mark.parametrize("prefix", ["", "module.", "momentum_backbone.", "encoder.", "module.encoder."])
def test_wrapper_prefixes_are_stripped(tmp_path: Path, prefix: str) -> None:
    source = Encoder(SMALL, 1).state_dict()
    torch.save({"state_dict": {prefix + key: value for key, value in source.items()}}, tmp_path / "w.pth")
    loaded = build_encoder(SMALL, f"file:{tmp_path / 'w.pth'}", 1, seed=1).state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in source.items())


def saved(tmp_path: Path, state: dict[str, Tensor]) -> str:
    save_file(state, tmp_path / "w.safetensors")
    return f"file:{tmp_path / 'w.safetensors'}"


def test_weights_of_another_encoder_are_refused_with_their_keys(tmp_path: Path) -> None:
    source = saved(tmp_path, Encoder(ModelConfig(encoder="resnet18"), 1).state_dict())
    with pytest.raises(
        WeightsError, match=r"do not fit resnet10 of width 8: .*unexpected \(layer1\.1\.bn1\.bias.*another shape"
    ):
        check_weights(source, SMALL)


def test_a_missing_key_is_refused_by_name(tmp_path: Path) -> None:
    state = Encoder(SMALL, 1).state_dict()
    del state["layer3.0.conv1.weight"]
    with pytest.raises(WeightsError, match=r"1 missing \(layer3\.0\.conv1\.weight\)"):
        check_weights(saved(tmp_path, state), SMALL)


def test_pickled_code_is_never_executed(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "exploded",))

    (tmp_path / "bomb.pth").write_bytes(pickle.dumps(Bomb(), protocol=2))
    with pytest.raises(WeightsError, match=r"bomb\.pth cannot be read"):
        check_weights(f"file:{tmp_path / 'bomb.pth'}", SMALL)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("imagenet", "expected random, file:PATH or torchvision:NAME"),
        ("file:/nowhere/w.pth", r"/nowhere/w\.pth does not exist"),
        ("torchvision:ResNet50_Weights.IMAGENET", "torchvision has no such name"),
    ],
)
def test_unknown_sources_are_refused_not_replaced_by_random_ones(source: str, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        check_weights(source, SMALL)


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    source = saved(tmp_path, Encoder(SMALL, 1).state_dict())
    path = tmp_path / "w.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(WeightsError, match="cannot be read"):
        check_weights(source, SMALL)


def test_a_saved_encoder_loads_back_and_is_identified_by_its_content(tmp_path: Path) -> None:
    encoder = Encoder(SMALL, 1)
    path = tmp_path / "encoder.safetensors"
    save_encoder(path, encoder.state_dict(), {"stage": "x"})
    loaded = build_encoder(SMALL, f"file:{path}", 1, seed=5).state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in encoder.state_dict().items())
    first = check_weights(f"file:{path}", SMALL)
    save_encoder(path, Encoder(SMALL, 1).state_dict(), {"stage": "x"})
    assert first.startswith("sha256:")
    assert check_weights(f"file:{path}", SMALL) != first


def test_random_weights_depend_on_the_seed_alone() -> None:
    first, again, other = (build_encoder(SMALL, "random", 1, seed).conv1.weight for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)

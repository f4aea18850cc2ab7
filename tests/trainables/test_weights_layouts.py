"""One encoder written in every layout that libraries use is read back equal; what is unclear is an error."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn

from trainables.config import ModelConfig
from trainables.models.encoder import Encoder
from trainables.weights import WeightsError, build_encoder, check_unchanged, check_weights

SMALL = ModelConfig(encoder="resnet10", width=8)
KNOWN, OTHER = Encoder(SMALL, 3), Encoder(SMALL, 3)
State = dict[str, Tensor]


def named(network: nn.Module = KNOWN, prefix: str = "") -> State:
    return {prefix + key: value for key, value in network.state_dict().items()}


def numbered(network: nn.Module = KNOWN, prefix: str = "") -> State:
    """The keys of ``nn.Sequential`` over a ResNet's children, as torch itself writes them."""
    return named(nn.Sequential(*network.children()), prefix)


def head(prefix: str) -> State:
    return {f"{prefix}.weight": torch.ones(2, 64), f"{prefix}.bias": torch.ones(2)}


LAYOUTS: dict[str, Callable[[], Any]] = {
    "torchvision": lambda: named() | head("fc"),
    "torchvision's training script": lambda: {"model": named(OTHER), "model_ema": named(prefix="module.")},
    "timm's training script": lambda: {"state_dict": named(OTHER), "state_dict_ema": named(), "arch": "resnet10"},
    "before batch norm counted": lambda: {k: v for k, v in named().items() if "num_batches" not in k},
    "DDP": lambda: named(prefix="module.") | head("module.fc"),
    "torch.compile": lambda: named(prefix="_orig_mod."),
    "torch.compile in DDP": lambda: {"model": named(prefix="module._orig_mod.")},
    "Lightning, model": lambda: {"state_dict": named(prefix="model."), "hyper_parameters": {"lr": 0.1}, "epoch": 3},
    "Lightning, backbone": lambda: {"state_dict": named(prefix="backbone.") | head("classifier")},
    "smp": lambda: named(prefix="encoder.") | head("decoder.blocks.0") | head("segmentation_head.0"),
    "smp on timm": lambda: named(prefix="encoder.model."),
    "an encoder with its decoder": lambda: named() | head("decoder.blocks.0.conv1.0"),
    "lightly": lambda: {"state_dict": numbered(prefix="backbone.") | head("projection_head.layers.0")},
    "lightly, two networks": lambda: numbered(OTHER, "backbone.") | numbered(KNOWN, "backbone_momentum."),
    "lightly, the bare backbone": numbered,
    "lightly-train's export": named,
    "solo-learn": lambda: {"state_dict": named(OTHER, "backbone.") | named(prefix="momentum_backbone.")},
    "solo-learn before 1.0.5": lambda: {"state_dict": named(OTHER, "encoder.") | named(prefix="momentum_encoder.")},
    "the paper, ACDC after ImageNet": lambda: named(prefix="momentum_backbone."),
    "the paper, ImageNet": lambda: {
        "online_backbone": numbered(OTHER, "module.encoder."),
        "target_backbone": numbered(KNOWN, "module.encoder."),
    },
    "MoCo": lambda: {
        "arch": "resnet10",
        "state_dict": named(prefix="module.encoder_q.")
        | head("module.encoder_q.fc.0")
        | named(OTHER, "module.encoder_k.")
        | {"module.queue": torch.ones(4, 8)},
    },
    "MoCo v3": lambda: {"state_dict": named(prefix="module.base_encoder.") | named(OTHER, "module.momentum_encoder.")},
    "SwAV": lambda: named(prefix="module.") | head("module.prototypes") | head("module.projection_head.0"),
    "DINO": lambda: {
        "student": named(OTHER, "module.backbone.") | head("module.head.mlp.0"),
        "teacher": named(prefix="backbone.") | head("head.mlp.0"),
    },
    "VISSL": lambda: {
        "phase_idx": 100,
        "classy_state_dict": {"base_model": {"model": {"trunk": named(prefix="_feature_blocks."), "heads": {}}}},
    },
}


def saved(tmp_path: Path, content: Any) -> str:
    torch.save(content, tmp_path / "weights.pth")
    return f"file:{tmp_path / 'weights.pth'}"


def is_equal(source: str, network: nn.Module) -> bool:
    loaded = build_encoder(SMALL, source, 3, seed=1).state_dict()
    return all(torch.equal(loaded[key], value) for key, value in network.state_dict().items())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_encoder_in_any_layout_is_read_back_equal(layout: str, tmp_path: Path) -> None:
    assert is_equal(saved(tmp_path, LAYOUTS[layout]()), KNOWN)


def test_numbered_layers_of_a_torchvision_network_give_its_features(tmp_path: Path) -> None:
    reference = nn.Sequential(*list(torchvision.models.resnet18().children())[:-1]).eval()
    source = saved(tmp_path, reference.state_dict())
    encoder = build_encoder(ModelConfig(encoder="resnet18"), source, 3, seed=0).eval()
    images = torch.randn(2, 3, 48, 48)
    assert torch.equal(encoder(images), reference(images).flatten(1))


def test_the_report_says_what_was_matched_what_ignored_and_what_else_is_inside(tmp_path: Path) -> None:
    report = check_weights(saved(tmp_path, LAYOUTS["MoCo"]()), SMALL).report
    num_keys = len(KNOWN.state_dict())
    assert report == (
        f"{num_keys} of {num_keys} encoder keys matched; 2 of heads ignored (fc.0.weight, fc.0.bias); "
        f"{num_keys + 1} other tensors ignored; layout: MoCo, query encoder, below state_dict.module.encoder_q; "
        "also inside: state_dict.module.encoder_k (file:PATH#PREFIX takes another)"
    )


def test_another_network_of_a_file_is_taken_by_its_prefix(tmp_path: Path) -> None:
    source = saved(tmp_path, LAYOUTS["solo-learn"]())
    assert is_equal(f"{source}#state_dict.backbone", OTHER)
    assert is_equal(f"{source}#state_dict.momentum_backbone.", KNOWN)


def test_networks_of_one_file_have_ids_of_their_own(tmp_path: Path) -> None:
    source = saved(tmp_path, LAYOUTS["solo-learn"]())
    chosen = f"{source}#state_dict.backbone"
    found = check_weights(chosen, SMALL).weights_id
    assert check_weights(source, SMALL).weights_id != found
    check_unchanged(chosen, found)
    with pytest.raises(WeightsError, match="differ from those that the run was planned with"):
        check_unchanged(source, found)


def test_networks_without_a_known_preference_are_a_question_not_a_guess(tmp_path: Path) -> None:
    source = saved(tmp_path, named(prefix="left.") | named(OTHER, "right."))
    with pytest.raises(WeightsError, match=r"2 networks \(left, right\); choose one, as in file:PATH#left"):
        check_weights(source, SMALL)
    assert is_equal(f"{source}#right", OTHER)


def test_weights_without_batch_norms_counters_are_told_so(tmp_path: Path) -> None:
    report = check_weights(saved(tmp_path, LAYOUTS["before batch norm counted"]()), SMALL).report
    num_counters = sum(isinstance(module, nn.BatchNorm2d) for module in KNOWN.modules())
    assert f"; {num_counters} counters of batch norm absent, which nothing reads; " in report


def test_a_prefix_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"no network 'teacher'; expected one of model"):
        check_weights(saved(tmp_path, named(prefix="model.")) + "#teacher", SMALL)


def test_a_path_with_a_hash_sign_is_a_path(tmp_path: Path) -> None:
    (tmp_path / "run #3").mkdir()
    assert is_equal(saved(tmp_path / "run #3", named()), KNOWN)


@pytest.mark.parametrize(
    ("rename", "message"),
    [
        (("layer", "stage"), r"no ResNet with the names of torchvision, or numbered ones; its keys: conv1\.weight"),
        (("layer3.0", "layer3.first"), r"missing \(layer3\.0\.bn1\.bias \(32,\)"),
        (("bn1.weight", "bn1.gamma"), r"missing \(bn1\.weight \(8,\)"),
        ((r"conv1\.weight", "conv1.0.weight"), r"unexpected \(conv1\.0\.weight \(8, 3, 7, 7\)"),
        ((r"conv1\.", "stem.conv1."), r"1 missing \(conv1\.weight.*1 unexpected \(stem\.conv1\.weight"),
    ],
)
def test_no_name_that_is_not_understood_is_left_at_random(
    rename: tuple[str, str], message: str, tmp_path: Path
) -> None:
    before, after = rename
    state = {re.sub(f"^{before}", after, key): value for key, value in named().items()}
    with pytest.raises(WeightsError, match=message):
        build_encoder(SMALL, saved(tmp_path, state), 3, seed=0)


def test_a_layer_that_the_encoder_lacks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"2 unexpected \(attnpool\.bias \(2,\), attnpool\.weight \(2, 64\)\)"):
        check_weights(saved(tmp_path, named() | head("attnpool")), SMALL)


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet101", "wide_resnet50_2"])
def test_weights_of_another_architecture_are_named(name: str, tmp_path: Path) -> None:
    with torch.device("meta"):
        shapes = getattr(torchvision.models, name)().state_dict()
    source = saved(tmp_path, {key: torch.zeros(()).expand(value.shape) for key, value in shapes.items()})
    looks = "128 instead of|of another shape" if name.startswith("wide") else f"looks like {name} of width 64"
    with pytest.raises(WeightsError, match=f"do not fit resnet50 of width 64: .*({looks})"):
        check_weights(source, ModelConfig(encoder="resnet50"))


def test_numbers_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    state = named() | {"layer2.0.bn1.running_var": torch.full((16,), torch.nan)}
    with pytest.raises(WeightsError, match=r"1 not finite \(layer2\.0\.bn1\.running_var\)"):
        check_weights(saved(tmp_path, state), SMALL)

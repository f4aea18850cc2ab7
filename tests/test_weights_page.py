"""docs/weights.md is true: its code loads an encoder elsewhere, its commands run, its tables are complete."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from trainables.config import ModelConfig
from trainables.models.encoder import Encoder
from trainables.weights import build_encoder, check_weights, save_encoder
from trainables.weights.__main__ import main
from trainables.weights.files import CONVERSION
from trainables.weights.layouts import PREFERRED
from trainables.weights.source import KINDS

PAGE = (Path(__file__).parents[1] / "docs" / "weights.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
RESNET50 = ModelConfig(encoder="resnet50")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the page's encoder.safetensors."""
    path = tmp_path_factory.mktemp("page") / "encoder.safetensors"
    save_encoder(path, Encoder(RESNET50, 1).state_dict(), {"licence": "MIT"})
    return path.parent


def features(network: Any, images: Tensor) -> Tensor:
    if hasattr(network, "encoder"):
        return torch.nn.functional.adaptive_avg_pool2d(network.encoder(images)[-1], 1).flatten(1)
    result: Tensor = network(images)
    return result


@pytest.mark.parametrize("library", ["torchvision", "timm", "segmentation_models_pytorch"])
def test_the_pages_code_loads_an_encoder_that_computes_the_same(
    library: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    (block,) = (block for block in BLOCKS if f"import {library}" in block or f", {library}" in block)
    assert len([line for line in block.splitlines() if line and "import" not in line]) <= 3
    names: dict[str, Any] = {}
    exec(block, names)
    own = build_encoder(RESNET50, "file:encoder.safetensors", 1, seed=0).eval()
    images = torch.randn(2, 1, 64, 64)
    with torch.no_grad():
        assert torch.allclose(features(names["network"].eval(), images), own(images), atol=1e-5)


def test_the_pages_look_at_a_file_prints_what_was_matched(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    (line,) = re.findall(r"^python -m trainables\.weights (.*)$", PAGE, re.MULTILINE)
    assert main(shlex.split(line)) == 0
    assert re.match(r"318 of 318 encoder keys matched; .*\nsha256:\w{64}; licence: MIT\n", capsys.readouterr().out)


def test_the_pages_report_of_a_moco_checkpoint_is_what_is_printed(folder: Path) -> None:
    network = Encoder(RESNET50, 3).state_dict() | {"fc.weight": torch.zeros(128, 2048), "fc.bias": torch.zeros(128)}
    both = {f"module.encoder_{which}.{key}": value for which in "qk" for key, value in network.items()}
    both |= {"module.queue": torch.zeros(128, 8), "module.queue_ptr": torch.zeros(1)}
    torch.save({"epoch": 200, "arch": "resnet50", "state_dict": both}, folder / "moco.pth")
    assert f"\n{check_weights(f'file:{folder}/moco.pth', RESNET50).report}\n" in PAGE


def test_the_page_names_every_kind_of_source_every_preferred_network_and_the_conversion() -> None:
    assert all(f"| `{kind}" in PAGE for kind in KINDS)
    assert all(f"| `{mark}` |" in PAGE for mark in PREFERRED)
    assert CONVERSION in PAGE

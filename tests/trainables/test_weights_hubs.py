"""Names of hubs: what was fetched once works without network, and what cannot be fetched says at once how to go on."""

import hashlib
import io
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.error import URLError

import huggingface_hub
import pytest
import torch
import torchvision
from huggingface_hub.errors import EntryNotFoundError
from safetensors.torch import save_file

from trainables.config import ModelConfig
from trainables.models.encoder import Encoder
from trainables.weights import WeightsError, check_weights
from trainables.weights.__main__ import main
from trainables.weights.source import locate

RESNET18 = ModelConfig(encoder="resnet18")
CARD = "---\nlicense: cc-by-nc-4.0\n---\n# A model\n"


@pytest.fixture(autouse=True)
def no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hubs' caches are empty folders, and whoever opens a connection fails the test."""

    def refuse(*_: Any) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "torch"))


def cached(tmp_path: Path, repo: str, *names: str, card: str = "", revision: str = "main") -> Path:
    """Lay files out as the hub's cache has them; they hold a ResNet-18, each with another seed."""
    root, commit = tmp_path / "hub" / f"models--{repo.replace('/', '--')}", "a" * 40
    folder = root / "snapshots" / commit
    folder.mkdir(parents=True)
    (root / "refs").mkdir()
    (root / "refs" / revision).write_text(commit)
    for name in names:
        state = Encoder(RESNET18, 3).state_dict()
        save_file(state, folder / name) if name.endswith(".safetensors") else torch.save(state, folder / name)
    if card:
        (folder / "README.md").write_text(card)
    return folder


@pytest.mark.parametrize("source", ["timm:resnet18.a1_in1k", "hf:timm/resnet18.a1_in1k"])
def test_a_cached_file_of_the_hub_is_used_without_network_and_safetensors_are_preferred(
    source: str, tmp_path: Path
) -> None:
    folder = cached(tmp_path, "timm/resnet18.a1_in1k", "pytorch_model.bin", "model.safetensors")
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert check_weights(source, RESNET18).weights_id == f"sha256:{digest}"


def test_a_revision_and_a_file_can_be_named(tmp_path: Path) -> None:
    folder = cached(tmp_path, "clinic/encoders", "model.safetensors", "byol.pth", revision="v2")
    assert locate("hf:clinic/encoders@v2#byol.pth").path == folder / "byol.pth"
    assert locate("hf:clinic/encoders@v2").path == folder / "model.safetensors"


@pytest.mark.parametrize(
    ("source", "card", "licence"),
    [
        ("hf:clinic/encoders", CARD, "cc-by-nc-4.0"),
        ("hf:clinic/encoders", "---\ntags:\n- mri\nlicense: MIT \nx: 1\n---\n", "MIT"),
        ("hf:clinic/encoders", "# No licence is named\n", "unknown"),
        ("hf:clinic/encoders", "---\ntags: [\n---\nlicense: in the text\n", "unknown"),
        ("hf:clinic/encoders", "", "unknown"),
        ("timm:resnet18.a1_in1k", "", "apache-2.0"),
        ("timm:resnet18.fb_swsl_ig1b_ft_in1k", "", "cc-by-nc-4.0"),
    ],
)
def test_the_licence_is_timms_or_the_model_cards_or_unknown(
    source: str, card: str, licence: str, tmp_path: Path
) -> None:
    repo = source.removeprefix("hf:").replace("timm:", "timm/")
    cached(tmp_path, repo, "model.safetensors", card=card)
    assert locate(source).licence == licence


def test_a_hub_that_cannot_be_reached_is_asked_once_and_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def fail(url: str, timeout: float) -> None:
        asked.append(timeout)
        raise ConnectionError("no route to host")

    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", fail)
    expected = (
        r"'hf:clinic/encoders' cannot be fetched \(no route to host\); download http.*/model\.safetensors .*file:PATH"
    )
    with pytest.raises(WeightsError, match=expected):
        check_weights("hf:clinic/encoders", RESNET18)
    assert len(asked) == 1
    assert asked[0] <= 10  # seconds


def fake_hub(monkeypatch: pytest.MonkeyPatch, files: dict[str, Path]) -> None:
    def metadata(url: str, timeout: float) -> None:
        if url.rpartition("/")[2] not in files:
            raise EntryNotFoundError("404")

    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", metadata)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda repo, name, revision: str(files[name]))


def test_a_repository_without_safetensors_gives_its_pickle_and_one_with_neither_asks_for_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_hub(monkeypatch, {"pytorch_model.bin": tmp_path / "pytorch_model.bin"})
    assert locate("hf:clinic/encoders").path == tmp_path / "pytorch_model.bin"
    fake_hub(monkeypatch, {"last.pth": tmp_path / "last.pth"})
    with pytest.raises(
        WeightsError, match=r"no model\.safetensors or .*; name the file, as in hf:clinic/encoders#FILE"
    ):
        locate("hf:clinic/encoders")
    assert locate("hf:clinic/encoders#last.pth").path == tmp_path / "last.pth"


def torchvision_file(monkeypatch: pytest.MonkeyPatch, digest: str) -> None:
    weights = SimpleNamespace(url=f"https://models/resnet18-{digest}.pth")
    monkeypatch.setattr(torchvision.models, "get_weight", lambda name: weights)


def test_torchvisions_weights_are_downloaded_once_into_torchs_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save(torchvision.models.resnet18().state_dict(), tmp_path / "w.pth")
    content = (tmp_path / "w.pth").read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    torchvision_file(monkeypatch, digest[:8])
    monkeypatch.setattr("trainables.weights.hubs.urlopen", lambda request, timeout: io.BytesIO(content))
    found = check_weights("torchvision:ResNet18_Weights.IMAGENET1K_V1", RESNET18)
    monkeypatch.setattr("trainables.weights.hubs.urlopen", None)
    assert check_weights("torchvision:ResNet18_Weights.IMAGENET1K_V1", RESNET18) == found
    assert found.weights_id == f"sha256:{digest}"
    assert "non-commercial research" in found.licence


def test_torchvisions_weights_without_network_say_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(request: Any, timeout: float) -> None:
        assert timeout <= 10  # seconds
        raise URLError("name not known")

    monkeypatch.setattr("trainables.weights.hubs.urlopen", fail)
    expected = r"name not known.*download https://.*/resnet18-f37072fd\.pth on another machine and use file:PATH"
    with pytest.raises(WeightsError, match=expected):
        check_weights("torchvision:ResNet18_Weights.IMAGENET1K_V1", RESNET18)


def test_a_damaged_file_in_torchs_cache_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torchvision_file(monkeypatch, "12345678")
    (tmp_path / "torch" / "checkpoints").mkdir(parents=True)
    (tmp_path / "torch" / "checkpoints" / "resnet18-12345678.pth").write_bytes(b"PK\x03\x04")
    with pytest.raises(WeightsError, match="is damaged: its sha256 does not begin with 12345678; delete it"):
        check_weights("torchvision:ResNet18_Weights.IMAGENET1K_V1", RESNET18)


def test_weights_are_looked_at_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = cached(tmp_path, "timm/resnet18.a1_in1k", "model.safetensors")
    source = f"file:{folder / 'model.safetensors'}"
    assert ModelConfig().encoder == "resnet18"
    assert main([source]) == 0
    assert "120 of 120 encoder keys matched" in capsys.readouterr().out
    assert main([source, "--encoder", "resnet50"]) == 1
    assert "the file looks like resnet18 of width 64" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--encoder", "resnet51", "expected 'resnet10', 'resnet18', 'resnet34' or 'resnet50', found 'resnet51'"),
        ("--width", "9", "expected a multiple of 4, found 9"),
        ("--width", "4", "expected greater than or equal to 8, found 4"),
        ("--channels", "0", "expected at least 1, found 0"),
        ("--decoder-channels", "64 32 16 8 4", "expected at least 8 each, found (64, 32, 16, 8, 4)"),
    ],
)
def test_a_network_that_there_is_not_is_a_usage_error_in_a_line(
    option: str, value: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["file:w.pth", option, *value.split()])
    assert ended.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1].endswith(f"argument {option}: {message}")

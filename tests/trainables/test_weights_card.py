"""Cards: an encoder's provenance and licence, along a chain of stages."""

import errno
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError

from trainables.config import ComputeConfig, DataConfig, ModelConfig, NaturalConfig, StageConfig
from trainables.jobs import StageJob
from trainables.models.encoder import Encoder
from trainables.weights import initial_weights, save_encoder, stage_card
from trainables.weights.card import read_card
from trainables.weights.source import locate

SMALL = ModelConfig(encoder="resnet10", width=8)


def job(initial: str = "random", name: str = "random") -> StageJob:
    return StageJob(
        results=Path("results"),
        encoders=Path("results/encoders"),
        stage_id="one",
        name="byol-domain",
        initial=initial,
        weights_id="random",
        initial_name=name,
        seed=3,
        stage=StageConfig(objective="byol", data="domain", epochs=5),
        model=SMALL,
        data=DataConfig(),
        natural=NaturalConfig(),
        source_id="hash-of-the-pool",
        compute=ComputeConfig(),
    )


def card_of(job: StageJob, epoch: int = 1) -> dict[str, Any]:
    return stage_card(job, initial_weights(job), epoch, in_channels=1, batch_size=128, num_workers=2)


def keep(path: Path, card: dict[str, Any]) -> dict[str, Any]:
    """Save an encoder with the card and return what was written."""
    save_encoder(path, Encoder(SMALL, 1).state_dict(), card)
    written: dict[str, Any] = json.loads(path.with_suffix(".json").read_text())
    return written


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_card_says_how_on_what_and_from_what_an_encoder_was_trained(tmp_path: Path) -> None:
    path = tmp_path / "e.safetensors"
    card = keep(path, card_of(job(), epoch=4))
    assert card["sha256"] == digest(path)
    expected = {"method": "byol", "data": "domain", "data_id": "hash-of-the-pool", "epochs": 4, "in_channels": 1}
    assert {key: card[key] for key in expected} == expected
    assert card["recipe"]["epochs"] == 5
    assert (card["batch_size"], card["num_workers"]) == (128, 2)
    assert card["model"]["width"] == 8
    assert card["versions"].keys() >= {"labelcurve", "torch", "timm", "huggingface-hub", "safetensors"}
    assert card["initial"] == {"name": "random", "sha256": None, "licence": "none: random initial weights"}


def test_the_licence_of_the_first_weights_goes_through_every_stage_of_a_chain(tmp_path: Path) -> None:
    first, second, third = (tmp_path / f"{name}.safetensors" for name in "abc")
    keep(first, {"licence": "cc-by-nc-4.0"})
    keep(second, card_of(job(f"file:{first}", "hf:clinic/encoders")))
    card = keep(third, card_of(job(f"file:{second}", "hf:clinic/encoders > byol-natural@1")))
    assert card["licence"] == "cc-by-nc-4.0"
    assert card["initial"]["sha256"] == digest(second)
    assert card["initial"]["initial"] == {
        "name": "hf:clinic/encoders",
        "sha256": digest(first),
        "licence": "cc-by-nc-4.0",
    }


def test_a_file_without_a_card_has_an_unknown_licence(tmp_path: Path) -> None:
    torch.save(Encoder(SMALL, 1).state_dict(), tmp_path / "w.pth")
    card = card_of(job(f"file:{tmp_path / 'w.pth'}"))
    assert card["licence"] == card["initial"]["licence"] == "unknown"


@pytest.mark.parametrize("content", ["not JSON", "[]", '{"licence": "MIT"}', '{"licence": "MIT", "sha256": "0"}'])
def test_a_card_that_is_not_the_files_own_is_not_taken_for_it(content: str, tmp_path: Path) -> None:
    path = tmp_path / "e.safetensors"
    keep(path, {"licence": "MIT"})
    assert locate(f"file:{path}").licence == "MIT"
    path.with_suffix(".json").write_text(content)
    assert read_card(path) == {}
    assert locate(f"file:{path}").licence == "unknown"


def test_a_disk_too_full_for_an_encoder_is_told_as_one_and_leaves_nothing(small_disk: Path) -> None:
    with pytest.raises(OSError, match=r"No space left on device: '.*e\.safetensors'") as caught:
        save_encoder(small_disk / "e.safetensors", {"weight": torch.zeros(200_000)}, {})
    assert caught.value.errno == errno.ENOSPC
    assert not list(small_disk.iterdir())


@pytest.mark.parametrize(
    ("said", "kind", "number"),
    [
        ("No space left on device (os error 28)", OSError, errno.ENOSPC),
        ("Disk quota exceeded (os error 122)", OSError, errno.EDQUOT),
        ("Permission denied (os error 13)", SafetensorError, None),
    ],
)
def test_what_safetensors_says_of_a_disk_without_room_becomes_an_error_of_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, kind: type[Exception], number: int | None
) -> None:
    def failing(*_: Any) -> None:
        raise SafetensorError(f"Error while serializing: I/O error: {said}")

    monkeypatch.setattr("trainables.weights.card.save_file", failing)
    with pytest.raises(kind, match=said.partition(" (")[0]) as caught:
        save_encoder(tmp_path / "e.safetensors", {"weight": torch.zeros(2)}, {})
    assert getattr(caught.value, "errno", None) == number

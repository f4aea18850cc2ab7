"""A method that pretrains the decoder: it is kept with the encoder, and fine-tuning starts from both."""

import json
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn

from sweep.experiment import load_preset
from sweep.inputs import read_inputs
from sweep.plan import Plan, build_plan
from trainables.config import ModelConfig
from trainables.finetune import build_network
from trainables.models.encoder import Encoder
from trainables.models.segmenter import build_decoder
from trainables.objectives import OBJECTIVES, Objective, Options, Step
from trainables.pretrain import run_stage
from trainables.results import open_results
from trainables.weights import WeightsError, build_encoder, check_decoder, load_decoder, save_encoder
from trainables.weights.__main__ import main

MODEL = ModelConfig(encoder="resnet10", width=8, decoder_channels=(16, 16, 8, 8, 8))


class _Pixels(nn.Module):
    def __init__(self, encoder: Encoder, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        maps = self.encoder.stages(images)
        return self.decoder(maps), maps[-1].mean((2, 3)).detach()


class PixelLevel(Objective):
    """Give an image back from its decoder's mean channel: no method of the field, but one that trains both."""

    options_type: ClassVar = Options
    num_views = 1
    keeps_decoder = True

    def __init__(self, encoder: Encoder, options: Options, num_classes: int, decoder: nn.Module) -> None:
        super().__init__(encoder, options, num_classes)
        self.pixels = _Pixels(encoder, decoder)
        self.trained = self.pixels

    def forward(self, views: list[Tensor], targets: Tensor | None = None) -> Step:
        decoded, features = self.trained(views[0])
        return Step((decoded.mean(1, keepdim=True) - views[0]).square().mean(), features)

    def kept_encoder(self) -> Encoder:
        return self.pixels.encoder

    def kept_decoder(self) -> nn.Module:
        return self.pixels.decoder


def plan(root: Path, cache: Path, *overrides: str) -> Plan:
    stage = ["stages.byol-domain.objective=pixel-level", "stages.byol-domain.options={}"]
    arms = ["grid.arms=[byol-domain]", "report.reference_arm=byol-domain", f"compute.cache={cache}"]
    experiment = load_preset("smoke", [*stage, *arms, "compute.device=cpu", *overrides])
    return build_plan(experiment, read_inputs(experiment), open_results(root))


@pytest.fixture
def pixel_level(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OBJECTIVES, "pixel-level", PixelLevel)


@pytest.mark.usefixtures("pixel_level")
def test_a_cell_starts_from_the_decoder_that_its_stage_trained(tmp_path: Path, cache: Path) -> None:
    planned = plan(tmp_path / "results", cache)
    (stage,) = planned.stages
    run_stage(stage.job)
    path = Path(planned.missing[0].job.encoder.removeprefix("file:"))
    card: dict[str, Any] = json.loads(path.with_suffix(".json").read_text())
    with safe_open(path, "pt") as file:
        kept = {name: file.get_tensor(name) for name in file.keys() if name.startswith("kept_decoder.")}  # noqa: SIM118
    assert card["decoder_tensors"] == len(kept) > 0
    network = build_network(planned.missing[0].job, torch.device("cpu"), num_channels=1, num_classes=4)
    found = network.decoder.state_dict()
    assert found.keys() == {name.removeprefix("kept_decoder.") for name in kept}
    assert all(torch.equal(found[name.removeprefix("kept_decoder.")], value) for name, value in kept.items())
    model = planned.missing[0].job.model
    encoder = build_encoder(model, planned.missing[0].job.encoder, 1, seed=0)
    assert all(torch.equal(value, network.encoder.state_dict()[key]) for key, value in encoder.state_dict().items())


@pytest.mark.usefixtures("pixel_level")
def test_the_decoder_is_part_of_what_such_a_stage_is_and_of_no_other(tmp_path: Path, cache: Path) -> None:
    wider = "model.decoder_channels=[32, 16, 8, 8, 8]"
    byol = ["stages.byol-domain.objective=byol", "stages.byol-domain.options={}"]

    def stage_id(*overrides: str) -> str:
        (stage,) = plan(tmp_path / "results", cache, *overrides).stages
        return stage.stage_id

    assert stage_id() != stage_id(wider)
    assert stage_id(*byol) == stage_id(*byol, wider)


def kept(path: Path, model: ModelConfig) -> str:
    """Save an encoder with a decoder, drawn anew."""
    encoder = Encoder(model, 1)
    save_encoder(path, encoder.state_dict(), {"licence": "mine"}, build_decoder(encoder, model).state_dict())
    return f"file:{path}"


def test_a_decoder_of_another_architecture_is_refused_by_its_first_layer(tmp_path: Path) -> None:
    source = kept(tmp_path / "e.safetensors", MODEL)
    assert check_decoder(source, MODEL) == len(build_decoder(Encoder(MODEL, 1), MODEL).state_dict())
    other = MODEL.model_copy(update={"decoder_channels": (32, 16, 8, 8, 8)})
    with pytest.raises(WeightsError, match=r"does not fit this network's: .* instead of .*; set model\.encoder"):
        check_decoder(source, other)


def test_a_look_at_weights_tells_of_the_decoder_that_they_hold(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = kept(tmp_path / "e.safetensors", MODEL)
    num_tensors = len(build_decoder(Encoder(MODEL, 1), MODEL).state_dict())
    network = [source, "--encoder", "resnet10", "--width", "8"]
    assert main([*network, "--decoder-channels", "16", "16", "8", "8", "8"]) == 0
    assert f"; its decoder is taken, too: {num_tensors} tensors\nsha256:" in capsys.readouterr().out
    assert main(network) == 1
    assert "the decoder in weights" in capsys.readouterr().err


@pytest.mark.usefixtures("pixel_level")
@pytest.mark.parametrize(
    ("stages", "objective", "is_taken"),
    [("[]", "byol", True), ("[byol-domain]", "pixel-level", True), ("[byol-domain]", "byol", False)],
)
def test_a_decoder_is_checked_and_told_of_only_where_the_arm_takes_it(
    tmp_path: Path, cache: Path, stages: str, objective: str, is_taken: bool
) -> None:
    """A first stage that keeps no decoder drops it, so that the encoder can be used beside any decoder."""
    arm = ["grid.arms=[byol-domain]", "report.reference_arm=byol-domain", f"compute.cache={cache}"]
    method = [f"stages.byol-domain.objective={objective}", "stages.byol-domain.options={}"]
    smoke = load_preset("smoke", arm)
    source = kept(tmp_path / "e.safetensors", smoke.model)
    taken = [f"arms.byol-domain.weights={source}", f"arms.byol-domain.stages={stages}", "compute.device=cpu"]
    experiment = load_preset("smoke", [*arm, *method, *taken])
    (line,) = read_inputs(experiment).weights_reports.values()
    assert ("its decoder is taken, too" in line) == is_taken
    assert "ignored" not in line
    wider = load_preset("smoke", [*arm, *method, *taken, "model.decoder_channels=[32, 16, 8, 8, 8]"])
    if is_taken:
        with pytest.raises(WeightsError, match="does not fit this network's"):
            read_inputs(wider)
    else:
        assert read_inputs(wider).weights_reports == {source: line}


def test_weights_without_a_decoder_leave_it_as_it_was_drawn(tmp_path: Path) -> None:
    encoder = Encoder(MODEL, 1)
    save_encoder(tmp_path / "e.safetensors", encoder.state_dict(), {})
    torch.save({"encoder": encoder.state_dict()}, tmp_path / "e.pth")
    decoder = build_decoder(encoder, MODEL)
    before = {key: value.clone() for key, value in decoder.state_dict().items()}
    for source in ("random", f"file:{tmp_path / 'e.safetensors'}", f"file:{tmp_path / 'e.pth'}"):
        assert (load_decoder(decoder, source), check_decoder(source, MODEL)) == (0, 0)
    assert all(torch.equal(value, before[key]) for key, value in decoder.state_dict().items())


def test_the_encoder_of_such_a_file_loads_alone_as_of_any_other(tmp_path: Path) -> None:
    source = kept(tmp_path / "e.safetensors", MODEL)
    with safe_open(tmp_path / "e.safetensors", "pt") as file:
        first = file.get_tensor("conv1.weight")
    assert torch.equal(build_encoder(MODEL, source, 1, seed=3).conv1.weight, first)

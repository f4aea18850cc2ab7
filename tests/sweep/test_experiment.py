"""The experiment tree: presets and files load, paths are resolved, and a tree that cannot be run is refused."""

import re
from pathlib import Path

import pytest
import yaml

from sweep.data_efficiency import main
from sweep.experiment import ExperimentError, load_file, load_preset, preset_names, to_yaml

ON_ACDC = ("acdc", "acdc-small", "methods")
ROOTS = ["data.root=/data/acdc/training", "natural.root=/data/images"]


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_loads_and_its_header_says_command_cost_and_expectation(name: str) -> None:
    overrides = ROOTS if name in ON_ACDC else []
    assert load_preset(name, overrides).name == name
    header = (Path(__file__).parents[2] / "sweep" / "presets" / f"{name}.yaml").read_text().split("\nname:")[0]
    assert all(line.startswith("#") for line in header.splitlines())
    assert f"--preset {name}" in header
    assert "Cost" in header
    assert "Expect" in header


@pytest.mark.parametrize("name", sorted({*preset_names()} - {"methods"}))
def test_every_preset_has_the_six_arms_but_the_small_one_leaves_out_self_supervision_on_natural_images(
    name: str,
) -> None:
    overrides = ROOTS if name in ON_ACDC else []
    six = ["random", "supervised-natural", "byol-natural", "byol-domain"]
    six += ["supervised-natural+byol-domain", "byol-natural+byol-domain"]
    expected = [arm for arm in six if name != "small" or "byol-natural" not in arm]
    assert list(load_preset(name, overrides).arms) == expected


def test_the_methods_preset_gives_each_method_the_same_images_and_epochs() -> None:
    methods = load_preset("methods", ROOTS)
    chains = {
        name: [
            (stage.data, stage.epochs, stage.batch_size, stage.views) for stage in map(methods.stages.get, arm.stages)
        ]
        for name, arm in methods.arms.items()
        if len(arm.stages) == 2
    }
    assert list(chains) == ["byol", "simclr", "moco", "masked"]
    assert all(chain == chains["byol"] for chain in chains.values())


def test_the_papers_preset_has_the_papers_protocol() -> None:
    paper = load_preset("acdc", ["data.root=/data/acdc/training", "natural.root=/data/images"])
    assert paper.grid.label_counts == (1, 3, 7, 15, 30, 75, 150, 300, 749, 1498)
    assert len(paper.grid.subset_seeds) == 10
    assert (paper.model.encoder, paper.model.width, paper.data.image_size) == ("resnet50", 64, 224)
    assert (paper.finetune.steps, paper.finetune.batch_size, paper.finetune.learning_rate) == (1050, 192, 1e-4)
    byol = paper.stages["byol-domain"]
    heads = {"projection_hidden": 4096, "projection_size": 256, "prediction_hidden": 8192}
    assert byol.options == {**heads, "momentum_start": 0.99}
    assert (byol.batch_size, byol.weight_decay, byol.epochs) == (128, 1e-5, 400)
    assert (byol.optimizer, byol.learning_rate, byol.trust_coefficient, byol.warmup_epochs) == ("lars", 0.5, 0.02, 10)
    assert paper.stages["byol-natural"].trust_coefficient == 1e-3  # of Grill et al. 2020


@pytest.mark.parametrize(
    ("key", "bits"),
    [
        *((f"grid.{name}_seeds", 63) for name in ("subset", "train", "pretraining")),
        *((name, 63) for name in ("data.split_seed", "data.phantom.seed", "natural.seed")),
        *((f"finetune.{name}", 31) for name in ("steps", "batch_size")),
        ("stages.byol-natural.epochs", 31),
        ("stages.byol-domain.batch_size", 31),
    ],
)
def test_a_number_that_the_tables_cannot_hold_is_refused(key: str, bits: int) -> None:
    most, above = 2**bits - 1, 2**bits
    written = "{}" if not key.endswith("_seeds") else "[{}]"
    load_preset("smoke", [f"{key}={written.format(most - most % 16 if key.endswith('size') else most)}"])
    with pytest.raises(ExperimentError, match=rf"{key}\S*: .*less than or equal to {most}, found {above}"):
        load_preset("smoke", [f"{key}={written.format(above)}"])


def test_options_that_are_not_given_are_the_methods_defaults_and_enter_the_stages_hash() -> None:
    given = ["stages.byol-domain.objective=moco", "stages.byol-domain.options={temperature: 1e-1}"]
    stage = load_preset("smoke", given).stages["byol-domain"]
    defaults = {"projection_hidden": 2048, "projection_size": 128, "momentum": 0.999, "queue_size": 65536}
    assert stage.options == {**defaults, "temperature": 0.1}
    assert load_preset("smoke", [*given, "stages.byol-domain.options.queue_size=65536"]).stages["byol-domain"] == stage


def test_a_named_set_of_views_is_resolved_to_its_values_and_can_be_changed() -> None:
    stage = load_preset("smoke", ["stages.byol-domain.views={set: byol, blur_probability: 0.3}"]).stages["byol-domain"]
    assert (stage.views.blur_probability, stage.views.saturation, stage.views.grey_probability) == (0.3, 0.2, 0.2)
    assert load_preset("smoke", ["stages.byol-domain.views.set=paper"]) == load_preset("smoke")


def test_the_stage_that_the_documents_show_is_valid() -> None:
    text = (Path(__file__).parents[2] / "docs" / "pretraining.md").read_text()
    (example,) = re.findall(r"```yaml\nstages:\n  moco-domain:\n(.*?)```", text, re.DOTALL)
    given = yaml.safe_load(example)
    stage = load_preset("smoke", [f"stages.moco-domain={yaml.safe_dump(given)}"]).stages["moco-domain"]
    assert given["options"].items() <= stage.options.items()


def test_another_size_than_the_presets_is_refused_with_the_way_out() -> None:
    overrides = ["data.spacing_mm=1.5", "data.format=auto"]
    with pytest.raises(ExperimentError, match=r"set data\.longest_side=null to resample to data\.spacing_mm"):
        load_preset("small", overrides)
    assert load_preset("small", [*overrides, "data.longest_side=null"]).data.spacing_mm == 1.5


def test_the_help_names_every_preset(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    listed = capsys.readouterr().out.split("--preset NAME")[-1].split("--config FILE")[0]
    assert set(preset_names()) <= set(re.findall(r"[\w-]+", listed))


def test_an_unknown_preset_is_refused_with_the_nearest() -> None:
    with pytest.raises(ExperimentError, match=r"unknown preset 'smok'; did you mean 'smoke'\?"):
        load_preset("smok")


def test_all_errors_of_a_file_are_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(to_yaml(load_preset("smoke")).replace("steps: 6", "steps: -6").replace("width: 8", "widht: 8"))
    with pytest.raises(ExperimentError) as error:
        load_file(path)
    assert "finetune.steps" in str(error.value)
    assert "did you mean 'width'" in str(error.value)


def test_a_resolved_experiment_reads_back_as_itself(tmp_path: Path) -> None:
    experiment = load_preset("smoke", ["finetune.steps=9"])
    (tmp_path / "mine.yaml").write_text(to_yaml(experiment))
    assert load_file(tmp_path / "mine.yaml") == experiment


@pytest.mark.parametrize("text", ["- a list", "name: [", ""])
def test_a_file_that_is_no_experiment_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(ExperimentError, match=r"mine\.yaml"):
        load_file(tmp_path / "mine.yaml")
    with pytest.raises(ExperimentError, match="cannot be read"):
        load_file(tmp_path / "other.yaml")


def test_relative_paths_are_resolved_where_they_were_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    overrides = ["data={format: acdc, root: acdc/training, unlabelled_root: cines}", "compute.cache=cache"]
    experiment = load_preset("smoke", [*overrides, "arms.random.weights=file:w.pth"])
    assert experiment.data.root == tmp_path / "acdc" / "training"
    assert experiment.data.unlabelled_root == tmp_path / "cines"
    assert experiment.compute.cache == tmp_path / "cache"
    assert experiment.arms["random"].weights == f"file:{tmp_path / 'w.pth'}"


def test_a_path_that_begins_with_a_tilde_lies_in_the_home_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    overrides = ["data={format: acdc, root: ~/acdc}", "compute={cache: ~/cache, encoders: ~/encoders}"]
    experiment = load_preset("smoke", [*overrides, "arms.random.weights=file:~/w.pth"])
    assert experiment.data.root == tmp_path / "acdc"
    assert experiment.compute.cache == tmp_path / "cache"
    assert experiment.compute.encoders == tmp_path / "encoders"
    assert experiment.arms["random"].weights == f"file:{tmp_path / 'w.pth'}"


@pytest.mark.parametrize("objective", ["supervised", "masked"])
def test_a_second_recipe_of_views_is_refused_where_a_method_draws_one_view(objective: str) -> None:
    overrides = [
        f"stages.byol-natural={{objective: {objective}, data: natural, epochs: 1, other_views: {{set: byol}}}}"
    ]
    with pytest.raises(
        ExperimentError, match=rf"byol-natural\.other_views: expected none, since {objective} draws one"
    ):
        load_preset("smoke", overrides)


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_bytes(b"name: \xff\xfe")
    with pytest.raises(ExperimentError, match="cannot be read"):
        load_file(tmp_path / "mine.yaml")

"""The experiment tree: presets load, overrides apply, and what is wrong is named with what would be right."""

import re
import shlex
from pathlib import Path

import pytest
import yaml

from sweep.data_efficiency import main
from sweep.experiment import ExperimentError, load_file, load_preset, preset_names, to_yaml
from trainables.config import FinetuneConfig

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


def test_overrides_reach_every_level_and_take_yaml_values() -> None:
    experiment = load_preset(
        "smoke",
        [
            "finetune.steps=9",
            "grid.label_counts=[1, 2]",
            "stages.byol-domain.epochs=3",
            "stages.byol-domain.milestones=[3]",
        ],
    )
    assert experiment.finetune.steps == 9
    assert experiment.grid.label_counts == (1, 2)
    assert experiment.stages["byol-domain"].epochs == 3


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("finetune.step=9", r"unknown key 'finetune\.step'; did you mean 'steps'\?"),
        ("finetune.stop.patiance=9", r"unknown key 'finetune\.stop\.patiance'; did you mean 'patience'\?"),
        ("finetune.stop.min_delta=0.1", r"finetune\.stop\.patience: Field required"),
        ("stages.byol-domain.epoch=9", r"unknown key 'stages\.byol-domain\.epoch'; did you mean 'epochs'\?"),
        ("finetne.steps=9", r"unknown key 'finetne'; did you mean 'finetune'\?"),
        ("data.phantom.patients=9", r"unknown key 'data\.phantom\.patients'; did you mean 'num_patients'\?"),
        (
            "stages.byol-domian.epochs=4",
            r"no stage 'byol-domian'; did you mean 'byol-domain'; a new stage is given whole: 'stages\.byol-domian=\{",
        ),
        (
            "stages.byol-domian.options.projection_size=4",
            r"'stages\.byol-domian\.options\.projection_size=4': no stage 'byol-domian'; did you mean 'byol-domain'",
        ),
        (
            "arms.byol-domian.weights=random",
            r"no arm 'byol-domian'; did you mean 'byol-domain'; a new arm is given whole: 'arms\.byol-domian=\{weights",
        ),
        ("arms.own.weights=random", r"no arm 'own'; expected one of random, .*; a new arm is given whole"),
        ("grid.arms=[randon]", r"grid\.arms: unknown arm 'randon'; did you mean 'random'\?"),
        ("arms.random.stages=[byol]", r"arms\.random\.stages: unknown stage 'byol'; did you mean 'byol-\w+'\?"),
        ("report.reference_arm=imagenet", r"report\.reference_arm: not an arm of the grid 'imagenet'"),
        ("finetune.steps=0", r"finetune\.steps: .*greater than or equal to 1, found 0"),
        (
            "finetune.steps={a: 1}",
            r"finetune\.steps: Input should be a valid integer, found \{'a': 1\}; in YAML a colon",
        ),
        ("data.root={a: 1}", r"data\.root: Input is not a valid path .*, found \{'a': 1\}; in YAML a colon"),
        (
            "arms.random.weights=timm:",
            r"arms\.random\.weights: Input should be a valid string, found \{'timm': None\}; in YAML a colon",
        ),
        ("finetune.steps=many", r"finetune\.steps: .*integer.*found 'many'"),
        ("grid.label_counts=[1, 1]", r"label_counts: expected each value once, found \[1, 1\]"),
        ("grid.subset_seeds=[-1]", r"grid\.subset_seeds\.0: .*greater than or equal to 0, found -1"),
        ("grid.intermediate_label_counts=[99]", r"expected some of label_counts, found also \[99\]"),
        ("grid.label_counts=[0]", r"label_counts: expected at least 1, found 0"),
        ("stages.byol-domain.milestones=[2, 1]", r"milestones: expected rising epochs from 1"),
        ("stages.byol-domain.objective=supervised", r"a supervised stage needs class labels"),
        (
            "stages.byol-domain.objective=byo",
            r"stages: byol-domain\.objective: unknown objective 'byo'; did you mean 'byol'\?",
        ),
        (
            "stages.byol-domain.options.projection_siz=8",
            r"unknown byol option 'projection_siz'; did you mean 'projection_size'\?",
        ),
        ("stages.byol-domain.options.momentum_start=2", r"options: momentum_start: .*less than or equal to 1, found 2"),
        (
            "stages.byol-domain.views.set=simcl",
            r"views: set: expected one of paper, simclr, byol, byol-second, found 'simcl'",
        ),
        ("model.width=4", r"model\.width: .*greater than or equal to 8, found 4"),
        ("data.format=acdc", r"data\.root: format acdc expects the folder that holds the data, found none"),
        (
            "natural.root=/images",
            r"natural\.root: source procedural expects no root, found /images; set natural\.source=folder to",
        ),
        ("natural.source=folder", r"natural\.root: source folder expects a folder .*, found None; set natural\.root="),
        ("data.root=", r"'data\.root=': expected a value after '=', found nothing; null sets none"),
        ("grid.label_counts=4", r"grid\.label_counts: expected a list, such as \[4\], found 4"),
        ("grid.label_counts=[]", r"grid\.label_counts: expected at least 1 value, found \[\]"),
        ("grid.label_counts=[4.5]", r"label_counts\.0: [^\n]*fractional part, found 4\.5$"),
        ("finetune", r"'finetune': expected key\.path=value"),
        (
            "compute.min_pretraining_workers=2",
            r"min_pretraining_workers: expected at most pretraining_workers=1, found 2",
        ),
        ("grid.pretraining_seeds=[0, 0]", r"pretraining_seeds: expected each value once, found \[0, 0\]"),
        ("grid.pretraining_seeds=[0, 1, 2]", r"at most one for each of subset_seeds, found 3 for 2; add subset_seeds"),
        ("name.first=x", r"'name\.first=x': name is not a section"),
        ("grid.label_counts=[4,", r"the value is not valid YAML; one with spaces needs quotes around key and value"),
    ],
)
def test_a_wrong_override_is_refused_with_what_would_be_right(override: str, message: str) -> None:
    with pytest.raises(ExperimentError, match=message):
        load_preset("smoke", [override])


@pytest.mark.parametrize(
    ("name", "proposal"),
    [
        ("my arm, one", "my-arm-one"),
        ("us$1_$2", "us-1_-2"),
        ("a|b*c*<i>", "a-b-c-i"),
        ("'quoted'", "quoted"),
        ("-p", "p"),
        (".hidden", "hidden"),
        ("_unseen", "unseen"),  # in a figure's legend
        ("x" * 81, "x" * 80),
        ("", "{what}"),
        ("no", "{what}-no"),  # false in YAML
        ("1_000", "{what}-1_000"),
        ("2026-13-45", "{what}-2026-13-45"),
    ],
)
@pytest.mark.parametrize("what", ["arm", "stage"])
def test_a_name_that_a_setting_cannot_carry_is_refused_with_one_that_it_can(
    tmp_path: Path, what: str, name: str, proposal: str
) -> None:
    named = {f"{what}s": {name: {} if what == "arm" else {"objective": "byol", "epochs": 1, "milestones": [1]}}}
    rest = {"name": "x", "grid": {"label_counts": [4], "subset_seeds": [0]}, "arms": {"supervised-natural": {}}}
    path = tmp_path / "x.yaml"
    path.write_text(yaml.safe_dump(rest | named))
    with pytest.raises(ExperimentError) as told:
        load_file(path)
    assert f"{what}s: expected" in str(told.value)
    assert f"found {name!r}; write {proposal.format(what=what)!r}" in str(told.value)


@pytest.mark.parametrize("name", ["byol-natural+byol-domain", "v1.2_x", "+fine", "2d", "Hämatom", "心臓", "x" * 80])
def test_a_name_that_is_taken_stands_in_a_list_of_settings_and_in_a_shell_as_it_is(name: str) -> None:
    assert yaml.safe_load(f"[random,{name}]") == ["random", name]
    assert shlex.split(f"grid.arms=[random,{name}]") == [f"grid.arms=[random,{name}]"]
    experiment = load_preset("smoke", [f"arms={{{name}: {{}}}}", f"grid.arms=[{name}]", f"report.reference_arm={name}"])
    assert experiment.arm_names == (name,)


@pytest.mark.parametrize(
    "text", ["2024-11-25", "2024-13-45", "2024-11-25 10:30:00", "010", "0012", "1_000", "1:30", "0x1F"]
)
def test_text_that_only_some_yaml_takes_for_a_date_or_a_number_is_text(text: str, tmp_path: Path) -> None:
    overrides = ["data.format=auto", f"data.root={text}", f"data.exclude=[{text}]"]
    experiment = load_preset("smoke", overrides)
    assert experiment.data.root == Path(text).absolute()
    assert experiment.data.exclude == (text,)
    (tmp_path / "mine.yaml").write_text(to_yaml(experiment))
    assert load_file(tmp_path / "mine.yaml") == experiment


def test_a_number_may_be_written_as_people_group_it() -> None:
    experiment = load_preset("smoke", ["finetune.steps=1_000", "finetune.learning_rate=1e-3", "grid.label_counts=[04]"])
    assert (experiment.finetune.steps, experiment.finetune.learning_rate) == (1000, 0.001)
    assert experiment.grid.label_counts == (4,)


@pytest.mark.parametrize(
    ("key", "value", "quoted"),
    [("data.root", "20241125", "20241125"), ("data.exclude", "[7]", "7"), ("arms.random.weights", "no", "no")],
)
def test_where_text_is_expected_a_number_is_refused_with_its_quotes(key: str, value: str, quoted: str) -> None:
    with pytest.raises(ExperimentError, match=rf"{key}\S*: .*; quote it to make it text, such as '\"{quoted}\"'$"):
        load_preset("smoke", [f"{key}={value}"])


def test_a_number_in_quotes_is_text() -> None:
    assert load_preset("smoke", ['data.exclude=["20241125"]']).data.exclude == ("20241125",)


@pytest.mark.parametrize("value", ["9" * 5000, "[" * 3000, "!!timestamp 2024-13-45"])
def test_a_value_that_yaml_cannot_build_is_refused(value: str) -> None:
    with pytest.raises(ExperimentError, match=r"finetune\.steps="):
        load_preset("smoke", [f"finetune.steps={value}"])


@pytest.mark.parametrize(
    ("added", "line", "key"),
    [
        ("grid:\n  label_counts: [8]\n", 0, "grid"),
        ("natural:\n  seed: 1\n  num_images: 20\n  seed: 2\n", 3, "seed"),
        ("other:\n  one: {x: 1}\n  'one': {x: 2}\n", 2, "one"),
    ],
)
def test_a_key_that_stands_twice_in_a_file_is_named_with_its_line(
    tmp_path: Path, added: str, line: int, key: str
) -> None:
    text = "name: x\ngrid: {label_counts: [4], subset_seeds: [0]}\narms: {supervised-natural: {}}\n"
    (tmp_path / "mine.yaml").write_text(text + added)
    with pytest.raises(ExperimentError, match=rf"mine\.yaml.* line {4 + line}: .*found '{key}' again, first in line"):
        load_file(tmp_path / "mine.yaml")


def test_a_key_that_stands_twice_in_an_override_is_named() -> None:
    with pytest.raises(ExperimentError, match=r"'data\.classes=\{.*expected each key once, found 'a' again"):
        load_preset("smoke", ["data.classes={a: 1, a: 2}"])


def test_a_merged_mapping_may_set_a_key_anew(tmp_path: Path) -> None:
    """So do the presets' stages: ``<<`` is the way to change one key of a mapping."""
    natural = "natural: &some {seed: 1, num_images: 20}\nother: {<<: *some, seed: 2}\n"
    (tmp_path / "mine.yaml").write_text(natural)
    with pytest.raises(ExperimentError) as told:
        load_file(tmp_path / "mine.yaml")
    assert "again" not in str(told.value)
    assert "unknown key 'other'" in str(told.value)


@pytest.mark.parametrize("value", ["&a {b: *a}", "&a [*a]", "&a {b: [{c: *a}]}", "&a {<<: *a}"])
def test_an_anchor_within_itself_is_refused(tmp_path: Path, value: str) -> None:
    (tmp_path / "mine.yaml").write_text(f"name: x\ndata: {value}\n")
    with pytest.raises(ExperimentError, match=r"line 2: found '\*a' within what it stands for"):
        load_file(tmp_path / "mine.yaml")


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


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["finetune.batch_size=3", "finetune={steps: 7}"],
            r"'finetune=\{steps: 7\}': a whole section replaces 'finetune\.batch_size=3' before it; write the section",
        ),
        (
            ["stages.byol-domain.views.set=simclr", "stages.byol-domain={objective: byol, data: domain, epochs: 1}"],
            r"a whole section replaces 'stages\.byol-domain\.views\.set=simclr' before it",
        ),
    ],
)
def test_a_section_that_would_undo_an_override_of_its_keys_is_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(ExperimentError, match=message):
        load_preset("smoke", overrides)


def test_a_whole_section_replaces_the_presets_and_its_keys_may_follow() -> None:
    given = ["finetune={steps: 7}", "finetune.batch_size=3", "finetune.evaluate_every=7"]
    finetune = load_preset("smoke", given).finetune
    assert (finetune.steps, finetune.batch_size) == (7, 3)
    assert finetune.learning_rate == FinetuneConfig().learning_rate != load_preset("smoke").finetune.learning_rate


def test_a_new_entry_that_is_given_whole_can_be_changed_by_its_keys() -> None:
    experiment = load_preset("smoke", ["arms.own={}", "arms.own.stages=[byol-domain]"])
    assert experiment.arms["own"].stages == ("byol-domain",)


def test_options_that_are_not_given_are_the_methods_defaults_and_enter_the_stages_hash() -> None:
    given = ["stages.byol-domain.objective=moco", "stages.byol-domain.options={temperature: 1e-1}"]
    stage = load_preset("smoke", given).stages["byol-domain"]
    defaults = {"projection_hidden": 2048, "projection_size": 128, "momentum": 0.999, "queue_size": 65536}
    assert stage.options == {**defaults, "temperature": 0.1}
    assert load_preset("smoke", [*given, "stages.byol-domain.options.queue_size=65536"]).stages["byol-domain"] == stage


def test_an_override_of_one_stage_leaves_those_alone_that_share_its_anchor() -> None:
    changed = load_preset(
        "demo", ["stages.byol-domain.options.momentum_start=0.5", "stages.byol-domain.views.set=byol"]
    )
    assert changed.stages["byol-domain"].options["momentum_start"] == 0.5
    assert changed.stages["byol-natural"] == load_preset("demo").stages["byol-natural"]


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


def test_a_pattern_is_taken_as_it_stands() -> None:
    patterns = {r"[a-z]+(\d+)": r"[a-z]+(\d+)", r"'([^_]+)_.*'": "([^_]+)_.*", "[(a|b)]()": "[(a|b)]()", "null": None}
    for text, expected in patterns.items():
        assert load_preset("smoke", [f"data.patient_pattern={text}"]).data.patient_pattern == expected


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

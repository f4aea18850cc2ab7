"""Overrides of an experiment: they apply at every level, and what is wrong is named with what would be right."""

import pytest

from sweep.experiment import ExperimentError, load_preset
from trainables.config import FinetuneConfig


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


def test_an_override_of_one_stage_leaves_those_alone_that_share_its_anchor() -> None:
    changed = load_preset(
        "demo", ["stages.byol-domain.options.momentum_start=0.5", "stages.byol-domain.views.set=byol"]
    )
    assert changed.stages["byol-domain"].options["momentum_start"] == 0.5
    assert changed.stages["byol-natural"] == load_preset("demo").stages["byol-natural"]


def test_a_pattern_is_taken_as_it_stands() -> None:
    patterns = {r"[a-z]+(\d+)": r"[a-z]+(\d+)", r"'([^_]+)_.*'": "([^_]+)_.*", "[(a|b)]()": "[(a|b)]()", "null": None}
    for text, expected in patterns.items():
        assert load_preset("smoke", [f"data.patient_pattern={text}"]).data.patient_pattern == expected

"""Settings as YAML writes them, in files and overrides: nothing is lost, and no text becomes a date or a number."""

from pathlib import Path

import pytest

from sweep.experiment import ExperimentError, load_file, load_preset, to_yaml


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

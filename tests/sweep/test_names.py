"""Names of arms and stages: those that a setting or a shell would take apart are refused with a proposal."""

import shlex
from pathlib import Path

import pytest
import yaml

from sweep.experiment import ExperimentError, load_file, load_preset


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

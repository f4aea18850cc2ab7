"""cluster.yaml passes Ray's own loader, and what that loader does not look at."""

import copy
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.specifiers import SpecifierSet
from packaging.version import Version

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.ray

Config = dict[str, Any]


@pytest.fixture
def config() -> Config:
    content: Config = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    return content


def problems(config: Config) -> list[str]:
    """What Ray's validation passes over and would cost money or open a door."""
    found = []
    types = config["available_node_types"]
    head = types[config["head_node_type"]]
    if head["resources"].get("CPU") != 0 or head["resources"].get("GPU") != 0:
        found.append("the head would run training")
    if not any("--num-cpus=0" in command for command in config["head_start_ray_commands"]):
        found.append("the head's ray start offers CPUs")
    if not 0 < config.get("idle_timeout_minutes", 0) <= 30:
        found.append("idle workers are not shut down soon")
    if "region" not in config["provider"]:
        found.append("no region")
    if "min_workers" in config:
        found.append("min_workers at the top level is ignored")
    for name, node in types.items():
        if node["min_workers"] > node["max_workers"]:
            found.append(f"{name}: min_workers above max_workers")
        for key in ("SecurityGroupIds", "IamInstanceProfile", "ImageId", "InstanceType"):
            if key not in node["node_config"]:
                found.append(f"{name}: Ray's own {key} would be used")
    return found


def test_ray_accepts_the_file(config: Config) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    validate_config(prepare_config(copy.deepcopy(config)))


def test_nothing_is_left_that_rays_validation_passes_over(config: Config) -> None:
    assert problems(config) == []


def without_group(config: Config) -> None:
    del config["available_node_types"]["gpu"]["node_config"]["SecurityGroupIds"]


def working_head(config: Config) -> None:
    config["available_node_types"]["head"]["resources"]["CPU"] = 4


def never_idle(config: Config) -> None:
    del config["idle_timeout_minutes"]


def without_region(config: Config) -> None:
    del config["provider"]["region"]


@pytest.mark.parametrize("damage", [without_group, working_head, never_idle, without_region])
def test_the_checks_find_what_they_are_for(config: Config, damage: Callable[[Config], None]) -> None:
    damage(config)
    assert len(problems(config)) == 1


def test_ray_refuses_an_unknown_key(config: Config) -> None:
    from jsonschema import ValidationError
    from ray.autoscaler._private.util import prepare_config, validate_config

    config["idle_minutes"] = 5
    with pytest.raises(ValidationError, match="idle_minutes"):
        validate_config(prepare_config(config))


def test_every_node_gets_the_pinned_ray(config: Config) -> None:
    """The nodes run `make setup`, which installs what constraints.txt pins, within pyproject's bounds."""
    assert any("make setup" in command for command in config["setup_commands"])
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().split() if "==" in line)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (bounds,) = [each.split("]")[1] for each in project["dependencies"] if each.startswith("ray[")]
    assert Version(pins["ray"]) in SpecifierSet(bounds)
    starts = [*config["head_start_ray_commands"], *config["worker_start_ray_commands"]]
    assert all(".venv/bin/ray" in command for command in starts)

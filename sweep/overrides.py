"""Overrides of a tree of settings: ``key.path=value``.

In: the tree as plain values, and overrides in order. Out: the tree changed in place, or an OverrideError that says what
was expected and found. What a key or value may be is for the experiment to judge.
"""

from collections.abc import Sequence
from typing import Any

import yaml

from sweep.names import nearest
from trainables.setting_yaml import QUOTED, SettingsError, override_value

NEW = {"stages": "{objective: ..., data: ..., epochs: ...}", "arms": "{weights: ..., stages: [...]}"}
"""Sections whose entries have names of the user's own, and a new entry of each."""


class OverrideError(Exception):
    """An override that cannot be applied."""


def apply_overrides(tree: dict[str, Any], overrides: Sequence[str]) -> None:
    """Apply overrides in order. Raises OverrideError."""
    _check_no_key_is_lost(overrides)
    for override in overrides:
        _apply(tree, override)


def replaced(overrides: Sequence[str]) -> list[tuple[str, str]]:
    """Return the overrides that do not hold, each with the one of its key that does: a command may be extended."""
    last = {override.partition("=")[0]: override for override in overrides}
    pairs = ((override, last[override.partition("=")[0]]) for override in overrides)
    return [(override, holds) for override, holds in pairs if override != holds]


def _check_no_key_is_lost(overrides: Sequence[str]) -> None:
    """Refuse a section that replaces what an earlier override set in it."""
    for index, override in enumerate(overrides):
        section, equals, _ = override.partition("=")
        for earlier in overrides[:index] if equals else ():
            if earlier.partition("=")[0].startswith(f"{section}."):
                order = "write the section first, or its keys alone"
                raise OverrideError(f"'{override}': a whole section replaces '{earlier}' before it; {order}")


def _apply(tree: dict[str, Any], override: str) -> None:
    path, equals, text = override.partition("=")
    if not equals or not path:
        raise OverrideError(f"'{override}': expected key.path=value, such as finetune.steps=500")
    if not text.strip():
        raise OverrideError(f"'{override}': expected a value after '=', found nothing; null sets none")
    *parents, last = path.split(".")
    if len(parents) > 1:
        _check_entry(tree, parents[0], parents[1], override)
    node: Any = tree
    for key in parents:
        if isinstance(node, dict):
            node[key] = {} if node.get(key) is None else node[key]  # a section that may be null is begun
            node = node[key]
        if not isinstance(node, dict):
            raise OverrideError(f"'{override}': {key} is not a section")
    try:
        node[last] = override_value(last, text)
    except SettingsError as error:
        raise OverrideError(f"'{override}': {error}") from error
    except yaml.YAMLError as error:
        raise OverrideError(f"'{override}': the value is not valid YAML; {QUOTED}") from error


def _check_entry(tree: dict[str, Any], section: str, name: str, override: str) -> None:
    """Refuse a part of an entry that is not there: begun by one of its keys, a misspelt name would be a new entry."""
    if section not in NEW:
        return
    entries = tree.get(section) or {}
    if isinstance(entries, dict) and name not in entries:
        what = section.removesuffix("s")
        whole = f"a new {what} is given whole: '{section}.{name}={NEW[section]}'"
        raise OverrideError(f"'{override}': no {what} '{name}'{nearest(name, entries).removesuffix('?')}; {whole}")

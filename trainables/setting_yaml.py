"""YAML as settings are written in it: what looks like a date, a clock or an octal number is text, and nothing is lost.

In: the text of a file or of one setting. Out: plain values. PyYAML follows YAML 1.1, which takes ``2024-11-25`` for a
date, ``1:30`` for 90 and ``010`` for 8, and keeps the last of two equal keys.
"""

import re
from typing import Any

import yaml

QUOTED = "one with spaces needs quotes around key and value, such as 'a.b=[1, 2]'"
"""What to do where a shell has cut an override in pieces."""
NUMBERS = {
    "int": r"[-+]?(?:0|[1-9][0-9]*)",
    "float": r"[-+]?[0-9]+\.[0-9]*(?:[eE][-+][0-9]+)?|\.[0-9]+(?:[eE][-+][0-9]+)?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
}
"""What is a number: no more than PyYAML takes for one, so that text which it writes without quotes is read as text."""


class SettingsError(yaml.YAMLError):
    """YAML that would lose a part of what it says, or that means nothing; the message says which and where."""


def read_settings(text: str) -> Any:
    """Return what YAML says. Raises yaml.YAMLError."""
    try:
        return yaml.load(text, _SettingsLoader)
    except RecursionError as error:
        raise SettingsError("expected a few levels of sections and lists, found too many") from error
    except ValueError as error:  # a number of thousands of digits, a date that is tagged as one
        raise SettingsError(str(error)) from error


def override_value(key: str, text: str) -> Any:
    """Return what ``key=text`` sets: YAML, but a pattern as it stands, which YAML would take for a list.

    One pair of quotes around a pattern is dropped. Raises yaml.YAMLError.
    """
    if key.endswith("_pattern") and text not in ("", "~", "null"):
        is_quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
        return text[1:-1] if is_quoted else text
    return read_settings(text)


class _SettingsLoader(yaml.SafeLoader):
    """Plain values, but each key once and no anchor within itself."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._open_anchors: set[str] = set()

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        is_alias = self.check_event(yaml.AliasEvent)
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if is_alias and event.anchor in self._open_anchors:
            raise SettingsError(f"line {_line(event)}: found '*{event.anchor}' within what it stands for")
        return super().compose_node(parent, index)

    def compose_sequence_node(self, anchor: Any) -> yaml.SequenceNode:
        self._open_anchors.add(anchor)
        node = super().compose_sequence_node(anchor)
        self._open_anchors.discard(anchor)
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        self._open_anchors.add(anchor)
        node = super().compose_mapping_node(anchor)
        self._open_anchors.discard(anchor)
        _check_keys([key for key, _ in node.value if isinstance(key, yaml.ScalarNode)])
        return node


def _check_keys(keys: list[yaml.ScalarNode]) -> None:
    lines: dict[tuple[str, str], int] = {}
    for key in keys:
        name = (key.tag, key.value)
        if name in lines:
            first = f"first in line {lines[name]}" if lines[name] != _line(key) else "which it already has"
            raise SettingsError(f"line {_line(key)}: expected each key once, found '{key.value}' again, {first}")
        lines[name] = _line(key)


def _line(place: Any) -> int:
    return int(place.start_mark.line) + 1


def _resolvers() -> dict[str, list[tuple[str, re.Pattern[str]]]]:
    """Return what PyYAML takes plain text for, by its first character, with numbers as above and without dates."""
    own = {f"tag:yaml.org,2002:{kind}": re.compile(rf"(?:{pattern})\Z") for kind, pattern in NUMBERS.items()}
    dates = "tag:yaml.org,2002:timestamp"
    return {
        first: [(tag, own.get(tag, pattern)) for tag, pattern in kinds if tag != dates]
        for first, kinds in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_SettingsLoader.yaml_implicit_resolvers = _resolvers()

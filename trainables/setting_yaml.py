"""YAML as settings are written in it: what looks like a date, a clock or an octal number is text.

In: the text of a file or of one setting. Out: plain values. PyYAML follows YAML 1.1, which takes ``2024-11-25`` for a
date, ``1:30`` for 90 and ``010`` for 8.
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
    """YAML that means nothing; the message says which and where."""


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
    """Plain values, without dates and numbers that people take for text."""


def _resolvers() -> dict[str, list[tuple[str, re.Pattern[str]]]]:
    """Return what PyYAML takes plain text for, by its first character, with numbers as above and without dates."""
    own = {f"tag:yaml.org,2002:{kind}": re.compile(rf"(?:{pattern})\Z") for kind, pattern in NUMBERS.items()}
    dates = "tag:yaml.org,2002:timestamp"
    return {
        first: [(tag, own.get(tag, pattern)) for tag, pattern in kinds if tag != dates]
        for first, kinds in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_SettingsLoader.yaml_implicit_resolvers = _resolvers()

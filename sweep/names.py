"""Names of arms and stages: they stand in settings, tables, figures and files, and must mean the same in each.

In: names of the experiment tree. Out: nothing, or an error that proposes a name; for a misspelt one the nearest.
Letters are those of any alphabet.
"""

import difflib
import re
import unicodedata
from collections.abc import Iterable
from typing import Any

import yaml

PATTERN = re.compile(r"[^\W_][\w+.-]{0,79}|[+][\w+.-]{0,79}")
EXPECTED = "expected letters, digits and + . _ -, at most 80 of them and not . _ - first"


def check_names(names: Iterable[str], what: str) -> None:
    """Raise ValueError for the first name that a setting or a shell would take apart, or YAML for no text."""
    for name in names:
        if not PATTERN.fullmatch(name):
            raise ValueError(f"{EXPECTED}, found {name!r}; write {_proposal(name, what)!r}")
        if not _is_text(name):
            raise ValueError(f"expected a name that YAML takes for text, found {name!r}; write {f'{what}-{name}'!r}")


def _proposal(name: str, what: str) -> str:
    """Return the name with a dash for what cannot stand in it."""
    plain = re.sub(r"[^\w+.-]+", "-", unicodedata.normalize("NFC", name)).strip("-._")[:80].rstrip("-._")
    return plain if plain and _is_text(plain) else f"{what}-{plain}".rstrip("-")[:80]


def _is_text(name: str) -> bool:
    """Return whether YAML reads a name as it is written, and not as a number, a date, true or null."""
    try:
        return isinstance(yaml.safe_load(name), str)
    except ValueError:  # a date that no calendar has
        return False


def nearest(name: str, valid: Any) -> str:
    """Return '; did you mean X?' or the list of valid names, as the end of a message."""
    names = [str(each) for each in valid]
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"; did you mean '{close[0]}'?" if close else f"; expected one of {', '.join(names) or '(none)'}"

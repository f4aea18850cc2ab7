"""``dataset.json``, which nnU-Net and the Medical Segmentation Decathlon both have, in two dialects.

In: a folder. Out: the parsed object and its labels, with a problem for each thing that it does not say as it should.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainables.config import MAX_CLASSES
from trainables.data.dataset import DataError, Problem

FILE = "dataset.json"
JSON_NAMES: dict[type, str] = {dict: "object", list: "list", str: "text"}


def load(root: Path) -> dict[str, Any]:
    """Parse the file. Raises DataError if it is missing or no JSON object."""
    path = root / FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise DataError(Problem(str(path), "no file", "the description of the dataset", "copy it again")) from error
    except (OSError, ValueError, RecursionError) as error:
        found = f"a file that cannot be read ({error})"
        raise DataError(Problem(str(path), found, "a JSON object", "correct or copy it again")) from error
    if not isinstance(content, dict):
        found = f"JSON that begins with {str(content)[:20]}"
        raise DataError(Problem(str(path), found, "a JSON object, {...}", "correct it"))
    return content


def peek(root: Path) -> dict[str, Any]:
    """Return the parsed file, or nothing where there is none that can be read."""
    try:
        return load(root)
    except DataError:
        return {}


def labels(root: Path, by_name: Mapping[str, Any], problems: list[Problem]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return class names and label values from name -> value, background at 0 and the rest rising.

    Where they are not as they should be there are no classes: masks are then not held against wrong ones.
    """
    known = len(problems)
    if not by_name:
        return (), (0,)
    where = str(root / FILE)
    plain = {name: value for name, value in by_name.items() if isinstance(value, int) and not isinstance(value, bool)}
    for name in by_name.keys() - plain.keys():
        found = f"label '{name}' = {by_name[name]}"
        remedy = "split regions into classes, each of one value that stands in the masks, which stay as they are"
        problems.append(Problem(where, found, "a whole number (regions of several labels are not trained)", remedy))
    if "ignore" in plain:
        remedy = (
            f"take it out of {FILE}; masks that hold {plain['ignore']} are refused then: draw in them what is ignored, "
            "or leave their cases out with data.exclude"
        )
        problems.append(Problem(where, "a label 'ignore'", "every pixel of a known class", remedy))
    if 0 not in plain.values():
        problems.append(Problem(where, f"labels {dict(by_name)}", "background = 0 among them", "add it"))
    foreground = sorted((value, name) for name, value in plain.items() if value != 0)
    if (
        (not foreground and len(plain) == len(by_name))
        or len({value for value, _ in foreground}) < len(foreground)
        or any(value < 0 for value, _ in foreground)
    ):
        expected = "at least one foreground class, each of its own value above 0"
        problems.append(Problem(where, f"labels {dict(by_name)}", expected, "correct the labels"))
    if len(foreground) > MAX_CLASSES:
        problems.append(Problem(where, f"{len(foreground)} classes", f"at most {MAX_CLASSES}", "merge classes"))
    if len(problems) > known:
        return (), (0,)
    return tuple(name for _, name in foreground), (0, *(value for value, _ in foreground))


def section(root: Path, content: Mapping[str, Any], key: str, kind: type, problems: list[Problem]) -> Any:
    """Return ``content[key]`` if it is of the kind and not empty, and otherwise an empty one and a problem."""
    value = content.get(key)
    if isinstance(value, kind) and value:
        return value
    found = f"{key} = {value!r}" if key in content else f"no key '{key}'"
    expected = f"a JSON {JSON_NAMES[kind]} under '{key}' that is not empty"
    problems.append(Problem(str(root / FILE), found, expected, "add or correct it"))
    return kind()


def check_count(root: Path, content: Mapping[str, Any], number: int, problems: list[Problem]) -> None:
    """Hold numTraining against the cases that are there."""
    claimed = content.get("numTraining")
    if claimed is not None and claimed != number:
        found, expected = f"numTraining = {claimed!r}", f"{number}, the training cases that are there"
        remedy = "copy the missing cases, or correct the number"
        problems.append(Problem(str(root / FILE), found, expected, remedy))

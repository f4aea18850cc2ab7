"""The files beside the tables: experiment.yaml, data.json, versions.json, references.json.

In: a results folder. Out: their content, whose parts that the report reads have the types that it expects; a missing
file is a warning, a damaged or foreign one a ReportError that names file, finding, expectation and remedy.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from analysis.loading.selection import ReportError

REWRITTEN = "run the sweep again with the same results folder, which writes it anew"
SECTIONS = ("data", "natural", "model", "stages", "arms", "finetune", "grid", "compute")


def read_experiment(root: Path, warnings: list[str]) -> dict[str, Any]:
    """Return the resolved experiment; empty where the file is missing."""
    path = root / "experiment.yaml"
    if not path.is_file():
        warnings.append(f"{path.name} is missing: the report uses its default options.")
        return {}
    tree = _parsed(path, yaml.safe_load, "YAML")
    for name in SECTIONS:
        _check(path, name, tree.get(name), _is_mapping, "a mapping")
    for name in ("price_per_device_hour", "gpus_per_cell"):
        _check(path, f"compute.{name}", (tree.get("compute") or {}).get(name), _is_amount, "a number of at least 0")
    return tree


def read_data(root: Path, warnings: list[str]) -> dict[str, Any]:
    """Return what the data are; empty where the file is missing."""
    path = root / "data.json"
    data = _read_json(path, warnings)
    for name in ("num_patients", "num_slices"):
        _check(path, name, data.get(name), _has_counts, "a mapping of whole numbers, such as {'train': 80}")
    for name in ("class_names", "warnings"):
        _check(path, name, data.get(name), _is_list_of_text, "a list of text")
    _check(path, "preprocessing", data.get("preprocessing"), _is_mapping, "a mapping")
    return data


def read_versions(root: Path, warnings: list[str]) -> dict[str, Any]:
    """Return versions by library; empty where the file is missing."""
    return _read_json(root / "versions.json", warnings)


def read_references(root: Path, warnings: list[str]) -> dict[str, str]:
    """Return what a paper cites by pretraining method; empty where the file is missing."""
    path = root / "references.json"
    references = _read_json(path, warnings)
    for name, work in references.items():
        _check(path, name, work, _is_text, "text")
    return references


def _read_json(path: Path, warnings: list[str]) -> dict[str, Any]:
    if not path.is_file():
        warnings.append(f"{path.name} is missing: its part of the report is left out.")
        return {}
    return _parsed(path, json.loads, "JSON")


def _parsed(path: Path, parse: Callable[[str], Any], language: str) -> dict[str, Any]:
    try:
        content = parse(path.read_text(encoding="utf-8"))
    except (ValueError, yaml.YAMLError, RecursionError) as error:  # bytes that are no text are a ValueError
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ReportError(f"{path} is damaged: expected {language} ({reason}); {REWRITTEN}") from error
    except OSError as error:
        raise ReportError(f"{path} cannot be read ({error}); make it readable") from error
    if not isinstance(content, dict):
        raise ReportError(f"{path} is damaged: expected a mapping, found {content!r:.80}; {REWRITTEN}")
    return content


def _check(path: Path, name: str, value: Any, fits: Callable[[Any], bool], expected: str) -> None:
    if value is not None and not fits(value):
        raise ReportError(f"{path}: {name} is {value!r:.80}, expected {expected}; {REWRITTEN}")


def _is_mapping(value: Any) -> bool:
    return isinstance(value, Mapping)


def _is_amount(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0


def _has_counts(value: Any) -> bool:
    return _is_mapping(value) and all(isinstance(each, int) for each in value.values())


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_list_of_text(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)

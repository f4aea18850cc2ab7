"""Which patients train, validate and test, and which slices are labelled.

In: patients, their groups, and seeds. Out: patient-disjoint splits, and for each subset seed one fixed order of the
training slices (or patients), so that the subset of n labels contains every smaller one and is the same for every arm.
"""

import json
import re
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from trainables.config import DataConfig
from trainables.data.dataset import DataError, Problem, Volume, listed, natural_order

Part = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = ("train", "validation", "test")
READ_BY = {
    "test_fraction": ("fractions",),
    "validation_fraction": ("fractions", "file"),
    "split_seed": ("fractions", "file"),
    "split_fold": ("file",),
}
"""Settings of data that some splits alone read."""


def split_patients(
    volumes: Sequence[Volume], config: DataConfig, excluded_cases: Collection[str] = ()
) -> dict[str, Part]:
    """Assign each patient to one part; patients that a split file does not name are in none.

    ``paper``: number ending in 1 tests, in 2 validates (Kalapos & Gyires-Tóth 2022, official code). ``fractions``: a
    seeded draw, every group in its share. ``file``: see ``_from_file``. Raises DataError when a part would be empty,
    and for a setting that the split does not read.
    """
    if problems := _passed_over(config):
        raise DataError(*problems)
    groups = {volume.patient: volume.group for volume in sorted(volumes, key=lambda v: natural_order(v.patient))}
    if config.split == "paper":
        parts: dict[str, Part] = {name: _papers_part(name) for name in groups}
    elif config.split == "file":
        parts = _from_file(volumes, groups, config, {*config.exclude, *excluded_cases})
    else:
        parts = _by_fractions(groups, config)
    for part in PARTS:
        if part not in parts.values() and (part != "validation" or config.validation_slices != 0):
            remedy = "add patients, or change data.split and its fractions"
            found = f"{len(groups)} patients, of which the split '{config.split}' leaves none for {part}"
            raise DataError(Problem(_where(config), found, "patients in every part", remedy))
    return parts


def _passed_over(config: DataConfig) -> list[Problem]:
    """Settings that differ from their default, and that the split has no use for."""
    problems, split = [], "fractions" if config.split == "auto" else config.split
    for key, readers in READ_BY.items():
        value, default = getattr(config, key), DataConfig.model_fields[key].default
        if split not in readers and value != default:
            found = f"data.{key}={value:g}, which the split '{split}' does not read"
            others = " or ".join(f"data.split={reader}" for reader in readers)
            problems.append(Problem(_where(config), found, f"data.{key}={default:g}", f"remove it, or set {others}"))
    return problems


def _where(config: DataConfig) -> str:
    return str(config.root or "the phantom")


def _papers_part(name: str) -> Part:
    digits = re.search(r"(\d)\D*$", name)
    if digits is None:
        problem = Problem(f"patient {name}", "a name without a number", "one, for the paper's split", "set data.split")
        raise DataError(problem)
    return {"1": "test", "2": "validation"}.get(digits.group(1), "train")  # type: ignore[return-value]


def _by_fractions(groups: Mapping[str, str], config: DataConfig) -> dict[str, Part]:
    names = sorted(groups)
    order = stratified_order([groups[name] for name in names], np.random.default_rng(config.split_seed))
    num_test = max(1, round(config.test_fraction * len(names)))
    num_validation = round(config.validation_fraction * len(names))
    num_validation = max(1, num_validation) if _validates(config) else 0
    parts: dict[str, Part] = dict.fromkeys(names, "train")
    for index in order[:num_test]:
        parts[names[index]] = "test"
    for index in order[num_test : num_test + num_validation]:
        parts[names[index]] = "validation"
    return parts


def _validates(config: DataConfig) -> bool:
    """Whether patients are set aside for validation; without validation slices they would only be lost to training."""
    return config.validation_fraction > 0 and config.validation_slices != 0


def _from_file(
    volumes: Sequence[Volume], groups: Mapping[str, str], config: DataConfig, excluded: Collection[str]
) -> dict[str, Part]:
    """Read a fold of nnU-Net's ``splits_final.json``: a list of {train, val} of case names.

    nnU-Net's folds have no test cases: its ``val`` tests here, and validation patients are drawn from its ``train``
    (validation_fraction, split_seed). Where an entry has ``test``, all three are taken as they are. Names that are
    ``excluded`` are passed over.
    """
    path = config.split_file
    assert path is not None
    fold = _read_fold(path, config.split_fold)
    sources: dict[str, Part] = {"train": "train", "val": "validation", "test": "test"}
    if "test" not in fold:
        sources = {"train": "train", "val": "test"}
    patient_of = {name: each.patient for each in volumes for name in (*each.cases, each.name, each.patient)}
    parts: dict[str, Part] = {}
    for key, part in sources.items():
        for name in map(str, fold.get(key, [])):
            patient = patient_of.get(name)
            if patient is None and name not in excluded:
                remedy = "correct the file, or data.root"
                raise DataError(Problem(str(path), f"case '{name}' in '{key}'", "a case of the data", remedy))
            if patient is not None and parts.setdefault(patient, part) != part:
                remedy = "keep all cases of a patient in one part"
                found = f"patient {patient} in '{part}' and in '{parts[patient]}'"
                raise DataError(Problem(str(path), found, "patients that the split keeps apart", remedy))
    if "test" not in fold:
        _draw_validation(parts, groups, config)
    return parts


def _read_fold(path: Path, fold: int) -> dict[str, list[Any]]:
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        remedy = "correct data.split_file"
        raise DataError(Problem(str(path), f"no split ({error})", "a JSON list of folds", remedy)) from error
    folds = content if isinstance(content, list) else [content]
    if fold >= len(folds):
        problem = Problem(str(path), f"{len(folds)} folds", f"a fold {fold}", "lower data.split_fold (from 0)")
        raise DataError(problem)
    entry = folds[fold]
    wanted = ("train", "val", "test") if isinstance(entry, dict) and "test" in entry else ("train", "val")
    if not isinstance(entry, dict) or not all(isinstance(entry.get(key), list) for key in wanted):
        expected = "{train: [case, ...], val: [case, ...]}, and test if there is one"
        raise DataError(Problem(f"{path}, fold {fold}", f"{str(entry)[:60]}", expected, "correct the file"))
    return entry


def _draw_validation(parts: dict[str, Part], groups: Mapping[str, str], config: DataConfig) -> None:
    """Move a share of the training patients to validation."""
    names = sorted(name for name, part in parts.items() if part == "train")
    wanted = max(1, round(config.validation_fraction * len(names))) if _validates(config) else 0
    order = stratified_order([groups[name] for name in names], np.random.default_rng(config.split_seed))
    for index in order[:wanted]:
        parts[names[index]] = "validation"


def as_nnunet_split(volumes: Sequence[Volume], parts: Mapping[str, Part]) -> list[dict[str, list[str]]]:
    """Return the split as ``splits_final.json`` has it: one fold of case names; nnU-Net passes over ``test``."""
    keys: dict[Part, str] = {"train": "train", "validation": "val", "test": "test"}
    return [{keys[part]: [name for v in volumes if parts.get(v.patient) == part for name in v.cases] for part in PARTS}]


def stratified_order(strata: Sequence[Hashable], rng: np.random.Generator) -> list[int]:
    """Return a random order of the positions in which every beginning holds each stratum in its share.

    Of m members of a stratum the j-th drawn (from 0) stands at (j + u) / m, with one random u for each stratum: for any
    beginning there is a share t such that every stratum has t * m members in it, give or take one. With one stratum
    it is a plain permutation.
    """
    members: dict[Hashable, list[int]] = {}
    for index in rng.permutation(len(strata)):
        members.setdefault(strata[index], []).append(int(index))
    places: list[tuple[float, int]] = []
    for stratum in members.values():  # in order of first appearance: what strata are called changes nothing
        start = rng.uniform()
        places += [((j + start) / len(stratum), index) for j, index in enumerate(stratum)]
    return [index for _, index in sorted(places)]


@dataclass(frozen=True)
class SliceOrigin:
    """Where a training slice comes from. ``index`` counts the slices of its volume from 0."""

    patient: str
    phase: str
    group: str
    index: int
    num_slices: int  # of its volume

    @property
    def level(self) -> int:
        """Which third of the volume it is in."""
        return min(2, 3 * self.index // self.num_slices)


@dataclass(frozen=True)
class LabelSubset:
    """The labelled training slices of one cell: positions in the store, and how many patients they touch."""

    slices: tuple[int, ...]
    num_patients: int


def label_order(slices: Sequence[SliceOrigin], config: DataConfig, seed: int) -> list[list[int]]:
    """Return the training slices in the order in which they are labelled, grouped by unit.

    Each inner list is one unit: a slice, or all slices of one patient. The first n units are the subset of n labels.
    ``uniform``: every order is as likely; ``stratified``: slices by group, phase and level, patients by group.
    ``data.label_orders`` takes an order that was written down instead. Raises DataError where that one does not fit.
    """
    if config.label_orders is not None:
        return _read_order(slices, config, seed)
    rng = np.random.default_rng([seed, 1])
    if config.label_unit == "slices":
        strata = [(each.group, each.phase, each.level) for each in slices]
        return [[index] for index in _drawn(strata, config, rng)]
    members: dict[str, list[int]] = {}
    for index, each in enumerate(slices):
        members.setdefault(each.patient, []).append(index)
    names = sorted(members)
    return [members[names[index]] for index in _drawn([slices[members[name][0]].group for name in names], config, rng)]


def _drawn(strata: Sequence[Hashable], config: DataConfig, rng: np.random.Generator) -> list[int]:
    if config.label_draw == "stratified":
        return stratified_order(strata, rng)
    return [int(index) for index in rng.permutation(len(strata))]


def describe_order(slices: Sequence[SliceOrigin], order: Sequence[Sequence[int]]) -> list[dict[str, Any]]:
    """Return an order as people and other programs read it: unit, patient, phase and slice number, from 0."""
    return [
        {"unit": unit, "patient": slices[index].patient, "phase": slices[index].phase, "slice": slices[index].index}
        for unit, group in enumerate(order, 1)
        for index in group
    ]


def _read_order(slices: Sequence[SliceOrigin], config: DataConfig, seed: int) -> list[list[int]]:
    assert config.label_orders is not None
    path = config.label_orders / f"seed-{seed}.json"
    try:
        content = json.loads(path.read_text())
        rows = [(int(row["unit"]), (row["patient"], row["phase"], int(row["slice"]))) for row in content["order"]]
        unit = str(content["unit"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        remedy = "name a folder of seed-N.json as a run leaves them in results/NAME/subsets"
        raise DataError(Problem(str(path), f"no label order ({error!r})", "unit and order", remedy)) from error
    if unit != config.label_unit:
        raise DataError(Problem(str(path), f"an order of {unit}", f"one of {config.label_unit}", "set data.label_unit"))
    position = {(each.patient, each.phase, each.index): index for index, each in enumerate(slices)}
    strangers = [place for _, place in rows if place not in position]
    if strangers or len({place for _, place in rows}) < len(rows):
        found = f"slices that are no training slices here, or are there twice ({listed(strangers)})"
        raise DataError(Problem(str(path), found, "training slices, each once", "use the same data and split"))
    order: dict[int, list[int]] = {}
    for number, place in rows:
        order.setdefault(number, []).append(position[place])
    return [order[number] for number in sorted(order)]


def take_labels(slices: Sequence[SliceOrigin], order: Sequence[Sequence[int]], count: int, unit: str) -> LabelSubset:
    """Return the first ``count`` units of an order. Raises DataError when there are fewer."""
    if not 1 <= count <= len(order):
        raise DataError(f"label count {count} is out of range: the training split has {len(order)} {unit}")
    chosen = tuple(index for group in order[:count] for index in group)
    return LabelSubset(chosen, len({slices[index].patient for index in chosen}))

"""Which patients train, validate and test, and which slices are labelled.

In: patients and seeds. Out: patient-disjoint splits, and for each subset seed one fixed order of the training
slices (or patients), so that the subset of n labels contains every smaller one and is the same for every arm.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from trainables.config import DataConfig
from trainables.data.acdc import DataError

Part = Literal["train", "validation", "test"]


def split_patients(names: Sequence[str], numbers: Sequence[int], config: DataConfig) -> dict[str, Part]:
    """Assign each patient to one part.

    ``paper``: number ending in 1 tests, in 2 validates (Kalapos & Gyires-Toth 2022, official code). ``fractions``:
    a seeded permutation of the sorted names. Raises DataError when a part would be empty.
    """
    if config.split == "paper":
        parts: dict[str, Part] = {
            name: {1: "test", 2: "validation"}.get(number % 10, "train")  # type: ignore[misc]
            for name, number in zip(names, numbers, strict=True)
        }
    else:
        parts = _by_fractions(sorted(names), config)
    for part in ("train", "validation", "test"):
        if part not in parts.values():
            raise DataError(
                f"split {config.split} leaves no {part} patient among {len(names)}; add patients or change data.split"
            )
    return parts


def _by_fractions(names: list[str], config: DataConfig) -> dict[str, Part]:
    order = np.random.default_rng(config.split_seed).permutation(len(names))
    num_test = max(1, round(config.test_fraction * len(names)))
    num_validation = max(1, round(config.validation_fraction * len(names)))
    parts: dict[str, Part] = dict.fromkeys(names, "train")
    for index in order[:num_test]:
        parts[names[index]] = "test"
    for index in order[num_test : num_test + num_validation]:
        parts[names[index]] = "validation"
    return parts


@dataclass(frozen=True)
class LabelSubset:
    """The labelled training slices of one cell: positions in the store, and how many patients they touch."""

    slices: tuple[int, ...]
    num_patients: int


def label_order(patients: Sequence[str], unit: Literal["slices", "patients"], seed: int) -> list[list[int]]:
    """Return the training slices in the order in which they are labelled, grouped by unit.

    ``patients`` names the patient of each training slice. Each inner list is one unit: a slice, or all slices of one
    patient. The first n units are the subset of n labels.
    """
    rng = np.random.default_rng([seed, 1])
    if unit == "slices":
        return [[int(index)] for index in rng.permutation(len(patients))]
    names = sorted(set(patients))
    members = {name: [index for index, patient in enumerate(patients) if patient == name] for name in names}
    return [members[names[index]] for index in rng.permutation(len(names))]


def draw_subset(patients: Sequence[str], unit: Literal["slices", "patients"], count: int, seed: int) -> LabelSubset:
    """Return the first ``count`` units of the label order. Raises DataError when there are fewer."""
    order = label_order(patients, unit, seed)
    if not 1 <= count <= len(order):
        raise DataError(f"label count {count} is out of range: the training split has {len(order)} {unit}")
    slices = tuple(index for group in order[:count] for index in group)
    return LabelSubset(slices, len({patients[index] for index in slices}))

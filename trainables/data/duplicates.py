"""Patients that are there twice under two names.

In: the fingerprints of every labelled slice. Out: each pair of patients that share one. A slice of one value everywhere
is no evidence and has the fingerprint 0. The real ACDC has such a pair (patient074 and patient076: one examination,
outlined twice), both in training.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from trainables.data.dataset import Problem


@dataclass(frozen=True)
class SharedSlices:
    """Two patients with identical slices, and a case of each in which they are."""

    patients: tuple[str, str]
    cases: tuple[str, str]
    num_slices: int

    def __str__(self) -> str:
        one, two = self.patients
        return f"patients {one} and {two} with {self.num_slices} identical slices (cases {' and '.join(self.cases)})"


def shared_slices(volumes: Iterable[tuple[str, str, npt.NDArray[np.uint64]]]) -> list[SharedSlices]:
    """Find the pairs of patients with an identical slice, from (patient, case, fingerprints)."""
    first_seen: dict[int, tuple[str, str]] = {}
    found: dict[tuple[str, str], SharedSlices] = {}
    for patient, case, marks in volumes:
        for mark in marks[marks != 0]:
            other, other_case = first_seen.setdefault(int(mark), (patient, case))
            if other != patient:
                pair = (other, patient)
                before = found.get(pair, SharedSlices(pair, (other_case, case), 0))
                found[pair] = SharedSlices(pair, before.cases, before.num_slices + 1)
    return list(found.values())


def across_parts(pairs: Iterable[SharedSlices], parts: Mapping[str, str], root: Path) -> list[Problem]:
    """Return a problem for each pair that the split tears apart: what is tested would have been trained on."""
    problems = []
    for pair in pairs:
        one, two = (parts[patient] for patient in pair.patients)
        if one != two:
            remedy = (
                f"leave one out (data.exclude=[{pair.patients[1]}]), or give both one patient id "
                "(data.patient_pattern, cases.csv)"
            )
            problems.append(Problem(str(root), f"{pair}, in {one} and {two}", "different images in each part", remedy))
    return problems

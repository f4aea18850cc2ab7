"""Patient-disjoint splits and nested label subsets."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainables.config import DataConfig
from trainables.data.acdc import DataError
from trainables.data.splits import draw_subset, label_order, split_patients

PATIENTS = [f"patient{number:03d}" for number in range(1, 101)]


def test_the_papers_split_tests_numbers_ending_in_1_and_validates_those_in_2() -> None:
    parts = split_patients(PATIENTS, range(1, 101), DataConfig())
    assert [name for name in PATIENTS if parts[name] == "test"] == [f"patient{n:03d}" for n in range(1, 101, 10)]
    assert [name for name in PATIENTS if parts[name] == "validation"] == [f"patient{n:03d}" for n in range(2, 101, 10)]


@given(count=st.integers(5, 120), seed=st.integers(0, 5))
def test_fractions_give_every_patient_one_part_and_leave_no_part_empty(count: int, seed: int) -> None:
    names = [f"patient{number:03d}" for number in range(count)]
    config = DataConfig(split="fractions", split_seed=seed)
    parts = split_patients(names, range(count), config)
    assert set(parts) == set(names)
    assert set(parts.values()) == {"train", "validation", "test"}
    assert abs(list(parts.values()).count("test") - 0.2 * count) <= 1


def test_a_split_without_test_patients_is_refused() -> None:
    with pytest.raises(DataError, match="leaves no validation patient among 3"):
        split_patients(PATIENTS[2:5], [3, 4, 5], DataConfig())


slices = st.lists(st.sampled_from(PATIENTS[:6]), min_size=2, max_size=60)


@given(patients=slices, seed=st.integers(0, 9), unit=st.sampled_from(["slices", "patients"]))
def test_label_subsets_are_nested_for_one_seed(patients: list[str], seed: int, unit: str) -> None:
    available = len(label_order(patients, unit, seed))  # type: ignore[arg-type]
    subsets = [set(draw_subset(patients, unit, count, seed).slices) for count in range(1, available + 1)]  # type: ignore[arg-type]
    assert all(smaller < larger for smaller, larger in pairwise(subsets))
    assert subsets[-1] == set(range(len(patients)))


@given(patients=slices, seed=st.integers(0, 9))
def test_counts_are_exact_in_slices_and_in_patients(patients: list[str], seed: int) -> None:
    by_slice = draw_subset(patients, "slices", 2, seed)
    assert len(by_slice.slices) == 2
    assert by_slice.num_patients == len({patients[index] for index in by_slice.slices})
    by_patient = draw_subset(patients, "patients", 1, seed)
    assert len({patients[index] for index in by_patient.slices}) == by_patient.num_patients == 1
    name = patients[by_patient.slices[0]]
    assert len(by_patient.slices) == patients.count(name)


def test_another_seed_gives_another_order() -> None:
    assert label_order(PATIENTS, "slices", 0) != label_order(PATIENTS, "slices", 1)


def test_a_label_count_above_the_slices_there_are_is_refused() -> None:
    with pytest.raises(DataError, match=r"label count 4 is out of range: the training split has 3 slices"):
        draw_subset(["a", "a", "b"], "slices", 4, 0)

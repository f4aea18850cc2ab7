"""Patient-disjoint splits: the paper's, by fractions, and from nnU-Net's file."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trainables_datasets import Written

from trainables.config import DataConfig
from trainables.data.cases import Exclusion, FoundCase, to_volumes
from trainables.data.dataset import DataError, Piece, Problem, Volume
from trainables.data.inspection import inspect
from trainables.data.listing import list_volumes
from trainables.data.slices import open_store
from trainables.data.splits import (
    as_nnunet_split,
    split_patients,
    stratified_order,
)

PATIENTS = [f"patient{number:03d}" for number in range(1, 101)]


def volumes_of(patients: Sequence[str], groups: Sequence[str] | None = None) -> list[Volume]:
    """Two volumes of each patient, as ACDC has them."""
    return [
        Volume(f"{patient}_{phase}", patient, phase, group, (Piece((Path(f"{patient}_{phase}.nii.gz"),)),))
        for patient, group in zip(patients, groups or ["NOR"] * len(patients), strict=True)
        for phase in ("ED", "ES")
    ]


def of_part(parts: dict[str, Any], part: str) -> list[str]:
    return [patient for patient, found in parts.items() if found == part]


def test_the_papers_split_tests_numbers_ending_in_1_and_validates_those_in_2() -> None:
    parts = split_patients(volumes_of(PATIENTS), DataConfig(split="paper"))
    assert of_part(parts, "test") == [f"patient{number:03d}" for number in range(1, 101, 10)]
    assert of_part(parts, "validation") == [f"patient{number:03d}" for number in range(2, 101, 10)]
    assert len(of_part(parts, "train")) == 80


@given(
    beginning=st.text(st.characters(exclude_categories=("Nd", "Cs")), max_size=5),
    ending=st.text("abcxyz_-", max_size=5),
    tens=st.integers(0, 99),
)
def test_the_papers_split_goes_by_the_last_digit_of_any_name(beginning: str, ending: str, tens: int) -> None:
    names = {digit: f"{beginning}{tens}{digit}{ending}" for digit in range(10)}
    parts = split_patients(volumes_of(list(names.values())), DataConfig(split="paper"))
    expected = dict.fromkeys(range(10), "train") | {1: "test", 2: "validation"}
    assert {digit: parts[name] for digit, name in names.items()} == expected


def test_the_papers_split_of_a_name_without_a_number_is_refused() -> None:
    with pytest.raises(DataError, match="patient anna: found a name without a number"):
        split_patients(volumes_of(["anna", "patient1"]), DataConfig(split="paper"))


@settings(max_examples=50)
@given(
    sizes=st.lists(st.integers(1, 25), min_size=1, max_size=6).filter(lambda sizes: sum(sizes) >= 5),
    test=st.sampled_from([0.1, 0.2, 0.3]),
    validation=st.sampled_from([0.1, 0.15, 0.3]),
    seed=st.integers(0, 5),
)
def test_fractions_put_every_patient_into_one_part_and_each_group_into_its_share(
    sizes: list[int], test: float, validation: float, seed: int
) -> None:
    groups = [f"group{number}" for number, size in enumerate(sizes) for _ in range(size)]
    names = [f"p{number}" for number in range(len(groups))]
    config = DataConfig(split="fractions", test_fraction=test, validation_fraction=validation, split_seed=seed)
    parts = split_patients(volumes_of(names, groups), config)
    assert set(parts) == set(names)
    assert len(of_part(parts, "test")) == max(1, round(test * len(names)))
    assert len(of_part(parts, "validation")) == max(1, round(validation * len(names)))
    assert parts == split_patients(volumes_of(names, groups)[::-1], config)  # however they are listed
    for held_out in (("test",), ("test", "validation")):
        counts = Counter(group for name, group in zip(names, groups, strict=True) if parts[name] in held_out)
        assert_in_share([counts[f"group{number}"] for number in range(len(sizes))], sizes)


def assert_in_share(counts: Sequence[int], sizes: Sequence[int]) -> None:
    """There is one share of which every group has its own, give or take one member."""
    lowest = max((count - 1) / size for count, size in zip(counts, sizes, strict=True))
    highest = min((count + 1) / size for count, size in zip(counts, sizes, strict=True))
    assert lowest <= highest + 1e-9


@given(seed=st.integers(0, 200))
def test_of_groups_of_one_size_each_tests_exactly_its_share(seed: int) -> None:
    groups = [f"group{number % 5}" for number in range(100)]
    parts = split_patients(volumes_of(PATIENTS, groups), DataConfig(split="fractions", split_seed=seed))
    counts = Counter(group for name, group in zip(PATIENTS, groups, strict=True) if parts[name] == "test")
    assert counts == {f"group{number}": 4 for number in range(5)}  # 20 of 100 test: 4 of each 20


def test_another_split_seed_tests_other_patients() -> None:
    splits = {
        tuple(of_part(split_patients(volumes_of(PATIENTS), DataConfig(split="fractions", split_seed=seed)), "test"))
        for seed in range(5)
    }
    assert len(splits) == 5


def test_the_names_of_groups_do_not_matter_to_the_split() -> None:
    groups = ["NOR", "DCM", "HCM", "RV"] * 25
    renamed = [{"NOR": "z", "DCM": "a", "HCM": "m", "RV": "b"}[group] for group in groups]
    config = DataConfig(split="fractions")
    assert split_patients(volumes_of(PATIENTS, groups), config) == split_patients(volumes_of(PATIENTS, renamed), config)


@pytest.mark.parametrize(
    ("patients", "config", "message"),
    [
        (PATIENTS[2:5], DataConfig(split="paper"), "3 patients, of which the split 'paper' leaves none for"),
        (PATIENTS[:2], DataConfig(split="paper"), "the split 'paper' leaves none for train"),
        (PATIENTS[:2], DataConfig(split="fractions"), "the split 'fractions' leaves none for train"),
    ],
)
def test_a_split_that_leaves_a_part_empty_is_refused(patients: list[str], config: DataConfig, message: str) -> None:
    with pytest.raises(DataError, match=message):
        split_patients(volumes_of(patients), config)


def test_no_validation_patients_are_needed_where_nothing_is_validated() -> None:
    config = DataConfig(split="fractions", validation_fraction=0, validation_slices=0)
    parts = split_patients(volumes_of(PATIENTS[:10]), config)
    assert Counter(parts.values()) == {"train": 8, "test": 2}
    paper = split_patients(volumes_of(["patient1", "patient3"]), DataConfig(split="paper", validation_slices=0))
    assert paper == {"patient1": "test", "patient3": "train"}


@pytest.fixture
def imported(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Split ten patients by the content of a file."""

    def call(content: object, patients: Sequence[str] = PATIENTS[:10], **config: Any) -> dict[str, Any]:
        path = tmp_path / "splits_final.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        values = {"split": "file", "split_file": path, "validation_slices": 0, "validation_fraction": 0} | config
        return dict(split_patients(volumes_of(patients), DataConfig.model_validate(values)))

    return call


def cases(*numbers: int) -> list[str]:
    return [f"patient{number:03d}_{phase}" for number in numbers for phase in ("ED", "ES")]


FOLDS = [
    {"train": cases(3, 4, 5, 6, 7, 8, 9, 10), "val": cases(1, 2)},
    {"train": cases(1, 2, 5, 6, 7, 8, 9, 10), "val": cases(3, 4)},
]


@pytest.mark.parametrize(
    ("settings", "split", "remedy"),
    [
        ({"split_seed": 1}, "paper", "data.split=fractions or data.split=file"),
        ({"test_fraction": 0.4}, "paper", "data.split=fractions"),
        ({"validation_fraction": 0.3}, "paper", "data.split=fractions or data.split=file"),
        ({"split_fold": 3}, "paper", "data.split=file"),
        ({"split_fold": 3}, "fractions", "data.split=file"),
        ({"test_fraction": 0.4, "split_file": Path("split.json")}, "file", "data.split=fractions"),
    ],
)
def test_a_setting_that_the_split_does_not_read_is_refused(settings: dict[str, Any], split: str, remedy: str) -> None:
    key, value = next(iter(settings.items()))
    message = (
        rf"found data\.{key}={value}, which the split '{split}' does not read; expected .* remove it, or set {remedy}$"
    )
    with pytest.raises(DataError, match=message):
        split_patients(volumes_of(PATIENTS), DataConfig(split=split, **settings))


def test_a_setting_that_the_split_of_the_phantom_does_not_read_stops_a_run(tmp_path: Path) -> None:
    """``auto`` is the paper's split there."""
    with pytest.raises(DataError, match=r"found data\.split_seed=1, which the split 'paper' does not read"):
        open_store(DataConfig(split_seed=1), tmp_path)


@pytest.mark.parametrize(("fold", "test"), [(0, [1, 2]), (1, [3, 4])])
def test_the_val_cases_of_nnunets_fold_are_tested(
    imported: Callable[..., dict[str, Any]], fold: int, test: list[int]
) -> None:
    parts = imported(FOLDS, split_fold=fold)
    assert sorted(of_part(parts, "test")) == [f"patient{number:03d}" for number in test]
    assert len(of_part(parts, "train")) == 8
    assert not of_part(parts, "validation")


def test_validation_patients_are_drawn_from_the_folds_training_cases(
    imported: Callable[..., dict[str, Any]],
) -> None:
    values = {"validation_fraction": 0.25, "validation_slices": None}
    draws = [imported(FOLDS, split_seed=seed, **values) for seed in (0, 0, 1, 2, 3)]
    for parts in draws:
        assert Counter(parts.values()) == {"train": 6, "validation": 2, "test": 2}  # a quarter of the eight
        assert sorted(of_part(parts, "test")) == ["patient001", "patient002"]
    assert draws[0] == draws[1]
    assert len({tuple(sorted(of_part(parts, "validation"))) for parts in draws}) > 1


def test_a_fold_with_test_cases_is_taken_as_it_is(imported: Callable[..., dict[str, Any]]) -> None:
    fold = {"train": cases(1, 2, 3), "val": cases(4), "test": cases(5, 6)}
    parts = imported([fold], validation_fraction=0.4, validation_slices=None)
    expected = (
        dict.fromkeys(PATIENTS[:3], "train") | {"patient004": "validation"} | dict.fromkeys(PATIENTS[4:6], "test")
    )
    assert parts == expected  # and patients 7 to 10, which the file does not name, are in no part


def test_a_single_fold_need_not_be_in_a_list_and_may_name_patients(imported: Callable[..., dict[str, Any]]) -> None:
    parts = imported({"train": PATIENTS[:7], "val": PATIENTS[7:10]})
    assert sorted(of_part(parts, "test")) == PATIENTS[7:10]


def test_an_excluded_case_may_stand_in_the_file(imported: Callable[..., dict[str, Any]]) -> None:
    folds = [{"train": [*FOLDS[0]["train"], "patient099_ED"], "val": cases(1, 2)}]
    assert imported(folds, exclude=["patient099_ED"]) == imported(FOLDS)


def test_an_excluded_case_may_stand_in_the_file_as_a_number(imported: Callable[..., dict[str, Any]]) -> None:
    parts = imported([{"train": [2, 3, 99], "val": [1]}], ["1", "2", "3"], exclude=["99"])
    assert parts == {"1": "test", "2": "train", "3": "train"}


@pytest.mark.parametrize(
    ("layout", "endings"),
    [
        ("acdc", ["frame04", "frame11"]),
        ("nnunet", ["ED", "ES"]),
        ("decathlon", ["ED", "ES"]),
        ("folder", [f"{phase}_{number}" for phase in ("ED", "ES") for number in (8, 9, 10)]),
    ],
)
@pytest.mark.parametrize("excluded", [["patient010"], ["patient010_ED", "patient010_ES"]])
def test_cases_of_excluded_patients_may_stand_in_the_file(
    written: dict[str, Written], tmp_path: Path, layout: str, endings: list[str], excluded: list[str]
) -> None:
    exclude = [f"patient010_{each}" for each in endings] if layout == "acdc" and len(excluded) > 1 else excluded
    named = {number: [f"patient{number:03d}_{each}" for each in endings] for number in (1, 2, 3, 4, 10)}
    path = tmp_path / "splits_final.json"
    config = written[layout].config(split="file", split_file=path, exclude=exclude, validation_slices=0)
    path.write_text(json.dumps([{"train": named[1] + named[2] + named[10], "val": named[3] + named[4]}]))
    expected = {"patient001": "train", "patient002": "train", "patient003": "test", "patient004": "test"}
    assert list_volumes(config).parts == expected
    inspection = inspect(config)
    assert inspection.parts == expected
    assert not inspection.problems
    path.write_text(json.dumps([{"train": [*named[1], "patient010_frame99"], "val": named[3]}]))
    with pytest.raises(DataError, match="case 'patient010_frame99' in 'train'; expected a case of the data"):
        list_volumes(config)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([{"train": cases(1, 2), "val": cases(3, 99)}], "case 'patient099_ED' in 'val'"),
        (
            [{"train": ["patient001_ED", *cases(2)], "val": ["patient001_ES"]}],
            "patient patient001 in 'test' and in 'train'",
        ),
        (
            [{"train": cases(1), "val": cases(2), "test": cases(3, 2)}],
            "patient patient002 in 'test' and in 'validation'",
        ),
        ([], r"found 0 folds; expected a fold 0; lower data\.split_fold"),
        ([{"train": cases(1)}], r"fold 0: found .*; expected \{train: "),
        ([{"train": cases(1), "val": cases(2), "test": None}], r"fold 0: found .*; expected \{train: "),
        ([[1, 2]], r"fold 0: found \[1, 2\]; expected \{train: "),
        ("{", "found no split"),
        ([{"train": cases(1, 2), "val": []}], "the split 'file' leaves none for test"),
    ],
)
def test_a_file_that_is_no_split_of_these_data_is_refused(
    imported: Callable[..., dict[str, Any]], content: object, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        imported(content)


def test_a_file_that_is_missing_is_refused(tmp_path: Path) -> None:
    config = DataConfig(split="file", split_file=tmp_path / "none.json")
    with pytest.raises(DataError, match=r"none\.json: found no split"):
        split_patients(volumes_of(PATIENTS), config)


@settings(max_examples=25)
@given(seed=st.integers(0, 99), count=st.integers(4, 40), fraction=st.sampled_from([0.0, 0.15, 0.3]))
def test_an_exported_split_reads_back_as_itself(
    tmp_path_factory: pytest.TempPathFactory, seed: int, count: int, fraction: float
) -> None:
    volumes = volumes_of([f"p{number}" for number in range(count)])
    values: dict[str, Any] = {"validation_fraction": fraction, "validation_slices": None if fraction else 0}
    parts = split_patients(volumes, DataConfig(split="fractions", split_seed=seed, **values))
    path = tmp_path_factory.mktemp("split") / "splits_final.json"
    path.write_text(json.dumps(as_nnunet_split(volumes, parts)))
    assert split_patients(volumes, DataConfig(split="file", split_file=path, **values)) == parts


def test_splits_of_pictures_name_each_picture_as_nnunet_does(tmp_path: Path) -> None:
    names = [f"p{patient}_s{number}" for patient in range(4) for number in range(3)]
    found = [FoundCase(name, Piece((Path(f"{name}_0000.png"),), Path(f"{name}.png"))) for name in names]
    problems: list[Problem] = []
    volumes = to_volumes(found, DataConfig(patient_pattern=r"(p\d+)_"), Exclusion(()), tmp_path, problems)
    assert [volume.patient for volume in volumes] == ["p0", "p1", "p2", "p3"]
    path = tmp_path / "splits_final.json"
    path.write_text(json.dumps([{"train": names[:9], "val": names[9:]}]))
    config = DataConfig(split="file", split_file=path, validation_slices=0, validation_fraction=0)
    parts = split_patients(volumes, config)
    assert parts == {"p0": "train", "p1": "train", "p2": "train", "p3": "test"}
    assert as_nnunet_split(volumes, parts) == [{"train": names[:9], "val": [], "test": names[9:]}]


def test_without_validation_slices_no_patient_is_lost_to_validation() -> None:
    config = DataConfig(split="fractions", validation_slices=0)
    parts = list(split_patients(volumes_of([f"p{n:02d}" for n in range(20)]), config).values())
    assert (parts.count("train"), parts.count("validation"), parts.count("test")) == (16, 0, 4)


@given(strata=st.lists(st.sampled_from("abcdef"), min_size=1, max_size=60), seed=st.integers(0, 99))
def test_every_beginning_of_a_stratified_order_holds_each_stratum_in_one_share(strata: list[str], seed: int) -> None:
    order = stratified_order(strata, np.random.default_rng(seed))
    assert sorted(order) == list(range(len(strata)))
    sizes = Counter(strata)
    for length in range(len(order) + 1):
        counts = Counter(strata[index] for index in order[:length])
        assert_in_share([counts[name] for name in sizes], list(sizes.values()))


@given(count=st.integers(1, 80), seed=st.integers(0, 99))
def test_one_stratum_is_numpys_permutation(count: int, seed: int) -> None:
    assert stratified_order(["x"] * count, np.random.default_rng(seed)) == list(
        np.random.default_rng(seed).permutation(count)
    )

"""Which slices are labelled: nested subsets of exact size, drawn or read back."""

import json
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainables.config import DataConfig
from trainables.data.dataset import DataError
from trainables.data.splits import (
    LabelSubset,
    SliceOrigin,
    describe_order,
    label_order,
    take_labels,
)


def draw_subset(slices: Sequence[SliceOrigin], config: DataConfig, count: int, seed: int) -> LabelSubset:
    return take_labels(slices, label_order(slices, config, seed), count, config.label_unit)


@st.composite
def origins(draw: st.DrawFn) -> list[SliceOrigin]:
    """The training slices of a few patients of some groups, each with a few volumes."""
    slices = []
    for patient in range(draw(st.integers(1, 6))):
        group = draw(st.sampled_from(["NOR", "DCM"]))
        for phase in draw(st.sampled_from([("ED",), ("ED", "ES"), ("",)])):
            num_slices = draw(st.integers(1, 7))
            slices += [SliceOrigin(f"p{patient}", phase, group, index, num_slices) for index in range(num_slices)]
    return slices


configs = st.builds(
    DataConfig,
    label_unit=st.sampled_from(["slices", "patients"]),
    label_draw=st.sampled_from(["uniform", "stratified"]),
)


@given(slices=origins(), config=configs, seed=st.integers(0, 9))
def test_label_subsets_are_nested_for_one_seed(slices: list[SliceOrigin], config: DataConfig, seed: int) -> None:
    available = len(label_order(slices, config, seed))
    subsets = [set(draw_subset(slices, config, count, seed).slices) for count in range(1, available + 1)]
    assert all(smaller < larger for smaller, larger in pairwise(subsets))
    assert subsets[-1] == set(range(len(slices)))


@given(slices=origins(), config=configs, seed=st.integers(0, 9), data=st.data())
def test_counts_are_exact_in_slices_and_in_patients(
    slices: list[SliceOrigin], config: DataConfig, seed: int, data: st.DataObject
) -> None:
    everyone = {each.patient for each in slices}
    available = len(slices) if config.label_unit == "slices" else len(everyone)
    count = data.draw(st.integers(1, available))
    subset = draw_subset(slices, config, count, seed)
    touched = {slices[index].patient for index in subset.slices}
    assert subset.num_patients == len(touched)
    if config.label_unit == "slices":
        assert len(set(subset.slices)) == len(subset.slices) == count
    else:
        assert len(touched) == count
        assert sorted(subset.slices) == [index for index, each in enumerate(slices) if each.patient in touched]


@pytest.mark.parametrize("unit", ["slices", "patients"])
@pytest.mark.parametrize("draw", ["uniform", "stratified"])
def test_equal_seeds_label_the_same_slices_and_different_seeds_others(unit: str, draw: str) -> None:
    slices = [SliceOrigin(f"p{patient}", "ED", "NOR", index, 5) for patient in range(12) for index in range(5)]
    config = DataConfig.model_validate({"label_unit": unit, "label_draw": draw})
    orders = [label_order(slices, config, seed) for seed in (0, 0, 1, 2)]
    assert orders[0] == orders[1]
    assert len({str(order) for order in orders}) == 3


def test_a_stratified_draw_covers_groups_phases_and_levels_before_it_repeats_any() -> None:
    slices = [
        SliceOrigin(f"{group}{patient}", phase, group, index, 6)
        for group in ("NOR", "DCM")
        for patient in range(4)
        for phase in ("ED", "ES")
        for index in range(6)
    ]
    config = DataConfig(label_draw="stratified")
    for seed in range(20):
        chosen = [slices[index] for index in draw_subset(slices, config, 12, seed).slices]
        strata = Counter((each.group, each.phase, each.index // 2) for each in chosen)  # thirds of six slices
        assert max(strata.values()) <= 2  # 12 strata of 8 slices: one each, give or take one
        assert len(strata) >= 6


def test_the_level_of_a_slice_is_its_third_of_the_volume() -> None:
    assert [SliceOrigin("p", "", "", index, 9).level for index in range(9)] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert [SliceOrigin("p", "", "", index, 2).level for index in range(2)] == [0, 1]
    assert SliceOrigin("p", "", "", 0, 1).level == 0


def test_a_label_count_above_the_slices_there_are_is_refused() -> None:
    slices = [SliceOrigin("a", "", "", 0, 2), SliceOrigin("a", "", "", 1, 2), SliceOrigin("b", "", "", 0, 1)]
    with pytest.raises(DataError, match=r"label count 4 is out of range: the training split has 3 slices"):
        draw_subset(slices, DataConfig(), 4, 0)
    with pytest.raises(DataError, match=r"label count 3 is out of range: the training split has 2 patients"):
        draw_subset(slices, DataConfig(label_unit="patients"), 3, 0)


def write_order(folder: Path, slices: Sequence[SliceOrigin], config: DataConfig, seed: int, **changes: Any) -> None:
    """Write the file that a run leaves in its results folder."""
    content = {"content_id": "c", "unit": config.label_unit, "draw": config.label_draw, "subset_seed": seed}
    order = describe_order(slices, label_order(slices, config, seed))
    (folder / f"seed-{seed}.json").write_text(json.dumps(content | {"order": order} | changes) + "\n")


@settings(max_examples=50)
@given(slices=origins(), config=configs, seed=st.integers(0, 9))
def test_an_order_that_was_written_down_gives_the_same_subsets(
    tmp_path_factory: pytest.TempPathFactory, slices: list[SliceOrigin], config: DataConfig, seed: int
) -> None:
    folder = tmp_path_factory.mktemp("subsets")
    write_order(folder, slices, config, seed)
    reading = DataConfig(label_orders=folder, label_unit=config.label_unit)
    order = label_order(slices, config, seed)
    assert label_order(slices, reading, seed) == order
    for count in range(1, len(order) + 1):
        assert draw_subset(slices, reading, count, seed) == draw_subset(slices, config, count, seed)


SLICES = [SliceOrigin(f"p{patient}", "ED", "NOR", index, 3) for patient in range(3) for index in range(3)]
PLACE = {"unit": 1, "patient": "p0", "phase": "ED", "slice": 0}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"order": [PLACE | {"patient": "other"}]}, r"no training slices here.*\('other', 'ED', 0\)"),
        ({"order": [PLACE | {"slice": 3}]}, r"no training slices here.*\('p0', 'ED', 3\)"),
        ({"order": [PLACE, PLACE]}, "are there twice"),
        ({"unit": "patients"}, r"found an order of patients; expected one of slices; set data\.label_unit"),
        ({"order": [{"unit": 1}]}, "found no label order"),
        ({"order": None}, "found no label order"),
    ],
)
def test_an_order_for_other_data_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    write_order(tmp_path, SLICES, DataConfig(), 0, **changes)
    with pytest.raises(DataError, match=message):
        label_order(SLICES, DataConfig(label_orders=tmp_path), 0)


def test_an_order_that_nobody_wrote_down_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"seed-7\.json: found no label order"):
        label_order(SLICES, DataConfig(label_orders=tmp_path), 7)

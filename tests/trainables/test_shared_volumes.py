"""Splits of one data set share its decoded volumes, and none sees what another may."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image

from trainables.config import DataConfig
from trainables.data import decoded
from trainables.data.dataset import DataError
from trainables.data.slice_store import SliceStore
from trainables.data.slices import open_store
from trainables.data.splits import PARTS

PATIENTS = [f"patient{number:03d}" for number in range(1, 13)]  # 1 and 11 test, 2 and 12 validate
SLICES, FRAMES = 3, 2


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Twelve patients as ACDC has them, each slice another noise, without cines."""
    for number, patient in enumerate(PATIENTS):
        images = np.random.default_rng(number).integers(1, 1000, (20, 20, SLICES, FRAMES)).astype(np.int16)
        mask = np.zeros((20, 20, SLICES), np.uint8)
        mask[6:12, 6:12] = 1 + number % 3
        folder = tmp_path / "acdc" / patient
        folder.mkdir(parents=True)
        for frame in (1, 2):
            for ending, array in (("", images[..., frame - 1]), ("_gt", mask)):
                path = folder / f"{patient}_frame{frame:02d}{ending}.nii.gz"
                nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), path)
        (folder / "Info.cfg").write_text("ED: 1\nES: 2\nGroup: NOR\n")
    return tmp_path / "acdc"


@pytest.fixture
def cines(root: Path) -> Path:
    """The same with a cine of every patient."""
    for number, patient in enumerate(PATIENTS):
        cine = np.random.default_rng(100 + number).integers(1, 1000, (20, 20, SLICES, FRAMES)).astype(np.int16)
        nibabel.save(nibabel.Nifti1Image(cine, np.eye(4)), root / patient / f"{patient}_4d.nii.gz")
    return root


@pytest.fixture
def num_decoded(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Return how many volumes were decoded since the last call."""
    names: list[str] = []
    real = decoded.decode_volume

    def noted(volume: Any, *arguments: Any) -> Any:
        names.append(volume.name)
        return real(volume, *arguments)

    def since() -> int:
        number = len(names)
        names.clear()
        return number

    monkeypatch.setattr(decoded, "decode_volume", noted)
    return since


@pytest.fixture
def opened(tmp_path: Path, root: Path) -> Callable[..., SliceStore]:
    def call(cache: str = "cache", **config: Any) -> SliceStore:
        return open_store(DataConfig.model_validate({"root": root, "image_size": 32} | config), tmp_path / cache)

    return call


OTHER_SPLITS = [
    {"split": "fractions"},
    {"split": "fractions", "split_seed": 7, "test_fraction": 0.4},
    {"split": "fractions", "validation_slices": 0},
    {"exclude": ["patient003", "patient005_frame01"]},
]


@pytest.mark.parametrize("split", OTHER_SPLITS, ids=["split", "seed", "no validation", "exclusion"])
def test_another_split_of_labelled_volumes_decodes_nothing_and_is_as_if_decoded_alone(
    opened: Callable[..., SliceStore], num_decoded: Callable[[], int], split: dict[str, Any]
) -> None:
    first = opened()
    assert num_decoded() == 12 * 2
    other = opened(**split)
    assert num_decoded() == 0
    assert other.decoded.folder == first.decoded.folder
    alone = opened("alone", **split)
    assert other.summary == alone.summary
    assert other.split == alone.split
    for part in (*PARTS, "pool"):
        np.testing.assert_array_equal(other.images[other.rows(part)], alone.images[alone.rows(part)])
    for part in PARTS:
        np.testing.assert_array_equal(other.masks[other.rows(part)], alone.masks[alone.rows(part)])
        assert other.volumes(part) == alone.volumes(part)


def test_a_pool_is_decoded_without_held_out_patients_first_and_whole_for_all_other_splits(
    cines: Path, opened: Callable[..., SliceStore], num_decoded: Callable[[], int]
) -> None:
    opened()
    assert num_decoded() == 12 * 2 + 8  # the cines of training patients
    second = opened(split="fractions", split_seed=1)
    assert num_decoded() == 12 * 3
    small = next(folder for folder in second.decoded.folder.parent.glob("slices-*/") if folder != second.decoded.folder)
    os.utime(small, (0, 0))
    third = opened(split="fractions", split_seed=2)
    assert num_decoded() == 0
    assert opened().decoded.folder == second.decoded.folder == third.decoded.folder  # in memory once
    assert small.stat().st_mtime == 0  # nobody uses the first any more, so it may be pruned
    for store, seed in ((second, 1), (third, 2)):
        alone = opened(f"alone-{seed}", split="fractions", split_seed=seed)
        assert store.summary == alone.summary
        np.testing.assert_array_equal(store.images[store.rows("pool")], alone.images[alone.rows("pool")])


def test_no_slice_of_a_held_out_patient_is_in_the_pool_of_a_shared_store(
    cines: Path, opened: Callable[..., SliceStore]
) -> None:
    for seed in range(4):
        store = opened(split="fractions", split_seed=seed)
        pool = set(store.decoded.fingerprints()[store.rows("pool")].tolist())
        held_out = {volume.patient for part in ("validation", "test") for volume in store.volumes(part)}
        for patient in PATIENTS:
            assert bool(pool & cine_marks(cines, patient)) == (patient not in held_out)


def cine_marks(root: Path, patient: str) -> set[int]:
    cine = np.asarray(nibabel.load(root / patient / f"{patient}_4d.nii.gz").dataobj)
    slices = cine.transpose(2, 3, 1, 0).reshape(-1, 1, 20, 20)  # of the file's (column, row, slice, frame)
    return set(decoded.fingerprints(slices).tolist())


def test_a_damaged_cine_of_a_held_out_patient_hinders_no_split_that_does_without_it(
    cines: Path, opened: Callable[..., SliceStore], tmp_path: Path
) -> None:
    path = cines / "patient001" / "patient001_4d.nii.gz"  # tests in the paper's split
    path.write_bytes(path.read_bytes()[:-50])
    opened()
    names = [patient for patient in PATIENTS if patient != "patient001"]
    kept, asked = tmp_path / "kept.json", tmp_path / "asked.json"
    kept.write_text(json.dumps([{"train": names[:8], "val": names[8:], "test": ["patient001"]}]))
    asked.write_text(json.dumps([{"train": [*names[:7], "patient001"], "val": names[7:9], "test": names[9:]}]))
    assert {each.patient for each in opened(split="file", split_file=kept).volumes("test")} == {"patient001"}
    with pytest.raises(DataError, match="patient001_4d"):
        opened(split="file", split_file=asked)


def test_constants_of_the_training_split_are_another_splits_own(
    opened: Callable[..., SliceStore], num_decoded: Callable[[], int]
) -> None:
    first = opened(intensity="training-percentiles")
    other = opened(intensity="training-percentiles", split="fractions")
    assert first.summary["preprocessing"]["constants"] != other.summary["preprocessing"]["constants"]
    assert first.decoded.folder != other.decoded.folder


def test_an_exclusion_that_changes_what_the_masks_hold_is_decoded_for_itself(tmp_path: Path) -> None:
    """Masks hold 0 and 2, and those of one patient 1, too: without her what is drawn is class 1."""
    root, noise = tmp_path / "pictures", np.random.default_rng(0)
    for patient in range(10):
        mask = np.zeros((32, 32), np.uint8)
        mask[4:12, 4:12] = 2
        mask[14:18, 14:18] = patient == 3
        for folder, pixels in (("images", noise.integers(0, 255, mask.shape, np.uint8)), ("masks", mask)):
            (root / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(root / folder / f"pat{patient}_slice0.png")
    config = DataConfig(format="folder", root=root, image_size=32, patient_pattern=r"([^_]+)_")
    without = config.model_copy(update={"exclude": ("pat3_slice0",)})

    def drawn(asked: DataConfig) -> set[int]:
        store = open_store(asked, tmp_path / "cache")
        return {int(value) for part in PARTS for value in np.unique(store.masks[store.rows(part)])}

    assert drawn(config) == {0, 1, 2}
    assert drawn(without) == {0, 1}

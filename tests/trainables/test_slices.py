"""The decoded store: right slices, shared, built once, leak-free."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from trainables.config import DataConfig, PhantomConfig
from trainables.data.acdc import DataError
from trainables.data.slices import SliceStore, crop_or_pad, open_store

SMALL = DataConfig(image_size=48, phantom=PhantomConfig(num_patients=12, num_slices=4, num_frames=4))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("slices")


@pytest.fixture(scope="module")
def store(cache: Path) -> SliceStore:
    return open_store(SMALL, cache)


def test_the_parts_hold_every_labelled_slice_of_their_patients(store: SliceStore) -> None:
    counts = store.summary["num_patients"]
    assert counts == {"train": 8, "validation": 2, "test": 2}  # 12 patients: 1 and 11 test, 2 and 12 validate
    for part, number in counts.items():
        assert len(store.images(part)) == len(store.masks(part)) == number * 2 * 4  # two phases of four slices
    names = {part: {volume.patient for volume in store.volumes(part)} for part in counts}
    assert names["test"] == {"patient001", "patient011"}
    assert not names["train"] & names["test"]


def test_the_pool_holds_each_training_cine_once_and_no_other_patient(store: SliceStore) -> None:
    pool = store.images("pool")
    assert len(pool) == 8 * 4 * 4  # labelled frames are frames of the cine, not added again
    pool_slices = {each.tobytes() for each in np.asarray(pool)}
    assert not any(
        each.tobytes() in pool_slices for part in ("validation", "test") for each in np.asarray(store.images(part))
    )


def test_arrays_are_memory_mapped_compact_and_scaled(store: SliceStore) -> None:
    images = store.images("train")
    assert isinstance(images, np.memmap)
    assert images.dtype == np.float16
    assert -0.5 <= images.min() <= 0.05
    assert 0.9 <= np.percentile(images.astype(np.float32), 99.5) <= 1.2
    assert set(np.unique(store.masks("train"))) == {0, 1, 2, 3}


def test_opening_again_decodes_nothing(store: SliceStore, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainables.data.acdc.decode", None)
    assert open_store(SMALL, cache).folder == store.folder


def test_equal_data_have_equal_ids_in_another_cache_and_other_data_another_id(
    store: SliceStore, tmp_path: Path, cache: Path
) -> None:
    assert open_store(SMALL, tmp_path).data_id == store.data_id
    other = SMALL.model_copy(update={"phantom": SMALL.phantom.model_copy(update={"seed": 1})})
    assert open_store(other, cache).data_id != store.data_id


def test_a_damaged_volume_stops_the_build_and_leaves_no_store(store: SliceStore, tmp_path: Path) -> None:
    training = sorted(store.folder.parent.glob("phantom-*/training"), key=lambda path: path.stat().st_mtime)[0]
    config = DataConfig(format="acdc", root=training, image_size=48)
    assert open_store(config, tmp_path).data_id == store.data_id  # the phantom is read by the same reader
    victim = sorted(training.glob("patient003/*_gt.nii.gz"))[0]
    whole = victim.read_bytes()
    try:
        victim.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(DataError, match=victim.name):
            open_store(config, tmp_path)
    finally:
        victim.write_bytes(whole)
    assert len(list(tmp_path.glob("slices-*/data.json"))) == 1


def test_foreground_cut_off_by_the_crop_is_counted_and_warned_about(cache: Path) -> None:
    tight = open_store(SMALL.model_copy(update={"image_size": 32, "spacing_mm": 1.4}), cache).summary
    assert tight["foreground_outside_crop"] > 0.05
    assert "lie outside the 32 px crop" in tight["warnings"][0]


def test_resampling_keeps_areas_and_labels(store: SliceStore, cache: Path) -> None:
    coarse = open_store(SMALL.model_copy(update={"spacing_mm": 5.6}), cache)
    for label in (1, 2, 3):
        fine_mm2 = (store.masks("test") == label).sum() * 2.8**2
        assert (coarse.masks("test") == label).sum() * 5.6**2 == pytest.approx(fine_mm2, rel=0.15)


def test_crop_and_pad_keep_the_centre() -> None:
    slices = np.arange(2 * 6 * 3).reshape(2, 6, 3)
    result = crop_or_pad(slices, 4)
    assert result.shape == (2, 4, 4)
    assert (result[:, :, :3] == slices[:, 1:5]).all()
    assert (result[:, :, 3] == 0).all()


def test_the_real_acdc_splits_into_the_papers_1498_206_and_198_slices(real_acdc: Path, cache: Path) -> None:
    store = open_store(DataConfig(format="acdc", root=real_acdc, image_size=64, spacing_mm=3.0), cache)
    counts = store.summary["num_slices"]
    assert (counts["train"], counts["validation"], counts["test"]) == (1498, 206, 198)
    assert json.loads((store.folder / "data.json").read_text())["groups"] == dict.fromkeys(
        ["DCM", "HCM", "MINF", "NOR", "RV"], 20
    )


def test_an_unlabelled_folder_whose_patients_are_unknown_is_refused(store: SliceStore, tmp_path: Path) -> None:
    training = sorted(store.folder.parent.glob("phantom-*/training"), key=lambda path: path.stat().st_mtime)[0]
    for number, patient in enumerate(sorted(training.iterdir())[:2]):
        (tmp_path / "extra" / f"patient9{number}").mkdir(parents=True)
        shutil.copy(patient / f"{patient.name}_4d.nii.gz", tmp_path / "extra" / f"patient9{number}")
    config = DataConfig(format="acdc", root=training, unlabelled_root=tmp_path / "extra", image_size=48)
    with pytest.raises(DataError, match=r"none of its 2 patients \(patient90, patient91, \.\.\.\) is in"):
        open_store(config, tmp_path)

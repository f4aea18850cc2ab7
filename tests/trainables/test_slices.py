"""The decoded store: right slices, shared, built once, leak-free."""

import json
import shutil
from itertools import pairwise
from pathlib import Path

import nibabel
import numpy as np
import pytest

from trainables.config import DataConfig, PhantomConfig
from trainables.data.dataset import DataError
from trainables.data.phantom import write_phantom
from trainables.data.slice_store import SliceStore
from trainables.data.slices import locate, open_store
from trainables.data.splits import PARTS

SMALL = DataConfig(image_size=48, phantom=PhantomConfig(num_patients=12, num_slices=4, num_frames=4))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("slices")


@pytest.fixture(scope="module")
def store(cache: Path) -> SliceStore:
    return open_store(SMALL, cache)


def test_the_parts_hold_every_labelled_slice_of_their_patients(store: SliceStore) -> None:
    counts = {part: store.summary["num_patients"][part] for part in PARTS}
    assert counts == {"train": 8, "validation": 2, "test": 2}  # 12 patients: 1 and 11 test, 2 and 12 validate
    for part, number in counts.items():
        assert len(store.rows(part)) == number * 2 * 4  # two phases of four slices
    assert sorted(np.concatenate([store.rows(part) for part in PARTS]).tolist()) == list(range(len(store.masks)))
    names = {part: {volume.patient for volume in store.volumes(part)} for part in counts}
    assert names["test"] == {"patient001", "patient011"}
    assert not names["train"] & names["test"]


def test_volumes_and_origins_tell_what_each_row_of_a_part_is(store: SliceStore) -> None:
    for part in PARTS:
        volumes, origins = store.volumes(part), store.origins(part)
        assert [volume.start for volume in volumes] == [0, *(volume.stop for volume in volumes[:-1])]
        assert len(origins) == len(store.rows(part)) == volumes[-1].stop
        assert all(one.patient <= other.patient for one, other in pairwise(origins))
        assert [each.index for each in origins] == [0, 1, 2, 3] * len(volumes)
    assert store.volumes("test")[0].name.startswith("patient001_frame")
    assert [volume.phase for volume in store.volumes("test")] == ["ED", "ES"] * 2


def test_the_pool_holds_each_training_cine_once_and_no_other_patient(store: SliceStore) -> None:
    marks = np.load(store.decoded.folder / "fingerprints.npy")  # of the slices as decoded, before any scaling
    pool = marks[store.rows("pool")].tolist()
    assert len(set(pool)) == len(pool) == 8 * 4 * 4  # labelled frames are frames of the cine, not added again
    assert set(marks[store.rows("train")].tolist()) <= set(pool)
    assert not set(pool) & {mark for part in ("validation", "test") for mark in marks[store.rows(part)].tolist()}


def test_arrays_are_memory_mapped_compact_and_scaled(store: SliceStore) -> None:
    assert isinstance(store.images, np.memmap)
    assert isinstance(store.masks, np.memmap)
    assert store.images.dtype == np.float16
    assert store.masks.dtype == np.uint8
    images = store.images[store.rows("train")]
    assert images.shape[1:] == (1, 48, 48)
    assert -0.5 <= images.min() <= 0.05
    assert 0.9 <= np.percentile(images.astype(np.float32), 99.5) <= 1.2
    assert set(np.unique(store.masks[store.rows("train")])) == {0, 1, 2, 3}
    assert (store.num_channels, store.num_classes) == (1, 4)


def test_opening_again_decodes_nothing(store: SliceStore, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainables.data.decoded.decode_volume", None)
    monkeypatch.setattr("trainables.data.readers.read_dataset", None)
    assert open_store(SMALL, cache).folder == store.folder
    labels = {"validation_slices": 3, "label_unit": "patients", "label_draw": "stratified"}
    assert open_store(SMALL.model_copy(update=labels), cache).folder == store.folder  # they change no pixel


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
    assert [len(list(tmp_path.glob(f"{kind}-*/"))) for kind in ("slices", "split")] == [1, 1]


def test_foreground_cut_off_by_the_crop_is_counted_and_warned_about(cache: Path) -> None:
    tight = open_store(SMALL.model_copy(update={"image_size": 32, "spacing_mm": 1.4}), cache).summary
    assert tight["foreground_outside_crop"] > 0.05
    assert "lie outside the 32 px crop" in tight["warnings"][0]


def test_volumes_keep_the_spacing_of_their_slices_rows_and_columns(store: SliceStore, cache: Path) -> None:
    phantom = locate(SMALL, cache).root
    coarse = open_store(SMALL.model_copy(update={"spacing_mm": 4.0}), cache)
    rows, columns = round(48 * 2.8 / 4), round(52 * 2.8 / 4)
    for fine, volume in zip(store.volumes("test"), coarse.volumes("test"), strict=True):
        image = nibabel.load(phantom / volume.patient / f"{volume.name}.nii.gz")
        gap = float(image.header.get_zooms()[2])
        assert fine.spacing_mm == pytest.approx((gap, 2.8, 2.8))
        assert volume.spacing_mm == pytest.approx((gap, 48 * 2.8 / rows, 52 * 2.8 / columns))  # not quite 4 mm
    assert len({volume.spacing_mm for volume in store.volumes("test")}) == 2  # patients differ


def test_resampling_keeps_areas_and_labels(store: SliceStore, cache: Path) -> None:
    coarse = open_store(SMALL.model_copy(update={"spacing_mm": 5.6}), cache)
    for label in (1, 2, 3):
        fine_mm2 = (store.masks[store.rows("test")] == label).sum() * 2.8**2
        coarse_mm2 = (coarse.masks[coarse.rows("test")] == label).sum() * 5.6**2
        assert coarse_mm2 == pytest.approx(fine_mm2, rel=0.15)


def test_the_real_acdc_splits_into_the_papers_1498_206_and_198_slices(real_acdc: Path, cache: Path) -> None:
    store = open_store(DataConfig(format="acdc", root=real_acdc, image_size=64, spacing_mm=3.0), cache)
    counts = store.summary["num_slices"]
    assert (counts["train"], counts["validation"], counts["test"]) == (1498, 206, 198)
    assert json.loads((store.folder / "data.json").read_text())["groups"] == dict.fromkeys(
        ["DCM", "HCM", "MINF", "NOR", "RV"], 20
    )
    assert any("patient074 and patient076" in warning for warning in store.summary["warnings"])  # one examination
    gaps = [
        volume.spacing_mm[0] for volume in store.volumes("test") if volume.spacing_mm
    ]  # of pixdim, in the plane 3 mm
    assert len(gaps) == 20
    assert set(gaps) == {5.0, 10.0}


def test_unknown_patients_of_another_folder_are_pretrained_on_and_counted(store: SliceStore, tmp_path: Path) -> None:
    training = sorted(store.folder.parent.glob("phantom-*/training"), key=lambda path: path.stat().st_mtime)[0]
    other = PhantomConfig(num_patients=3, num_slices=4, num_frames=4, seed=7)
    write_phantom(tmp_path / "other", other)
    for number, patient in enumerate(sorted((tmp_path / "other").iterdir())[:2]):
        (tmp_path / "extra" / f"patient9{number}").mkdir(parents=True)
        shutil.copy(patient / f"{patient.name}_4d.nii.gz", tmp_path / "extra" / f"patient9{number}" / "cine.nii.gz")
    config = DataConfig(format="acdc", root=training, unlabelled_root=tmp_path / "extra", image_size=48)
    wider = open_store(config, tmp_path)
    assert (wider.data_id, wider.content_id) == (store.data_id, store.content_id)
    assert wider.pool_id != store.pool_id
    assert len(wider.rows("pool")) == len(store.rows("pool")) + 2 * 4 * 4
    assert wider.summary["num_patients"]["pool"] == 8 + 2
    assert any("2 patients of" in each and "patient90, patient91" in each for each in wider.summary["warnings"])

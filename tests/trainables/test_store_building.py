"""Building a store: once and whole or not at all, without a leak, under honest ids."""

import errno
import multiprocessing
import os
import shutil
import threading
import time
from collections.abc import Callable
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import numpy.typing as npt
import pytest
import torch

from trainables.config import DataConfig
from trainables.data import decoded
from trainables.data.dataset import DataError
from trainables.data.growing_array import GrowingArray
from trainables.data.slice_store import SliceStore
from trainables.data.slices import open_store
from trainables.data.splits import PARTS

Array = npt.NDArray[Any]
Open = Callable[..., SliceStore]
SLICES, FRAMES, SIDE = 3, 2, 20
PATIENTS = [f"patient{number:03d}" for number in range(1, 13)]  # 1 and 11 test, 2 and 12 validate
GROUPS = ("NOR", "DCM", "HCM")


def save(path: Path, array: Array, spacing_mm: float = 1.5) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(array, np.eye(4))
    image.header.set_zooms((spacing_mm, spacing_mm, 8.0, 1.0)[: array.ndim])
    nibabel.save(image, path)


def load(path: Path) -> Array:
    return np.asarray(nibabel.load(path).dataobj)


def random_cine(seed: int) -> Array:
    """Noise as (column, row, slice, frame), of which the first slice is empty."""
    cine = np.random.default_rng(seed).integers(1, 1000, (SIDE, SIDE, SLICES, FRAMES)).astype(np.int16)
    cine[:, :, 0] = 0
    return cine


def frame(root: Path, patient: str, number: int = 1, ending: str = "") -> Path:
    return root / patient / f"{patient}_frame{number:02d}{ending}.nii.gz"


def write_patient(root: Path, patient: str, seed: int, group: str = "NOR", spacing_mm: float = 1.5) -> None:
    """Write a patient as ACDC does: cine, both frames with masks, and Info.cfg."""
    cine, mask = random_cine(seed), np.zeros((SIDE, SIDE, SLICES), np.uint8)
    mask[6:12, 6:12, 1:], mask[8:10, 8:10, 1:] = 2, 3
    save(root / patient / f"{patient}_4d.nii.gz", cine, spacing_mm)
    for number in (1, 2):
        save(frame(root, patient, number), cine[..., number - 1], spacing_mm)
        save(frame(root, patient, number, "_gt"), mask, spacing_mm)
    (root / patient / "Info.cfg").write_text(f"ED: 1\nES: 2\nGroup: {group}\n")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("acdc")
    for number, patient in enumerate(PATIENTS):
        write_patient(root, patient, number, GROUPS[number % 3])
    return root


@pytest.fixture
def root(written: Path, tmp_path: Path) -> Path:
    """Twelve patients to change."""
    return Path(shutil.copytree(written, tmp_path / "acdc"))


@pytest.fixture
def opened(root: Path, tmp_path: Path) -> Open:
    """Open their store as they are now."""

    def call(**config: Any) -> SliceStore:
        return open_store(DataConfig.model_validate({"root": root, "image_size": 32} | config), tmp_path / "cache")

    return call


def ids(store: SliceStore) -> tuple[str, str, str]:
    return store.content_id, store.data_id, store.pool_id


def stores_in(cache: Path) -> list[str]:
    return [path.name for path in cache.glob("slices-*") if path.is_dir()]


def open_noted(root: Path, cache: Path, notes: Path, name: str, hangs_at: int) -> None:
    """Wait for ``notes/start``, then open the store, note what is decoded, and answer; to be run by a process."""
    real, counting, begun = decoded.decode_volume, threading.Lock(), list[str]()

    def noted(volume: Any, *arguments: Any) -> Any:
        with counting:  # volumes are decoded in several threads
            begun.append(volume.name)
            number = len(begun)
            with (notes / "decoded").open("a") as file:
                file.write(f"{volume.name}\n")
        if number == hangs_at:
            (notes / "hangs").touch()
            time.sleep(600)
        time.sleep(0.005)
        return real(volume, *arguments)

    torch.set_num_threads(1)  # makes torch's pool anew, which two threads of a forked process would do at once
    decoded.decode_volume = noted
    (notes / f"ready-{name}").touch()
    while not (notes / "start").exists():
        time.sleep(0.002)
    store = open_store(DataConfig(root=root, image_size=32), cache)
    (notes / f"answer-{name}").write_text(" ".join((*ids(store), str(len(store.images)))))


def start(root: Path, tmp_path: Path, name: str, hangs_at: int = -1) -> ForkProcess:
    """Start a process that opens the store; forked, since one that imports torch anew takes seconds."""
    (tmp_path / "notes").mkdir(exist_ok=True)
    arguments = (root, tmp_path / "cache", tmp_path / "notes", name, hangs_at)
    process = multiprocessing.get_context("fork").Process(target=open_noted, args=arguments, daemon=True)
    process.start()
    return process


def wait_for(process: ForkProcess, *files: Path) -> None:
    deadline = time.monotonic() + 60
    while not all(path.exists() for path in files):
        assert process.is_alive(), "the process ended too early"
        assert time.monotonic() < deadline, f"no {files} within a minute"
        time.sleep(0.002)


def test_processes_that_ask_at_once_decode_every_volume_once_and_agree(
    root: Path, tmp_path: Path, opened: Open
) -> None:
    notes = tmp_path / "notes"
    processes = [start(root, tmp_path, name) for name in ("one", "two")]
    wait_for(processes[0], notes / "ready-one", notes / "ready-two")
    (notes / "start").touch()
    for process in processes:
        process.join(timeout=60)
    assert [process.exitcode for process in processes] == [0, 0]
    names = (notes / "decoded").read_text().splitlines()
    assert len(names) == len(set(names)) == 12 * 2 + 8  # frames, and the cines of training patients
    store = opened()
    answers = [(notes / f"answer-{name}").read_text() for name in ("one", "two")]
    assert answers == [" ".join((*ids(store), str(len(store.images))))] * 2
    assert stores_in(tmp_path / "cache") == [store.decoded.folder.name]


def test_a_build_killed_half_way_leaves_nothing_that_looks_finished_and_the_next_call_completes_it(
    root: Path, tmp_path: Path, opened: Open
) -> None:
    notes, cache = tmp_path / "notes", tmp_path / "cache"
    notes.mkdir()
    (notes / "start").touch()
    process = start(root, tmp_path, "killed", hangs_at=16)
    wait_for(process, notes / "hangs")
    process.kill()
    process.join()
    (remains,) = stores_in(cache)
    assert ".building-" in remains
    assert (cache / remains / "images.npy").is_file()
    store = opened()
    assert stores_in(cache) == [store.decoded.folder.name]
    assert ids(store) == ids(open_store(DataConfig(root=root, image_size=32), tmp_path / "other"))


def test_a_store_takes_two_bytes_a_pixel_and_one_for_masks_and_keeps_no_slice_twice(root: Path, opened: Open) -> None:
    (root / "patient003" / "patient003_4d.nii.gz").unlink()  # then its labelled frames are pretrained on
    store = opened()
    num_labelled, num_cine = 12 * 2 * SLICES, 7 * FRAMES * SLICES
    assert (len(store.masks), len(store.images)) == (num_labelled, num_labelled + num_cine)
    header = 128
    assert (store.decoded.folder / "images.npy").stat().st_size == header + len(store.images) * 32 * 32 * 2
    assert (store.decoded.folder / "masks.npy").stat().st_size == header + num_labelled * 32 * 32
    arrays = {"images.npy", "masks.npy"}
    rest = sum(path.stat().st_size for path in store.decoded.folder.iterdir() if path.name not in arrays)
    assert rest < 1000 * 31  # bytes for each volume
    shared = set(store.rows("pool").tolist()) & set(store.rows("train").tolist())
    assert len(shared) == 2 * SLICES
    assert {store.origins("train")[row].patient for row in shared} == {"patient003"}  # training rows come first
    assert len(store.rows("pool")) == 2 * SLICES + num_cine


def test_a_full_disk_leaves_no_store(opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    real, calls = GrowingArray.append, []

    def full(self: GrowingArray, rows: Array) -> None:
        calls.append(len(rows))
        if len(calls) == 20:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(self, rows)

    monkeypatch.setattr(GrowingArray, "append", full)
    with pytest.raises(OSError, match="No space left"):
        opened()
    assert stores_in(tmp_path / "cache") == []
    monkeypatch.undo()
    assert len(opened().rows("train")) == 8 * 2 * SLICES


def test_a_disk_that_fails_while_volumes_are_decoded_leaves_no_store(
    opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, synced = os.fsync, []

    def failing(handle: int) -> None:
        synced.append(handle)
        if len(synced) == 1:  # the system tells a failed write once
            raise OSError(errno.EIO, "Input/output error")
        real(handle)

    monkeypatch.setattr("trainables.data.growing_array.SYNC_BYTES", 10_000)
    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(OSError, match="Input/output error"):
        opened()
    assert stores_in(tmp_path / "cache") == []
    assert len(opened().rows("train")) == 8 * 2 * SLICES


def test_all_damaged_files_among_many_are_told_together(root: Path, opened: Open, tmp_path: Path) -> None:
    image, mask = frame(root, "patient005"), frame(root, "patient001", 2, "_gt")
    cine, labels = root / "patient009" / "patient009_4d.nii.gz", frame(root, "patient012", 1, "_gt")
    for path in (image, mask, cine):
        path.write_bytes(path.read_bytes()[:-50])
    save(labels, np.full((SIDE, SIDE, SLICES), 9, np.uint8))
    with pytest.raises(DataError) as error:
        opened()
    assert {problem.where for problem in error.value.problems} == {str(each) for each in (image, mask, cine, labels)}
    assert all(path.name in str(error.value) for path in (image, mask, cine, labels))
    assert stores_in(tmp_path / "cache") == []


def test_a_held_out_patient_that_is_known_by_name_never_enters_the_pool(
    root: Path, opened: Open, tmp_path: Path
) -> None:
    alone = opened()
    for number, patient in enumerate(("patient001", "patient002")):  # of test and validation, with other cines
        save(tmp_path / "extra" / patient / "cine.nii.gz", random_cine(100 + number))
    guarded = opened(unlabelled_root=tmp_path / "extra")
    assert ids(guarded) == ids(alone)
    assert len(guarded.images) == len(alone.images)
    save(tmp_path / "extra" / "patient003" / "cine.nii.gz", random_cine(200))  # of a training patient
    assert len(opened(unlabelled_root=tmp_path / "extra").rows("pool")) == len(alone.rows("pool")) + SLICES * FRAMES


@pytest.mark.parametrize("source", ["patient001", "patient012"])
def test_a_stranger_with_one_slice_of_a_held_out_patient_is_left_out_wholly_and_named(
    root: Path, opened: Open, tmp_path: Path, source: str
) -> None:
    alone, cine = opened(), random_cine(300)
    cine[:, :, 1, 1] = load(frame(root, source, 2))[:, :, 2]
    save(tmp_path / "extra" / "thief" / "a.nii.gz", random_cine(301))  # nothing wrong with this one
    save(tmp_path / "extra" / "thief" / "b.nii.gz", cine)
    guarded = opened(unlabelled_root=tmp_path / "extra")
    assert ids(guarded) == ids(alone)
    assert len(guarded.rows("pool")) == guarded.summary["num_slices"]["pool"] == len(alone.rows("pool"))
    assert guarded.summary["num_patients"]["pool"] == 8
    assert any(f"(thief = {source})" in warning for warning in guarded.summary["warnings"])
    save(tmp_path / "extra" / "honest" / "c.nii.gz", random_cine(302))
    wider = opened(unlabelled_root=tmp_path / "extra")
    assert len(wider.rows("pool")) == len(alone.rows("pool")) + SLICES * FRAMES
    assert wider.summary["num_patients"]["pool"] == 9
    assert any("2 patients of" in warning and "honest, thief" in warning for warning in wider.summary["warnings"])


def test_empty_slices_are_no_sign_that_patients_are_one(opened: Open) -> None:
    warnings = opened().summary["warnings"]  # the first slice of each is empty
    assert not [each for each in warnings if "identical" in each]


def test_one_patient_under_two_names_is_warned_about_in_training_and_refused_across_parts(
    root: Path, opened: Open
) -> None:
    shutil.copy(frame(root, "patient003"), frame(root, "patient004"))
    store = opened()
    (warning,) = (each for each in store.summary["warnings"] if "identical" in each)
    assert "patients patient003 and patient004 with 2 identical slices" in warning
    shutil.copy(frame(root, "patient003"), frame(root, "patient011"))
    with pytest.raises(DataError, match=r"patient003 and patient011 with 2 identical .*, in train and test") as error:
        opened()
    assert "data.exclude=[patient011]" in str(error.value)
    assert "patient011" not in {volume.patient for volume in opened(exclude=["patient011"]).volumes("test")}


def test_another_split_changes_the_data_id_but_not_the_content_id(opened: Open) -> None:
    stores = [opened(), opened(split="fractions"), opened(split="fractions", split_seed=1)]
    assert len({store.data_id for store in stores}) == 3
    assert len({store.content_id for store in stores}) == 1


@pytest.mark.parametrize(
    "rule", [{"intensity": "volume-zscore"}, {"image_size": 48}, {"spacing_mm": 2.0}, {"longest_side": 32}]
)
def test_what_is_done_to_slices_changes_the_ids_of_data_and_pool(opened: Open, rule: dict[str, Any]) -> None:
    store, other = opened(), opened(**rule)
    assert other.content_id == store.content_id
    assert other.data_id != store.data_id
    assert other.pool_id != store.pool_id


@pytest.mark.parametrize("split", ["paper", "fractions"])
def test_another_name_of_a_group_changes_no_id(root: Path, opened: Open, split: str) -> None:
    store = opened(split=split)
    for patient in PATIENTS[1::3]:
        info = root / patient / "Info.cfg"
        info.write_text(info.read_text().replace("DCM", "ZZZ"))
    renamed = opened(split=split)
    assert renamed.summary["groups"].keys() == {"NOR", "ZZZ", "HCM"}
    assert ids(renamed) == ids(store)


def test_one_pixel_of_a_mask_changes_the_data_id_and_not_the_pool_id(root: Path, opened: Open) -> None:
    store, path = opened(), frame(root, "patient004", 1, "_gt")
    mask = load(path).copy()
    mask[0, 0, 0] = 1
    save(path, mask)
    assert opened().data_id != store.data_id
    assert opened().content_id != store.content_id
    assert opened().pool_id == store.pool_id


def test_the_value_of_an_empty_slice_changes_the_ids_too(root: Path, opened: Open) -> None:
    store = opened()
    for path in (frame(root, "patient004"), root / "patient004" / "patient004_4d.nii.gz"):
        image = load(path).copy()
        image[:, :, 0] = 500  # still one value everywhere, but it moves the volume's percentiles
        save(path, image)
    other = opened()
    assert not {*ids(other)} & {*ids(store)}


def test_a_spacing_counts_where_slices_are_resampled_and_for_the_pool_only_if_it_is_in_it(
    root: Path, opened: Open
) -> None:
    resampled, kept = opened(spacing_mm=2.0), opened()
    write_patient(root, "patient001", 0, spacing_mm=2.5)  # of the test part
    assert ids(opened()) == ids(kept)
    other = opened(spacing_mm=2.0)
    assert other.content_id == resampled.content_id
    assert other.data_id != resampled.data_id
    assert other.pool_id == resampled.pool_id


def test_a_split_file_of_any_name_is_read_again_when_it_has_changed(opened: Open, tmp_path: Path) -> None:
    path = tmp_path / "split.txt"
    for test in ("patient005", "patient006"):
        others = [patient for patient in PATIENTS[:10] if patient != test]
        path.write_text(f'[{{"train": {others}, "val": ["{test}"]}}]'.replace("'", '"'))
        store = opened(split="file", split_file=path)
        assert {volume.patient for volume in store.volumes("test")} == {test}
        assert store.summary["num_patients"]["validation"] == 1
        assert any("2 patients are in no part of" in warning for warning in store.summary["warnings"])
        everyone = {volume.patient for part in PARTS for volume in store.volumes(part)}
        assert everyone == set(PATIENTS[:10])
        used = {row for part in (*PARTS, "pool") for row in store.rows(part).tolist()}
        assert len(used) == 10 * 2 * SLICES + 8 * SLICES * FRAMES  # nothing of the two that were left out


def test_a_folder_behind_a_link_is_decoded_again_when_it_has_changed(root: Path, opened: Open, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (root / "patient004").rename(elsewhere)
    (root / "patient004").symlink_to(elsewhere)
    store = opened()
    save(elsewhere / "patient004_frame01.nii.gz", random_cine(400)[..., 0])
    assert opened().data_id != store.data_id


def test_the_data_set_itself_as_the_unlabelled_folder_adds_nothing(
    root: Path, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened()
    monkeypatch.chdir(root.parent)
    Path("link").symlink_to(root)
    for same in (root, Path("acdc"), Path("link")):
        assert ids(opened(unlabelled_root=same)) == ids(store)

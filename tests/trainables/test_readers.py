"""What every reader of labelled images keeps beside the contract of all; then what is special about each format."""

import json
import shutil
from pathlib import Path
from types import ModuleType

import nibabel
import numpy as np
import pytest
from PIL import Image
from trainables_datasets import Written, decoded, read

from trainables.config import DataConfig
from trainables.data.decode import decode_volume
from trainables.data.readers import READERS, detect_format, read_dataset
from trainables.data.slices import open_store

LABELLED = [name for name, reader in READERS.items() if reader.KIND == "labelled"]


@pytest.fixture(params=LABELLED)
def of_format(request: pytest.FixtureRequest, written: dict[str, Written]) -> list[Written]:
    """The layouts of one registered format."""
    found = [each for each in written.values() if each.layout.format == request.param]
    assert found, f"tests/trainables/datasets.py writes no {request.param}: add a layout to LAYOUTS"
    return found


def test_a_format_is_recognised_and_can_be_named(of_format: list[Written]) -> None:
    for each in of_format:
        assert detect_format(each.root) == each.layout.format
        assert read(each.config()) == read(each.config(format=each.layout.format))


def test_patients_phases_groups_classes_and_channels_are_those_written(of_format: list[Written]) -> None:
    for each in of_format:
        dataset = read(each.config())
        assert dataset.format == each.layout.format
        found = [(volume.patient, volume.phase, volume.group) for volume in dataset.volumes]
        assert found == [(scan.patient, scan.phase, scan.group) for scan in each.truth]  # which is sorted
        assert dataset.class_names == each.layout.class_names
        assert dataset.label_values == (0, 1, 2, 3)
        assert dataset.num_channels == each.layout.num_channels


def test_decoded_slices_labels_and_spacing_are_those_written(of_format: list[Written], datasets: ModuleType) -> None:
    for each in of_format:
        config = each.config()
        dataset = read(config)
        for volume, scan in zip(dataset.volumes, each.truth, strict=True):
            pieces = decode_volume(volume, dataset, config)
            np.testing.assert_array_equal(np.concatenate([piece.images for piece in pieces]), scan.images)
            np.testing.assert_array_equal(np.concatenate([piece.labels for piece in pieces]), scan.labels)
            expected = pytest.approx(datasets.SPACING) if each.layout.has_spacing else None
            assert all(piece.spacing == expected for piece in pieces)
            assert {piece.images.dtype for piece in pieces} == {np.dtype(np.int16)}  # whatever the file's type


def test_an_excluded_patient_volume_or_case_is_not_there(of_format: list[Written]) -> None:
    for each in of_format:
        everything = read(each.config()).volumes
        without = read(each.config(exclude=("patient003",))).volumes
        assert without == tuple(volume for volume in everything if volume.patient != "patient003")
        without = read(each.config(exclude=(everything[0].name,))).volumes
        assert without == everything[1:]
        without = read(each.config(exclude=(everything[0].cases[0],))).volumes
        assert set(everything[0].cases[:1]).isdisjoint(case for volume in without for case in volume.cases)
        assert [volume.patient for volume in without][-9:] == [volume.patient for volume in everything][1:]


def test_files_that_macos_leaves_and_unusual_paths_change_nothing(of_format: list[Written], tmp_path: Path) -> None:
    for number, each in enumerate(of_format):
        root = tmp_path / f"Größe 患者 {number}" / "my data (new)"
        shutil.copytree(each.root, root)
        for path in [path for path in root.rglob("*") if path.is_file()]:
            path.with_name(f"._{path.name}").write_bytes(b"\0\5\26\7 no image")
        (root / ".DS_Store").write_bytes(b"\0")
        moved = read(DataConfig(root=root, image_size=32, **each.rules))
        assert [volume.name for volume in moved.volumes] == [volume.name for volume in read(each.config()).volumes]
        assert open_store(each.config(root=root), tmp_path / f"cache {number} ü").num_channels


def test_the_same_content_is_the_same_data_whatever_the_format(written: dict[str, Written], tmp_path: Path) -> None:
    single = {name: each for name, each in written.items() if each.layout.num_channels == 1}
    stores = {name: open_store(each.config(split="paper"), tmp_path) for name, each in single.items()}
    assert {each.layout.format for each in single.values()} == set(LABELLED)
    assert len({store.folder for store in stores.values()}) == len(single)
    assert len({store.content_id for store in stores.values()}) == 1
    assert len({store.data_id for store in stores.values()}) == 1
    first, *others = stores.values()
    for other in others:
        np.testing.assert_array_equal(first.images, other.images)
        np.testing.assert_array_equal(first.masks, other.masks)
    channels = [open_store(written[name].config(), tmp_path).data_id for name in ("nnunet-channels", "decathlon-4d")]
    assert channels[0] == channels[1]


# ACDC


def test_end_diastole_is_the_frame_that_info_cfg_names(written: dict[str, Written]) -> None:
    volumes = read(written["acdc"].config()).volumes
    assert [volume.images[0].name for volume in volumes[:2]] == [
        "patient001_frame04.nii.gz",
        "patient001_frame11.nii.gz",
    ]


def test_the_spacing_is_pixdims_where_the_affine_claims_1_mm(written: dict[str, Written]) -> None:
    path = written["acdc"].root / "patient001" / "patient001_frame04.nii.gz"
    assert (np.abs(nibabel.load(path).affine[:3, :3]) == np.eye(3)).all()
    assert decoded(written["acdc"].config()).spacing == (1.25, 1.5)


@pytest.mark.parametrize("info", ["ED: 4\nES: 11\n", "ED: 4\nES: 11\nGroup:\n", "ED:04\r\nES:11\r\n"])
def test_a_patient_without_a_group_is_of_an_unknown_one(written: dict[str, Written], tmp_path: Path, info: str) -> None:
    shutil.copytree(written["acdc"].root, tmp_path / "data")
    (tmp_path / "data" / "patient002" / "Info.cfg").write_text(info)
    volumes = read(DataConfig(root=tmp_path / "data")).volumes
    assert [volume.group for volume in volumes if volume.patient == "patient002"] == ["unknown", "unknown"]
    assert [volume.phase for volume in volumes if volume.patient == "patient002"] == ["ED", "ES"]


def test_a_cine_becomes_all_its_slices_each_with_its_frames(
    written: dict[str, Written], tmp_path: Path, datasets: ModuleType
) -> None:
    shutil.copytree(written["acdc"].root, tmp_path / "data")
    cine = np.random.default_rng(0).integers(0, 900, (3, 12, 10, 4)).astype(np.int16)  # (slice, row, column, frame)
    datasets.save_nifti(
        tmp_path / "data" / "patient004" / "patient004_4d.nii.gz", cine, np.eye(4), (1.5, 1.25, 8, 0.05)
    )
    config = DataConfig(root=tmp_path / "data")
    dataset = read(config)
    (volume,) = dataset.unlabelled
    (piece,) = decode_volume(volume, dataset, config)
    assert (volume.patient, volume.group, piece.labels) == ("patient004", "NOR", None)
    assert piece.images.shape == (12, 1, 12, 10)
    for index in range(12):
        np.testing.assert_array_equal(piece.images[index, 0], cine[index // 4, :, :, index % 4])


def test_the_real_acdc_has_100_patients_with_two_frames_each(real_acdc: Path) -> None:
    dataset = read(DataConfig(root=real_acdc))
    assert dataset.format == "acdc"
    assert len({volume.patient for volume in dataset.volumes}) == 100
    names = {(volume.patient, volume.phase): volume.name for volume in dataset.volumes}
    assert len(names) == 200
    assert names["patient090", "ED"] == "patient090_frame04"
    assert names["patient090", "ES"] == "patient090_frame11"


# nnU-Net


@pytest.mark.parametrize("ending", [".tif", ".bmp"])
def test_slices_in_other_picture_formats_are_gathered_too(datasets: ModuleType, tmp_path: Path, ending: str) -> None:
    truth = datasets.scans(highest=240)  # 8 bits: all that BMP holds
    rules = datasets.write_nnunet_png(tmp_path, truth, ending)
    config = DataConfig(root=tmp_path, **rules)
    dataset = read(config)
    assert len(dataset.volumes) == len(truth)
    pieces = decode_volume(dataset.volumes[3], dataset, config)
    np.testing.assert_array_equal(np.concatenate([piece.images for piece in pieces]), truth[3].images)


def test_slice_10_comes_after_slice_9(written: dict[str, Written]) -> None:
    volume = read(written["nnunet-png"].config()).volumes[0]
    assert volume.cases == ("patient001_ED_8", "patient001_ED_9", "patient001_ED_10")
    assert volume.name == "patient001_ED"


def test_a_picture_may_hold_all_its_channels(datasets: ModuleType, tmp_path: Path) -> None:
    truth = datasets.scans(3, highest=240)
    rules = datasets.write_nnunet_png(tmp_path, truth)
    for path in sorted(tmp_path.glob("imagesTr/*_0000.png")):
        channels = [path.with_name(path.name.replace("_0000", f"_000{channel}")) for channel in range(3)]
        pixels = np.stack([np.asarray(Image.open(each)) for each in channels], -1)
        for each in channels:
            each.unlink()
        datasets.save_picture(path, pixels)
    config = DataConfig(root=tmp_path, **rules)
    dataset = read(config)
    pieces = decode_volume(dataset.volumes[0], dataset, config)
    np.testing.assert_array_equal(np.concatenate([piece.images for piece in pieces]), truth[0].images)


def test_label_values_may_have_gaps_and_come_in_any_order(written: dict[str, Written], tmp_path: Path) -> None:
    each = written["nnunet"]
    shutil.copytree(each.root, tmp_path / "data")
    for path in (tmp_path / "data" / "labelsTr").iterdir():
        image = nibabel.load(path)
        values = np.array([0, 7, 2, 4], np.uint8)[np.asarray(image.dataobj)]
        nibabel.save(nibabel.Nifti1Image(values, image.affine), path)
    content = json.loads((each.root / "dataset.json").read_text())
    content["labels"] = {"ring": 7, "core": 4, "background": 0, "wall": 2}
    (tmp_path / "data" / "dataset.json").write_text(json.dumps(content))
    config = DataConfig(root=tmp_path / "data", **each.rules)
    dataset = read(config)
    assert dataset.class_names == ("wall", "core", "ring")
    assert dataset.label_values == (0, 2, 4, 7)
    np.testing.assert_array_equal(decoded(config).labels, np.array([0, 3, 1, 2])[each.truth[0].labels])


def test_images_of_the_test_set_are_not_read(written: dict[str, Written], tmp_path: Path) -> None:
    shutil.copytree(written["nnunet"].root, tmp_path / "data")
    shutil.copytree(tmp_path / "data" / "imagesTr", tmp_path / "data" / "imagesTs")
    volumes = read(DataConfig(root=tmp_path / "data", **written["nnunet"].rules)).volumes
    assert {volume.images[0].parent.name for volume in volumes} == {"imagesTr"}


def test_pictures_take_the_pixel_size_that_is_given(written: dict[str, Written]) -> None:
    config = written["folder"].config(pixel_spacing_mm=0.5)
    dataset = read(config)
    pieces = decode_volume(dataset.volumes[0], dataset, config)
    assert {(piece.spacing, piece.slice_spacing) for piece in pieces} == {((0.5, 0.5), None)}


def test_images_and_masks_beside_each_other_may_lie_in_a_subfolder(written: dict[str, Written], tmp_path: Path) -> None:
    shutil.copytree(written["side-by-side"].root, tmp_path / "images")
    config = DataConfig(root=tmp_path, format="folder", patient_pattern=r"images/(patient\d+)_(?P<phase>E[DS])")
    assert len(read(config).volumes) == 10


def test_a_mask_in_its_own_folder_may_carry_an_ending(written: dict[str, Written], tmp_path: Path) -> None:
    shutil.copytree(written["folder"].root, tmp_path / "data")
    for number, path in enumerate(sorted((tmp_path / "data" / "masks").iterdir())):
        path.rename(path.with_stem(path.stem + ("_mask", "-GT", "_seg")[number % 3]))
    assert len(read(DataConfig(root=tmp_path / "data", **written["folder"].rules)).volumes) == 10


def test_a_nifti_folder_needs_no_description(written: dict[str, Written], tmp_path: Path) -> None:
    each = written["decathlon"]
    shutil.copytree(each.root / "imagesTr", tmp_path / "Images")
    shutil.copytree(each.root / "labelsTr", tmp_path / "labels")
    config = DataConfig(root=tmp_path, **each.rules)
    assert read(config).format == "folder"
    np.testing.assert_array_equal(decoded(config, 7).labels, each.truth[7].labels)


def test_links_to_folders_are_followed_and_a_circle_ends(written: dict[str, Written], tmp_path: Path) -> None:
    each = written["folder"]
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "site 1").symlink_to(each.root / folder)
        (tmp_path / folder / "again").symlink_to(tmp_path / folder)
    config = DataConfig(root=tmp_path, patient_pattern=r"site 1/(patient\d+)_(?P<phase>E[DS])")
    assert [volume.patient for volume in read(config).volumes] == [scan.patient for scan in each.truth]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_are_cut_along_the_chosen_axis(written: dict[str, Written], axis: int, datasets: ModuleType) -> None:
    each = written["nnunet"]
    piece = decoded(each.config(slice_axis=axis))
    volume = nibabel.load(each.root / "imagesTr" / "patient001_ED_0000.nii.gz")
    across = [other for other in range(3) if other != axis]  # column, row
    expected = np.transpose(np.asarray(volume.dataobj), (axis, across[1], across[0]))
    np.testing.assert_array_equal(piece.images[:, 0], expected)
    zooms = volume.header.get_zooms()
    assert piece.spacing == (zooms[across[1]], zooms[across[0]])
    assert piece.slice_spacing == zooms[axis]
    assert piece.labels.shape == expected.shape


def test_masks_that_were_resampled_smoothly_are_to_be_saved_again_and_not_to_be_named(
    tmp_path: Path, datasets: ModuleType
) -> None:
    """Classes are whole numbers, so that a half could not be named."""
    half = np.where(np.arange(64).reshape(8, 8, 1) < 20, 0.5, 1.0)
    for number in range(4):
        datasets.save_nifti(tmp_path / "images" / f"{number}.nii.gz", np.random.default_rng(number).random((8, 8, 1)))
        datasets.save_nifti(tmp_path / "masks" / f"{number}.nii.gz", half * (number > 0))
    found = read_dataset(DataConfig(root=tmp_path)).problems
    (problem,) = (each for each in found if "masks that hold 0.5, 1 beside 0" in each.found)
    assert "nearest neighbour, or a threshold" in problem.remedy
    assert "data.classes" not in problem.remedy

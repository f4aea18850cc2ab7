"""One contract that every reader keeps, over the literal registry; then what is special about each format."""

import gzip
import json
import shutil
import struct
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image

from trainables.config import DataConfig
from trainables.data.dataset import DataError, Dataset
from trainables.data.decode import Decoded, decode_volume
from trainables.data.raster import read_raster
from trainables.data.readers import READERS, detect_format, read_dataset
from trainables.data.slices import open_store
from trainables.data.unlabelled import pool_volumes, read_unlabelled


@dataclass(frozen=True)
class Written:
    """A data set on disk, what it needs, and what it holds."""

    root: Path
    rules: dict[str, Any]
    layout: Any
    truth: list[Any]

    def config(self, **settings: Any) -> DataConfig:
        return DataConfig(**{"root": self.root, "image_size": 32} | self.rules | settings)


@pytest.fixture(scope="module")
def written(datasets: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Written]:
    """Every layout by name."""
    folder = tmp_path_factory.mktemp("written")
    return {
        name: Written(folder / name, datasets.write(name, folder / name), layout, layout.truth())
        for name, layout in datasets.LAYOUTS.items()
    }


@pytest.fixture(params=READERS)
def of_format(request: pytest.FixtureRequest, written: dict[str, Written]) -> list[Written]:
    """The layouts of one registered format."""
    found = [each for each in written.values() if each.layout.format == request.param]
    assert found, f"tests/trainables/datasets.py writes no {request.param}: add a layout to LAYOUTS"
    return found


def read(config: DataConfig) -> Dataset:
    dataset = read_dataset(config)
    assert not dataset.problems, dataset.problems
    return dataset


def decoded(config: DataConfig, index: int = 0) -> Decoded:
    """The only piece of a volume."""
    dataset = read(config)
    (piece,) = decode_volume(dataset.volumes[index], dataset, config)
    return piece


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
    assert {each.layout.format for each in single.values()} == READERS.keys()
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


# Patterns and tables


@pytest.mark.parametrize(
    ("pattern", "phase", "group"),
    [
        (r"(patient\d+)", "ED", "unknown"),  # what the pattern leaves is the phase
        (r"(patient\d+)_(?P<phase>.)", "E", "unknown"),
        (r"(?P<group>pat)ient(?P<patient>\d+)_(?P<phase>E[DS])", "ED", "pat"),
    ],
)
def test_a_pattern_finds_patient_phase_and_group(
    written: dict[str, Written], pattern: str, phase: str, group: str
) -> None:
    config = written["nnunet"].config(patient_pattern=pattern, exclude=tuple(f"{p}_ES" for p in _patients(written)))
    volume = read(config).volumes[1]
    assert volume.patient.removeprefix("patient") == "002"
    assert (volume.phase, volume.group) == (phase, group)


def _patients(written: dict[str, Written]) -> list[str]:
    return sorted({scan.patient for scan in written["nnunet"].truth})


def test_a_table_elsewhere_says_whose_cases_are_whose(
    written: dict[str, Written], datasets: ModuleType, tmp_path: Path
) -> None:
    truth = written["nnunet"].truth
    rows = [(scan.case, f"Müller {scan.patient}", scan.phase, "DCM") for scan in truth[:-1]]
    rows.append((truth[-1].case, "Meier"))  # a row may end early
    datasets.save_table(tmp_path / "plain.csv", ("case", "patient", "phase", "group"), rows)
    (tmp_path / "who.csv").write_text((tmp_path / "plain.csv").read_text(), encoding="utf-8-sig")  # as Excel does
    volumes = read(written["nnunet"].config(cases_csv=tmp_path / "who.csv", patient_pattern=None)).volumes
    found = {(volume.name, volume.patient, volume.phase, volume.group) for volume in volumes}
    assert found == {*rows[:-1], (truth[-1].case, "Meier", "", "unknown")}


def test_a_table_elsewhere_may_name_images_beside_it(written: dict[str, Written], tmp_path: Path) -> None:
    shutil.copytree(written["table"].root, tmp_path / "data")
    (tmp_path / "empty").mkdir()
    config = DataConfig(
        root=tmp_path / "empty", format="folder", cases_csv=tmp_path / "data" / "cases.csv", image_size=32
    )
    found = [(volume.patient, volume.phase, volume.group) for volume in read(config).volumes]
    assert found == [(scan.patient, scan.phase, scan.group) for scan in written["table"].truth]
    before = open_store(config, tmp_path / "cache")
    assert open_store(config, tmp_path / "cache").folder == before.folder
    mask = tmp_path / "data" / "drawn" / "1.png"
    Image.fromarray(np.ones((12, 10), np.uint8)).save(mask)
    assert open_store(config, tmp_path / "cache").data_id != before.data_id  # a file outside the root is watched too


def write_pairs(root: Path, names: Iterable[str]) -> DataConfig:
    """Write a picture and a mask for each name, all different."""
    for number, name in enumerate(names):
        for folder, pixels in (("images", PIXELS[..., 0] ^ number), ("masks", DRAWN)):
            path = root / folder / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
    return DataConfig(root=root, image_size=32)


@pytest.mark.parametrize("above", ["", "site/", "site/2024/"])
def test_without_a_rule_the_first_folder_that_differs_is_the_patient(tmp_path: Path, above: str) -> None:
    config = write_pairs(tmp_path, [f"{above}p{i:02d}/slice{j:02d}" for i in range(3) for j in (9, 10)])
    found = [(volume.patient, volume.phase, volume.cases) for volume in read(config).volumes]
    assert found == [(f"p{i:02d}", "", tuple(f"{above}p{i:02d}/slice{j}" for j in ("09", "10"))) for i in range(3)]


def test_what_follows_a_patients_folder_is_the_phase(
    tmp_path: Path, datasets: ModuleType, written: dict[str, Written]
) -> None:
    for scan in written["nnunet"].truth:
        for folder, array in (("images", scan.images[:, 0]), ("masks", scan.labels)):
            datasets.save_nifti(tmp_path / folder / scan.patient / f"{scan.phase}.nii.gz", array)
    found = [(volume.patient, volume.phase) for volume in read(DataConfig(root=tmp_path)).volumes]
    assert found == [(scan.patient, scan.phase) for scan in written["nnunet"].truth]
    names = [f"p{i}/{phase}/{j}" for i in range(2) for phase in ("ED", "ES") for j in range(2)]
    found = [(volume.patient, volume.phase) for volume in read(write_pairs(tmp_path / "2d", names)).volumes]
    assert found == [("p0", "ED"), ("p0", "ES"), ("p1", "ED"), ("p1", "ES")]


@pytest.mark.parametrize("form", ["img{:03d}", "case_{:03d}", "{}", "{}_training", "site/case-{}", "p{}.v1"])
def test_numbered_images_are_patients_of_their_own(tmp_path: Path, form: str) -> None:
    names = [form.format(number) for number in range(9, 13)]
    assert [volume.patient for volume in read(write_pairs(tmp_path, names)).volumes] == names


@pytest.mark.parametrize(
    ("form", "pattern"),
    [
        ("p{:02d}_{:02d}", "(.+)_[^_]*$"),
        ("p{:02d}-{:02d}", "(.+)-[^-]*$"),
        ("p{:02d} slice{:02d}", "(.+) [^ ]*$"),
        ("p{:02d}.{:02d}", r"(.+)\.[^\.]*$"),
        ("study_p{:02d}_{:02d}", "(.+)_[^_]*$"),
        ("p{:02d}_v{:d}/slice_1", "([^/]+)_"),
        ("site 1/p{:02d}_v{:d}/slice_1", "site 1/([^/]+)_"),
        ("p{:02d}s{:02d}", None),
        ("study_p{:02d}s{:02d}", None),
    ],
)
def test_names_in_doubt_are_refused_with_a_pattern_that_works_for_them(
    tmp_path: Path, form: str, pattern: str | None
) -> None:
    config = write_pairs(tmp_path, [form.format(i, j) for i in range(4) for j in range(3)])
    (problem,) = read_dataset(config).problems
    assert "3 cases that begin with" in problem.found
    if pattern is None:
        assert "write a cases.csv" in problem.remedy
    else:
        assert f"data.patient_pattern='{pattern}'" in problem.remedy
        found = {volume.patient for volume in read(config.model_copy(update={"patient_pattern": pattern})).volumes}
        assert [each[-3:] for each in sorted(found)] == ["p00", "p01", "p02", "p03"]


# Pictures


def save_pair(root: Path, name: str, image: Image.Image, mask: Image.Image, ending: str = ".png") -> None:
    for folder, picture in (("images", image), ("masks", mask)):
        (root / folder).mkdir(exist_ok=True)
        picture.save(root / folder / f"{name}{ending}")


PIXELS = np.random.default_rng(0).integers(0, 255, (12, 10, 4)).astype(np.uint8)
DRAWN = np.zeros((12, 10), np.uint8)
DRAWN[2:5, 3:7] = 1
DRAWN[6, 6] = 2


def test_a_palette_mask_holds_its_indices(tmp_path: Path) -> None:
    mask = Image.fromarray(DRAWN)
    mask.putpalette([0, 0, 0, 200, 10, 10, 10, 200, 10])
    save_pair(tmp_path, "a", Image.fromarray(PIXELS[..., 0]), mask)
    with Image.open(tmp_path / "masks" / "a.png") as saved:
        assert saved.mode == "P"
    np.testing.assert_array_equal(decoded(DataConfig(root=tmp_path)).labels, DRAWN[None])


def test_a_palette_image_holds_its_colours(tmp_path: Path) -> None:
    image = Image.fromarray(DRAWN)
    image.putpalette([9, 90, 200, 30, 20, 10, 1, 2, 3])
    save_pair(tmp_path, "a", image, Image.fromarray(DRAWN))
    expected = np.array([[9, 90, 200], [30, 20, 10], [1, 2, 3]])[DRAWN]  # (row, column, colour)
    np.testing.assert_array_equal(decoded(DataConfig(root=tmp_path)).images[0], expected.transpose(2, 0, 1))


def test_a_grey_palette_image_holds_its_greys(tmp_path: Path) -> None:
    image = Image.fromarray(DRAWN)
    image.putpalette([200, 200, 200, 30, 30, 30, 90, 90, 90])
    save_pair(tmp_path, "a", image, Image.fromarray(DRAWN))
    np.testing.assert_array_equal(decoded(DataConfig(root=tmp_path)).images[0, 0], np.array([200, 30, 90])[DRAWN])


@pytest.mark.parametrize(("mode", "value"), [("L", 255), ("1", 1)])
def test_masks_of_0_and_255_or_of_one_bit_are_one_foreground_class(tmp_path: Path, mode: str, value: int) -> None:
    mask = Image.fromarray((DRAWN > 0).astype(np.uint8) * 255).convert(mode)
    save_pair(tmp_path, "a", Image.fromarray(PIXELS[..., 0]), mask)
    dataset = read(DataConfig(root=tmp_path))
    assert (dataset.class_names, dataset.label_values) == (("foreground",), (0, value))
    np.testing.assert_array_equal(decoded(DataConfig(root=tmp_path)).labels[0], DRAWN > 0)


def png(values: np.ndarray, bits: int, colour_type: int) -> bytes:
    """Write (row, column or sample) values as the PNG specification has it, which pillow does for few depths."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    texts = ["".join(f"{value:0{bits}b}" for value in row) for row in values]
    padded = [text + "0" * (-len(text) % 8) for text in texts]
    lines = b"".join(b"\0" + int(text, 2).to_bytes(len(text) // 8, "big") for text in padded)
    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour_type]
    header = struct.pack(">IIBBBBB", values.shape[1] // samples, len(values), bits, colour_type, 0, 0, 0)
    palette = chunk(b"PLTE", bytes(range(3 * 2**bits))) if colour_type == 3 else b""
    pixels = chunk(b"IDAT", zlib.compress(lines))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + palette + pixels + chunk(b"IEND", b"")


@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("colour_type", [0, 3])  # grey, palette
def test_png_masks_of_few_bits_hold_their_stored_values(tmp_path: Path, bits: int, colour_type: int) -> None:
    values = np.arange(15).reshape(3, 5) % 2**bits
    (tmp_path / "x.png").write_bytes(png(values, bits, colour_type))
    np.testing.assert_array_equal(read_raster(tmp_path / "x.png", is_mask=True)[0, 0], values)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_png_images_of_few_bits_go_from_black_to_white(tmp_path: Path, bits: int) -> None:
    (tmp_path / "x.png").write_bytes(png(np.array([[0, 2**bits - 1]]), bits, 0))
    np.testing.assert_array_equal(read_raster(tmp_path / "x.png")[0, 0], [[0, 255]])


@pytest.mark.parametrize(("colour_type", "samples"), [(2, 3), (4, 2), (6, 4)])
def test_png_colours_of_16_bits_are_refused_and_grey_is_whole(tmp_path: Path, colour_type: int, samples: int) -> None:
    values = np.arange(2 * 3 * samples).reshape(2, -1) + 40000
    (tmp_path / "x.png").write_bytes(png(values, 16, colour_type))
    with pytest.raises(DataError, match=r"x\.png: found a PNG with colours or transparency of 16 bits"):
        read_raster(tmp_path / "x.png")
    (tmp_path / "x.png").write_bytes(png(values, 16, 0))
    np.testing.assert_array_equal(read_raster(tmp_path / "x.png")[0, 0], values)


def test_classes_can_be_named_with_their_values(tmp_path: Path) -> None:
    mask = Image.fromarray(np.array([0, 170, 85], np.uint8)[DRAWN])
    save_pair(tmp_path, "a", Image.fromarray(PIXELS[..., 0]), mask)
    config = DataConfig(root=tmp_path, classes={"ring": 170, "spot": 85})
    assert read(config).class_names == ("spot", "ring")
    np.testing.assert_array_equal(decoded(config).labels[0], np.array([0, 2, 1])[DRAWN])


def test_the_transparency_of_a_picture_is_no_channel(tmp_path: Path) -> None:
    save_pair(tmp_path, "a", Image.fromarray(PIXELS), Image.fromarray(DRAWN))
    np.testing.assert_array_equal(decoded(DataConfig(root=tmp_path)).images[0], PIXELS[..., :3].transpose(2, 0, 1))


@pytest.mark.parametrize(("dtype", "shift"), [(np.uint16, 0.0), (np.float32, 0.25), (np.int32, 60_000.0)])
def test_the_pages_of_a_tif_are_slices(datasets: ModuleType, tmp_path: Path, dtype: type, shift: float) -> None:
    scan = datasets.scans()[0]
    exact = scan.images[:, 0] + shift
    pages = [Image.fromarray(each.astype(dtype)) for each in exact]
    masks = [Image.fromarray(each) for each in scan.labels]
    for folder, (first, *others) in (("images", pages), ("masks", masks)):
        (tmp_path / folder).mkdir()
        first.save(tmp_path / folder / "p1.tif", save_all=True, append_images=others)
    piece = decoded(DataConfig(root=tmp_path))
    np.testing.assert_array_equal(piece.images[:, 0], exact)
    np.testing.assert_array_equal(piece.labels, scan.labels)


def test_pictures_take_the_pixel_size_that_is_given(written: dict[str, Written]) -> None:
    config = written["folder"].config(pixel_spacing_mm=0.5)
    dataset = read(config)
    assert {piece.spacing for piece in decode_volume(dataset.volumes[0], dataset, config)} == {(0.5, 0.5)}


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


# NIfTI


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
    assert piece.labels.shape == expected.shape


def rewritten(change: Callable[[nibabel.Nifti1Image], Any]) -> Callable[[Path], None]:
    return lambda path: nibabel.save(change(nibabel.load(path)), path)


def as_nifti_2(image: nibabel.Nifti1Image) -> nibabel.Nifti2Image:
    return nibabel.Nifti2Image(np.asarray(image.dataobj), image.affine)


def as_big_endian(image: nibabel.Nifti1Image) -> nibabel.Nifti1Image:
    header = nibabel.Nifti1Header(endianness=">")
    header.set_data_dtype(">f4")
    return nibabel.Nifti1Image(np.asarray(image.dataobj).astype(">f4"), image.affine, header)


def with_extension(image: nibabel.Nifti1Image) -> nibabel.Nifti1Image:
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("afni", b"<AFNI_attributes/>" * 1000))
    return image


def as_frames(image: nibabel.Nifti1Image) -> nibabel.Nifti1Image:
    return nibabel.Nifti1Image(np.asarray(image.dataobj)[..., None], image.affine)


@pytest.mark.parametrize(
    "change", [as_nifti_2, as_big_endian, with_extension, as_frames], ids=lambda change: change.__name__
)
def test_the_forms_of_nifti_hold_the_same_voxels(
    written: dict[str, Written], tmp_path: Path, change: Callable[[Any], Any]
) -> None:
    each = written["nnunet"]
    shutil.copytree(each.root, tmp_path / "data")
    rewritten(change)(tmp_path / "data" / "imagesTr" / "patient001_ED_0000.nii.gz")
    rewritten(change)(tmp_path / "data" / "labelsTr" / "patient001_ED.nii.gz")
    piece = decoded(DataConfig(root=tmp_path / "data", **each.rules))
    np.testing.assert_array_equal(piece.images, each.truth[0].images)
    np.testing.assert_array_equal(piece.labels, each.truth[0].labels)
    assert piece.spacing == pytest.approx((1.25, 1.5))


def test_a_file_of_several_gzip_streams_is_read_whole(written: dict[str, Written], tmp_path: Path) -> None:
    each = written["nnunet"]
    shutil.copytree(each.root, tmp_path / "data")
    path = tmp_path / "data" / "imagesTr" / "patient001_ED_0000.nii.gz"
    content = gzip.decompress(path.read_bytes())
    path.write_bytes(b"".join(gzip.compress(part) for part in (content[:600], content[600:])) + bytes(512))
    piece = decoded(DataConfig(root=tmp_path / "data", **each.rules))
    np.testing.assert_array_equal(piece.images, each.truth[0].images)


def test_slope_and_intercept_are_applied(written: dict[str, Written], tmp_path: Path) -> None:
    each = written["nnunet"]
    shutil.copytree(each.root, tmp_path / "data")
    path = tmp_path / "data" / "imagesTr" / "patient001_ED_0000.nii.gz"
    content = nibabel.load(path)
    content.header.set_slope_inter(0.5, -3)
    raw = content.header.binaryblock + b"\0" * 4 + np.asarray(content.dataobj).tobytes(order="F")
    path.with_suffix("").write_bytes(raw)
    expected = nibabel.load(path.with_suffix("")).get_fdata()
    path.unlink()
    shutil.move(path.with_suffix(""), path)  # uncompressed under a compressed name is read by its content
    piece = decoded(DataConfig(root=tmp_path / "data", **each.rules))
    np.testing.assert_array_equal(piece.images[:, 0], expected.transpose(2, 1, 0))


# Unlabelled images


@pytest.fixture
def volume() -> np.ndarray:
    return np.random.default_rng(5).integers(0, 900, (3, 12, 10)).astype(np.int16)


def test_cines_in_folders_named_by_patient_are_a_pool(tmp_path: Path, datasets: ModuleType, volume: np.ndarray) -> None:
    for patient in ("patient901", "patient902"):
        datasets.save_nifti(tmp_path / patient / "cine.nii.gz", np.stack([volume, volume + 1], -1))
        datasets.save_nifti(tmp_path / patient / "deep" / "late.nii.gz", volume)
        datasets.save_nifti(tmp_path / patient / "late_gt.nii.gz", volume)
        datasets.save_nifti(tmp_path / patient / "masks" / "late.nii.gz", volume)
    found = read_unlabelled(tmp_path, 1, DataConfig())
    assert [(each.name, each.patient) for each in found] == [
        ("patient901/cine", "patient901"),
        ("patient901/deep/late", "patient901/deep"),  # no labelled patient: the folder it lies in
        ("patient902/cine", "patient902"),
        ("patient902/deep/late", "patient902/deep"),
    ]
    found = read_unlabelled(tmp_path, 1, DataConfig(), {"patient901", "patient902"})
    assert [each.patient for each in found] == ["patient901"] * 2 + ["patient902"] * 2


def test_the_patient_of_a_flat_folder_is_what_the_pattern_finds(
    tmp_path: Path, datasets: ModuleType, volume: np.ndarray
) -> None:
    for name in ("p7_a", "p7_b", "p8_a"):
        datasets.save_nifti(tmp_path / f"{name}.nii.gz", volume)
    found = read_unlabelled(tmp_path, 1, DataConfig(patient_pattern="(p[0-9])_"))
    assert [each.patient for each in found] == ["p7", "p7", "p8"]
    assert [each.patient for each in read_unlabelled(tmp_path, 1, DataConfig())] == ["p7_a", "p7_b", "p8_a"]


def test_channel_numbers_are_no_part_of_an_unlabelled_name(
    tmp_path: Path, datasets: ModuleType, volume: np.ndarray
) -> None:
    for name in ("one_0000", "two_0000", "two_0001"):
        datasets.save_nifti(tmp_path / "imagesTs" / f"{name}.nii.gz", volume)
    one, two = read_unlabelled(tmp_path, 2, DataConfig())
    assert (one.patient, [path.name for path in one.images]) == ("one", ["one_0000.nii.gz"])  # not the folder's name
    assert (two.patient, len(two.pieces), len(two.images)) == ("two", 1, 2)


def test_numbered_pictures_are_slices_and_not_channels(tmp_path: Path, datasets: ModuleType) -> None:
    for number in range(5):
        datasets.save_picture(tmp_path / "p1" / f"image_{number:04d}.png", PIXELS[..., :3])
    (found,) = read_unlabelled(tmp_path, 3, DataConfig())
    assert [len(piece.images) for piece in found.pieces] == [1] * 5


def test_linked_patient_folders_are_in_the_pool_and_excluded_ones_are_not(
    tmp_path: Path, datasets: ModuleType, volume: np.ndarray
) -> None:
    for patient in ("p1", "p2"):
        datasets.save_nifti(tmp_path / "store" / patient / "cine.nii.gz", volume)
    (tmp_path / "pool").mkdir()
    (tmp_path / "pool" / "p1").symlink_to(tmp_path / "store" / "p1")
    (tmp_path / "pool" / "p2").symlink_to(tmp_path / "store" / "p2")
    assert [each.patient for each in read_unlabelled(tmp_path / "pool", 1, DataConfig())] == ["p1", "p2"]
    assert [each.patient for each in read_unlabelled(tmp_path / "pool", 1, DataConfig(exclude=("p1",)))] == ["p2"]


def test_volumes_of_the_labelled_set_enter_the_pool_once(written: dict[str, Written], tmp_path: Path) -> None:
    each = written["nnunet"]
    alone = open_store(each.config(), tmp_path / "cache")
    again = open_store(each.config(unlabelled_root=each.root), tmp_path / "cache")
    assert again.summary["num_slices"] == alone.summary["num_slices"]
    assert again.pool_id == alone.pool_id


@pytest.mark.parametrize(
    ("name", "pattern", "patient"),
    [
        ("batch1/p03_slice05", r"(p\d+)_", "p03"),  # the pattern on the file's name
        ("training/p03/x", None, "p03"),  # a folder of a labelled patient
        ("p03/deep/x", None, "p03"),
        ("batch1/p03", None, "p03"),  # the file's name
        ("p03/slice_05", "([^_]+)_", "p03"),  # a labelled patient before what the pattern finds
        ("batch1/p99/x_1", r"batch\d/(p\d+)", "p99"),  # the pattern on the path
        ("training/p99/x", None, "training/p99"),  # the folder it lies in
        ("p99/imagesTs/x", None, "x"),
    ],
)
def test_the_patient_of_an_unlabelled_image(tmp_path: Path, name: str, pattern: str | None, patient: str) -> None:
    (tmp_path / name).parent.mkdir(parents=True)
    Image.fromarray(DRAWN).save(tmp_path / f"{name}.png")
    (found,) = read_unlabelled(tmp_path, 1, DataConfig(patient_pattern=pattern), {"p03"})
    assert found.patient == patient


def test_unlabelled_pictures_gather_within_a_folder(tmp_path: Path, datasets: ModuleType) -> None:
    for name in ("a/p1_1", "a/p1_2", "b/p1_1"):
        datasets.save_picture(tmp_path / f"{name}.png", DRAWN)
    found = read_unlabelled(tmp_path, 1, DataConfig(patient_pattern="(p1)_"))
    assert [(each.patient, each.name, len(each.pieces)) for each in found] == [("p1", "a/p1_1", 2), ("p1", "b/p1_1", 1)]


def test_the_table_says_whose_unlabelled_images_are(
    written: dict[str, Written], tmp_path: Path, datasets: ModuleType
) -> None:
    for name in ("x/8f3a", "x/77b2", "x/c.1"):
        datasets.save_picture(tmp_path / "more" / f"{name}.png", DRAWN)
    rows = [(scan.case, scan.patient, scan.phase) for scan in written["nnunet"].truth]
    rows += [("x/8f3a", "patient001"), ("77b2", "patient002"), ("c.1", "patient003")]
    datasets.save_table(tmp_path / "who.csv", ("case", "patient", "phase"), rows)
    config = written["nnunet"].config(cases_csv=tmp_path / "who.csv", patient_pattern="(.+)")
    found = {each.name: each.patient for each in read_unlabelled(tmp_path / "more", 1, config)}
    assert found == {"x/8f3a": "patient001", "x/77b2": "patient002", "x/c.1": "patient003"}


def pooled(config: DataConfig) -> list[str]:
    dataset = read(config)
    parts = {volume.patient: "train" for volume in dataset.volumes}
    return [volume.name for volume in pool_volumes(dataset, parts, config)[0]]


def test_masks_are_never_in_the_pool(written: dict[str, Written], tmp_path: Path, datasets: ModuleType) -> None:
    for folder in ("Mask", "label", "labelsTr", "labelsTs", "annotations", "segmentations"):
        datasets.save_picture(tmp_path / folder / "a.png", DRAWN)
    datasets.save_picture(tmp_path / "a_seg.png", DRAWN)
    datasets.save_picture(tmp_path / "a.png", DRAWN)
    assert [each.name for each in read_unlabelled(tmp_path, 1, DataConfig())] == ["a"]
    assert pooled(written["table"].config(unlabelled_root=written["table"].root)) == []  # drawn/ is no known name


def test_an_unlabelled_slice_volume_or_patient_can_be_excluded(
    written: dict[str, Written], tmp_path: Path, datasets: ModuleType, volume: np.ndarray
) -> None:
    for name in ("p1/1.png", "p1/2.png", "p2/1.png"):
        datasets.save_picture(tmp_path / name, DRAWN)
    datasets.save_nifti(tmp_path / "p3" / "cine.nii.gz", volume)
    config = written["nnunet"].config(unlabelled_root=tmp_path)
    assert pooled(config) == ["p1/1", "p2/1", "p3/cine"]
    assert pooled(config.model_copy(update={"exclude": ("p1/1", "p2", "p3/cine", "patient003")})) == ["p1/2"]

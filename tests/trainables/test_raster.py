"""Pictures of every kind hold the values that were saved."""

import struct
import zlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image
from trainables_datasets import DRAWN, PIXELS, decoded, read

from trainables.config import DataConfig
from trainables.data.dataset import DataError
from trainables.data.raster import read_raster


def save_pair(root: Path, name: str, image: Image.Image, mask: Image.Image, ending: str = ".png") -> None:
    for folder, picture in (("images", image), ("masks", mask)):
        (root / folder).mkdir(exist_ok=True)
        picture.save(root / folder / f"{name}{ending}")


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


@pytest.mark.parametrize("ending", [".png", ".jpg", ".tif"])
def test_a_tag_that_says_upright_is_no_reason_to_refuse(tmp_path: Path, ending: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 1
    Image.new("L", (10, 12), 7).save(tmp_path / f"x{ending}", exif=exif)
    np.testing.assert_array_equal(read_raster(tmp_path / f"x{ending}"), np.full((1, 1, 12, 10), 7))


@pytest.mark.parametrize("tags", [b"no header", b"MM\0*\0\0"])
def test_damaged_tags_of_a_picture_are_passed_over(tmp_path: Path, tags: bytes) -> None:
    Image.new("L", (10, 12), 7).save(tmp_path / "x.png", exif=tags)
    np.testing.assert_array_equal(read_raster(tmp_path / "x.png"), np.full((1, 1, 12, 10), 7))


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

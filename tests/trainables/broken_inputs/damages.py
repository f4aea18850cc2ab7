"""Damages: functions that take a name within a valid data set and make what breaks it there."""

import gzip
import json
import re
import shutil
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from PIL import Image

from tests.trainables.broken_inputs.places import PICTURE

Damage = Callable[[Path], object]


@dataclass(frozen=True)
class Broken:
    """A valid set, what is done to it, and the problem that must be listed."""

    name: str
    base: str
    damage: Damage
    where: str
    found: str
    expected: str
    remedy: str
    settings: dict[str, Any] = field(default_factory=dict)
    count: int = 1


def change_bytes(name: str, change: Callable[[bytes], bytes]) -> Damage:
    return lambda root: (root / name).write_bytes(change((root / name).read_bytes()))


def cut(name: str, kept: int) -> Damage:
    return change_bytes(name, lambda content: content[:kept])


def flip(name: str, position: int | float) -> Damage:
    """Flip a byte at a position from the start or end, or at a share of the length."""

    def change(content: bytes) -> bytes:
        index = int(position * len(content)) if isinstance(position, float) else position % len(content)
        return content[:index] + bytes([content[index] ^ 0xFF]) + content[index + 1 :]

    return change_bytes(name, change)


def inflated(change: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    return lambda content: gzip.compress(change(gzip.decompress(content)), mtime=0)


def set_header(name: str, *fields: tuple[int, str, Any]) -> Damage:
    """Put (offset, struct format, value) into a NIfTI header, whose layout is that of the standard."""

    def change(content: bytes) -> bytes:
        header = bytearray(content)
        for offset, layout, value in fields:
            struct.pack_into(layout, header, offset, value)
        return bytes(header)

    return change_bytes(name, inflated(change))


DIM, DATATYPE, PIXDIM, VOX_OFFSET, SCL_SLOPE, SCL_INTER, SROW_X, MAGIC = 40, 70, 76, 108, 112, 116, 280, 344


def dims(*sizes: int) -> list[tuple[int, str, int]]:
    return [(DIM, "<h", len(sizes)), *((DIM + 2 * axis, "<h", size) for axis, size in enumerate(sizes, 1))]


def set_voxels(name: str, change: Callable[[np.ndarray], np.ndarray], affine: np.ndarray | None = None) -> Damage:
    def damage(root: Path) -> None:
        image = nibabel.load(root / name)
        array = change(np.asarray(image.dataobj))
        nibabel.save(nibabel.Nifti1Image(array, image.affine if affine is None else affine @ image.affine), root / name)

    return damage


def put(value: float, dtype: type = np.float32) -> Callable[[np.ndarray], np.ndarray]:
    def change(array: np.ndarray) -> np.ndarray:
        result = array.astype(dtype)
        result[1, 1, 1] = value
        return result

    return change


def coloured(array: np.ndarray) -> np.ndarray:
    return np.zeros(array.shape, [("R", "u1"), ("G", "u1"), ("B", "u1")])


def set_picture(name: str, change: Callable[[np.ndarray], np.ndarray], ending: str = ".png") -> Damage:
    """Rewrite a picture, under another ending where one is given."""

    def damage(root: Path) -> None:
        pixels = change(np.asarray(Image.open(root / name)))
        (root / name).unlink()
        Image.fromarray(pixels).save((root / name).with_suffix(ending))

    return damage


def turn(name: str, orientation: int, ending: str) -> Damage:
    """Rewrite a picture under another ending, with the tag by which viewers turn it (Exif 2.32, tag 0x0112)."""

    def damage(root: Path) -> None:
        exif = Image.Exif()
        exif[0x0112] = orientation
        pixels = np.asarray(Image.open(root / name))
        (root / name).unlink()
        Image.fromarray(pixels).save((root / name).with_suffix(ending), exif=exif)

    return damage


def two_pages(root: Path) -> None:
    first, second = (Image.fromarray(np.full(shape, 7, np.uint8)) for shape in ((12, 10), (6, 5)))
    (root / PICTURE).unlink()
    first.save((root / PICTURE).with_suffix(".tif"), save_all=True, append_images=[second])


def claim_png_size(content: bytes) -> bytes:
    header = b"IHDR" + struct.pack(">II", 60000, 60000) + content[24:29]
    return content[:12] + header + struct.pack(">I", zlib.crc32(header)) + content[33:]


def remove(*names: str) -> Damage:
    def damage(root: Path) -> None:
        for name in names:
            shutil.rmtree(root / name) if (root / name).is_dir() else (root / name).unlink()

    return damage


def move(source: str, target: str) -> Damage:
    return lambda root: (root / source).rename(root / target)


def copy(source: str, target: str) -> Damage:
    def damage(root: Path) -> None:
        (root / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / source, root / target)

    return damage


def as_folder(name: str) -> Damage:
    return lambda root: ((root / name).unlink(), (root / name).mkdir())


def as_broken_link(name: str) -> Damage:
    return lambda root: ((root / name).unlink(), (root / name).symlink_to("nowhere"))


def write_text(name: str, text: str) -> Damage:
    return lambda root: (root / name).write_text(text)


def set_json(**values: Any) -> Damage:
    """Put values into dataset.json; None removes a key, a function makes the new value of the old."""

    def damage(root: Path) -> None:
        path = root / "dataset.json"
        content = json.loads(path.read_text())
        for key, value in values.items():
            content[key] = value(content[key]) if callable(value) else value
        path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))

    return damage


def set_table(change: Callable[[list[str]], list[str]]) -> Damage:
    return lambda root: (root / "cases.csv").write_text("\n".join(change((root / "cases.csv").read_text().split("\n"))))


def write_split(content: Any) -> Damage:
    return lambda root: (root.parent / "split.json").write_text(json.dumps(content))


def empty(root: Path) -> None:
    shutil.rmtree(root)
    root.mkdir()


def both(*damages: Damage) -> Damage:
    return lambda root: [damage(root) for damage in damages]


def recode_masks(*values: int) -> Damage:
    """Give all masks of the pictures other values: class 1 the first, and so on."""

    def damage(root: Path) -> None:
        table = np.array([0, *values], np.uint8)
        for path in (root / "masks").iterdir():
            Image.fromarray(table[np.asarray(Image.open(path))]).save(path)

    return damage


def rename_all(pattern: str, replacement: str) -> Damage:
    def damage(root: Path) -> None:
        for path in [path for path in root.rglob("*") if path.is_file()]:
            path.rename(path.with_name(re.sub(pattern, replacement, path.name)))

    return damage

"""The corpus of broken inputs: each a valid small data set, what is done to it, and the problem that must be listed.

``where`` is the end of the place that must be named, the other pieces are regular expressions. A damage is listed as
often as ``count`` says: one cause, one line, wherever that is possible.
"""

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


DIM, DATATYPE, PIXDIM, VOX_OFFSET, SROW_X, MAGIC = 40, 70, 76, 108, 280, 344


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


IMAGE = "patient002/patient002_frame04.nii.gz"
MASK = "patient002/patient002_frame04_gt.nii.gz"
INFO = "patient003/Info.cfg"
CASE, CASE_MASK = "imagesTr/patient002_ED_0000.nii.gz", "labelsTr/patient002_ED.nii.gz"
SECOND = "imagesTr/patient002_ED_0001.nii.gz"
PICTURE, PICTURE_MASK = "images/patient002_ED_9.png", "masks/patient002_ED_9.png"
WHOLE, AGAIN = "a whole NIfTI file", "copy it again"
SHIFTED = np.array([[1, 0, 0, 3.0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
FLIPPED = np.diag([-1.0, 1, 1, 1])

NIFTI = (
    Broken("truncated gzip", "acdc", cut(IMAGE, -20), IMAGE, "cannot be read .*ends early", WHOLE, AGAIN),
    Broken("flipped at a third", "acdc", flip(IMAGE, 0.33), IMAGE, "cannot be read", WHOLE, AGAIN),
    Broken("flipped at two thirds", "acdc", flip(IMAGE, 0.67), IMAGE, "cannot be read", WHOLE, AGAIN),
    Broken("flipped checksum", "acdc", flip(IMAGE, -7), IMAGE, "cannot be read", WHOLE, AGAIN),
    Broken("flipped length", "acdc", flip(MASK, -2), MASK, "cannot be read", WHOLE, AGAIN),
    Broken(
        *("gzip bomb", "acdc", change_bytes(IMAGE, inflated(lambda content: content + bytes(2**24))), IMAGE),
        *("longer than its header says", WHOLE, AGAIN),
    ),
    Broken(
        *("garbage after the stream", "acdc", change_bytes(IMAGE, lambda content: content + b"0123456789"), IMAGE),
        *("cannot be read", WHOLE, AGAIN),
    ),
    Broken(
        "wrong magic", "acdc", set_header(IMAGE, (MAGIC, "4s", b"spam")), IMAGE, "magic string 'spam'", WHOLE, AGAIN
    ),
    Broken("empty file", "acdc", cut(IMAGE, 0), IMAGE, "does not begin like NIfTI", WHOLE, AGAIN),
    Broken("text", "acdc", write_text(IMAGE, "dear colleague\n"), IMAGE, "does not begin like NIfTI", WHOLE, AGAIN),
    Broken(
        *("compressed text", "acdc", change_bytes(IMAGE, lambda _: gzip.compress(b"dear colleague")), IMAGE),
        *("does not begin like NIfTI", WHOLE, AGAIN),
    ),
    Broken(
        *("header cut short", "acdc", change_bytes(IMAGE, inflated(lambda content: content[:200])), IMAGE),
        *("wrong size", WHOLE, AGAIN),
    ),
    Broken(
        *("voxels cut short", "acdc", change_bytes(IMAGE, inflated(lambda content: content[:-1])), IMAGE),
        *("1071 of 1072 bytes", WHOLE, AGAIN),  # 352 of the header, 3 * 12 * 10 * 2 of the voxels
    ),
    Broken(
        *("longer than the header says", "acdc"),
        both(change_bytes(IMAGE, lambda content: gzip.decompress(content) + bytes(2000)), move(IMAGE, IMAGE[:-3])),
        *(IMAGE[:-3], "3072 bytes are there, and its header accounts for 1072", WHOLE, AGAIN),
    ),
    Broken(
        *("absurd shape", "acdc", set_header(IMAGE, *dims(30000, 30000, 30000)), IMAGE),
        *(r"shape \(30000, 30000, 30000\)", "at most 2147483648 voxels", "copy the file again"),
    ),
    Broken(
        *("17 GB claimed", "acdc", set_header(IMAGE, *dims(1290, 1290, 1290), (DATATYPE, "<h", 64)), IMAGE),
        *("1072 of 17173512352 bytes", WHOLE, AGAIN),
    ),
    Broken(
        *("five dimensions", "acdc", set_header(IMAGE, *dims(10, 12, 1, 1, 3)), IMAGE),
        *(r"shape \(10, 12, 1, 1, 3\)", "2 to 4 dimensions", "copy the file again"),
    ),
    Broken("data type", "acdc", set_header(IMAGE, (DATATYPE, "<h", 9999)), IMAGE, "data type 9999", WHOLE, AGAIN),
    Broken("offset", "acdc", set_header(IMAGE, (VOX_OFFSET, "<f", np.inf)), IMAGE, "cannot be read", WHOLE, AGAIN),
    Broken(
        *("zero pixdim", "acdc", set_header(IMAGE, (PIXDIM + 4, "<f", 0.0)), IMAGE),
        *("pixel sizes 1.25 and 0 ", "millimetres above 0", "correct the header"),
    ),
    Broken(
        *("negative pixdim", "acdc", set_header(IMAGE, (PIXDIM + 8, "<f", -1.25)), IMAGE),
        *("pixel sizes -1.25 and 1.5 ", "millimetres above 0", "correct the header"),
    ),
    Broken(
        *("pixdim that is no number", "acdc", set_header(IMAGE, (PIXDIM + 4, "<f", np.nan)), IMAGE),
        *("pixel sizes 1.25 and nan ", "millimetres above 0", "correct the header"),
    ),
    Broken(
        *("pixdim of another axis", "acdc", set_header(IMAGE, (PIXDIM + 12, "<f", 0.0)), IMAGE),
        *("pixel sizes 0 and 1.25 ", "millimetres above 0", "correct the header", {"slice_axis": 0}),
    ),
    Broken(
        *("NaN", "acdc", set_voxels(IMAGE, put(np.nan)), IMAGE),
        *("0.28% NaN or infinite", "finite intensities", "exclude the case"),  # 1 of 360
    ),
    Broken(
        *("NaN in the second channel", "nnunet-channels", set_voxels(SECOND, put(np.nan)), SECOND),
        *("0.28% NaN or infinite", "finite intensities", "exclude the case"),
    ),
    Broken(
        *("second channel too large", "nnunet-channels", set_voxels(SECOND, put(1e300, np.float64)), SECOND),
        *(r"values from 0?.* to 1e\+300", r"at most 1e\+30", "copy it again"),
    ),
    Broken(
        *("both channels damaged", "nnunet-channels"),
        both(set_voxels(SECOND, put(np.nan)), set_voxels(CASE, put(np.inf))),
        *(SECOND, "0.28% NaN or infinite", "finite intensities", "exclude the case", {}, 2),
    ),
    Broken(
        *("truncated second channel", "nnunet-channels", cut(SECOND, -20), SECOND),
        *("cannot be read .*ends early", WHOLE, AGAIN),
    ),
    Broken(
        *("second channel of another shape", "nnunet-channels", set_voxels(SECOND, lambda array: array[..., :2])),
        *(SECOND, r"a channel of shape \(10, 12, 2\)", r"\(10, 12, 3\), the shape of", "image's grid"),
    ),
    Broken(
        *("one bright voxel in the second channel", "nnunet-channels"),
        set_voxels(SECOND, lambda array: put(9)(array * 0)),
        *(SECOND, "99.5th percentile 0 in channel 1", "an image with contrast", "volume-zscore"),
    ),
    Broken(
        *("constant second channel", "nnunet-channels", set_voxels(SECOND, lambda array: array * 0 + 5), SECOND),
        *(r"the value 5 everywhere \(channel 1\)", "an image with contrast", "exclude the case"),
    ),
    Broken(
        *("infinity", "acdc", set_voxels(IMAGE, put(np.inf)), IMAGE),
        *("0.28% NaN or infinite", "finite intensities", "exclude the case"),
    ),
    Broken(
        *("too large to be scaled", "acdc", set_voxels(IMAGE, put(1e300, np.float64)), IMAGE),
        *(r"values from 0?.* to 1e\+300", r"at most 1e\+30", "copy it again"),
    ),
    Broken(
        *("constant image", "acdc", set_voxels(IMAGE, lambda array: array * 0 + 5), IMAGE),
        *("the value 5 everywhere", "an image with contrast", "exclude the case"),
    ),
    Broken(
        *("one bright voxel", "acdc", set_voxels(IMAGE, lambda array: put(9)(array * 0)), IMAGE),
        *("99.5th percentile 0 in channel 0", "an image with contrast", "volume-zscore"),
    ),
    Broken(
        *("complex numbers", "acdc", set_voxels(IMAGE, lambda array: array.astype(np.complex64)), IMAGE),
        *("values of type complex64", "numbers", "export as a grey image"),
    ),
    Broken(
        *("colours", "acdc", set_voxels(IMAGE, coloured), IMAGE),
        *(r"values of type \[\('R'", "numbers", "export as a grey image"),
    ),
    Broken("folder for a file", "acdc", as_folder(IMAGE), IMAGE, "Is a directory", WHOLE, AGAIN),
    Broken("broken link", "acdc", as_broken_link(MASK), MASK, "No such file", WHOLE, AGAIN),
    Broken(
        *("cine as a folder", "acdc", lambda root: (root / "patient003/patient003_4d.nii.gz").mkdir()),
        *("patient003_4d.nii.gz", "Is a directory", WHOLE, AGAIN),
    ),
)

NIFTI_MASKS = (
    Broken(
        *("mask of another shape", "acdc", set_voxels(MASK, lambda array: array[..., :2]), MASK),
        *(r"a mask of shape \(10, 12, 2\)", r"\(10, 12, 3\), the shape of patient002_frame04.nii.gz", "image's grid"),
    ),
    Broken(
        *("transposed mask", "acdc", set_voxels(MASK, lambda array: array.transpose(1, 0, 2)), MASK),
        *(r"a mask of shape \(12, 10, 3\)", r"\(10, 12, 3\), the shape of patient002_frame04.nii.gz", "image's grid"),
    ),
    Broken(
        *("shifted mask", "nnunet", set_voxels(CASE_MASK, lambda array: array, SHIFTED), CASE_MASK),
        *(r"offset \(3, 0, 0\)", r"patient002_ED_0000.nii.gz: .*offset \(0, 0, 0\)", "resample the mask"),
    ),
    Broken(
        *("flipped mask", "nnunet", set_voxels(CASE_MASK, lambda array: array, FLIPPED), CASE_MASK),
        *("axes RPS", "axes LPS", "copy the image's affine"),
    ),
    Broken(
        *("affine that is no number", "nnunet", set_header(CASE_MASK, (SROW_X, "<f", np.nan)), CASE_MASK),
        *(r"axes \?\?\?, voxel size \(nan", "axes LPS", "copy the image's affine"),
    ),
    Broken(
        *("affine without extent", "nnunet", set_header(CASE_MASK, (SROW_X, "<f", 0.0)), CASE_MASK),
        *(r"axes \?PS, voxel size \(0, ", "axes LPS", "copy the image's affine"),
    ),
    Broken(
        *("shifted channel", "nnunet-channels", set_voxels("imagesTr/patient002_ED_0001.nii.gz", np.copy, SHIFTED)),
        *("patient002_ED_0001.nii.gz", r"offset \(3, 0, 0\)", r"offset \(0, 0, 0\)", "resample the channel"),
    ),
    Broken(
        *("half labels", "acdc", set_voxels(MASK, lambda array: array * np.float32(0.5)), MASK),
        *("label values 0.5, 1.5$", "only 0, 1, 2, 3", "correct the mask"),
    ),
    Broken(
        *("nearly whole labels", "acdc", set_voxels(MASK, put(1.0000001)), MASK),
        *("label values 1.00000012$", "only 0, 1, 2, 3", "correct the mask"),
    ),
    Broken(
        *("unknown label", "acdc", set_voxels(MASK, put(4, np.uint8)), MASK),
        *("label values 4$", "only 0, 1, 2, 3", "correct the mask, or leave the case out with data.exclude$"),
    ),
    Broken(
        *("negative label", "acdc", set_voxels(MASK, put(-1, np.int16)), MASK),
        *("label values -1$", "only 0, 1, 2, 3", "correct the mask"),
    ),
    Broken(
        *("label that is no number", "acdc", set_voxels(MASK, put(np.nan)), MASK),
        *("label values nan$", "only 0, 1, 2, 3", "correct the mask"),
    ),
    Broken(
        *("complex labels", "acdc", set_voxels(MASK, lambda array: array.astype(np.complex64)), MASK),
        *("values of type complex64", "numbers", "export"),
    ),
    Broken("coloured labels", "acdc", set_voxels(MASK, coloured), MASK, "values of type", "numbers", "export"),
    Broken(
        *("4D mask", "acdc", set_voxels(MASK, lambda array: np.stack([array] * 2, -1)), MASK),
        *(r"a 4D mask of shape \(10, 12, 3, 2\)", "one 3D mask", "one time point"),
    ),
)

PICTURES = (
    Broken(
        *("JPEG mask", "folder", set_picture(PICTURE_MASK, np.copy, ".jpg"), "masks/patient002_ED_9.jpg"),
        *("a lossy JPEG mask", "exact label values", "PNG or TIF"),
    ),
    Broken(
        *("coloured mask", "folder", set_picture(PICTURE_MASK, lambda pixels: np.stack([pixels] * 3, -1))),
        *(PICTURE_MASK, "3 colour channels", "one channel of class numbers", "grey values"),
    ),
    Broken("truncated PNG", "folder", cut(PICTURE, -30), PICTURE, "cannot be read", "a whole picture file", AGAIN),
    Broken("PNG without its end", "folder", cut(PICTURE, -13), PICTURE, "cannot be read", "whole picture", AGAIN),
    Broken("flipped PNG", "folder", flip(PICTURE, 0.6), PICTURE, "cannot be read", "a whole picture file", AGAIN),
    Broken("flipped PNG mask", "folder", flip(PICTURE_MASK, -17), PICTURE_MASK, "cannot be read", "picture", AGAIN),
    Broken(
        *("truncated TIF", "folder", both(set_picture(PICTURE, np.copy, ".tif"), cut(PICTURE[:-3] + "tif", 180))),
        *("images/patient002_ED_9.tif", "cannot be read", "a whole picture file", AGAIN),
    ),
    Broken(
        *("pages of two sizes", "folder", two_pages, "images/patient002_ED_9.tif"),
        *("pages of sizes", "pages of one size", "files of their own"),
    ),
    Broken("empty PNG", "folder", cut(PICTURE, 0), PICTURE, "cannot be read", "a whole picture file", AGAIN),
    Broken("text as PNG", "folder", write_text(PICTURE, "hello"), PICTURE, "cannot be read", "picture file", AGAIN),
    Broken(
        *("absurd PNG", "folder", change_bytes(PICTURE, claim_png_size), PICTURE),
        *("3600000000 pixels", "a whole picture file", AGAIN),
    ),
    Broken("folder for a picture", "folder", as_folder(PICTURE), PICTURE, "Is a directory", "picture file", AGAIN),
    Broken("broken link to a picture", "folder", as_broken_link(PICTURE), PICTURE, "No such file", "picture", AGAIN),
    Broken(
        *("picture mask of another size", "folder", set_picture(PICTURE_MASK, lambda pixels: pixels[:-1])),
        *(PICTURE_MASK, r"a mask of shape \(1, 1, 11, 10\)", r"\(1, 1, 12, 10\), the shape of", "image's grid"),
    ),
    Broken(
        *("grey among coloured", "folder-rgb", set_picture(PICTURE, lambda pixels: pixels[..., 0].copy())),
        *(PICTURE, "1 channels", r"3 \(red, green, blue\)", "the same channels"),
    ),
    Broken(
        *(
            "unknown picture label",
            "nnunet-png",
            set_picture("labelsTr/patient002_ED_9.png", lambda pixels: pixels + 4),
        ),
        *("labelsTr/patient002_ED_9.png", "label values 4, 5$", "only 0, 1, 2, 3"),
        "correct the mask, or correct the labels of dataset.json$",
    ),
    Broken(
        *(
            "label that data.classes lacks",
            "folder",
            lambda root: None,
            "masks/patient001_ED_10.png",
            "label values 3$",
        ),
        *("only 0, 1, 2", "or name its classes with data.classes=", {"classes": {"a": 1, "b": 2}}, 10),
    ),
    Broken(
        *("no pixel size", "folder", lambda root: None, "images/patient001_ED_8.png", "without a pixel size"),
        *("data.spacing_mm", "data.pixel_spacing_mm", {"spacing_mm": 1.5}, 10),
    ),
    Broken(
        *("classes in doubt", "folder", recode_masks(85, 170, 255), ".png", "masks that hold 85, 170, 255 beside 0"),
        *("0 and one value, or 0, 1, 2", r"data.classes=\{NAME1: 85, NAME2: 170\}"),
    ),
    Broken(
        *("one stray label", "folder", set_picture(PICTURE_MASK, lambda pixels: pixels * 7), PICTURE_MASK),
        *("masks that hold 1, 2, 3, 7 beside 0", "0, 1, 2, ...", "data.classes"),
    ),
    Broken("empty masks", "folder", recode_masks(0, 0, 0), ".png", "empty masks", "0 and one value", "data.classes"),
)

LAYOUTS = (
    Broken(
        "empty folder", "acdc", empty, "data", r"no known layout \(nothing\)", "acdc: folders patient001", "arrange"
    ),
    Broken(
        "holiday", "acdc", both(empty, lambda root: (root / "beach.mp4").touch()), "data", "beach.mp4", "nnunet: d", "a"
    ),
    Broken(
        *("natural images", "folder", both(move("images", "cat"), move("masks", "dog")), "data"),
        *(
            r"natural images, .* \(format imagefolder\)",
            "acdc: folders",
            "give it as natural.source=folder natural.root=.*data .*, and images with masks as data.root",
        ),
    ),
    Broken(
        *("masks of an unknown name", "folder", move("masks", "outlines"), "data"),
        *(r"no known layout \(images, outlines\)", "folder: images/NAME.png and masks/NAME.png", "arrange"),
    ),
    Broken(
        *("file as root", "acdc", lambda root: (shutil.rmtree(root), root.touch()), "data"),
        *("a file", "a folder of images and masks", "correct data.root"),
    ),
    Broken("no root", "acdc", shutil.rmtree, "data", "nothing", "a folder of images and masks", "correct data.root"),
    Broken(
        *("no patients", "acdc", empty, "data", "nothing", "folders named patient001", "point data.root"),
        *({"format": "acdc"},),
    ),
    Broken("no mask", "acdc", remove(MASK), MASK, "no mask, though Info.cfg", "the file", "data.exclude"),
    Broken("no image", "acdc", remove(IMAGE), IMAGE, "no image, though Info.cfg", "the file", "data.exclude"),
    Broken(
        *("mask of an unnamed frame", "acdc", copy(MASK, "patient002/patient002_frame09_gt.nii.gz")),
        *("patient002_frame09_gt.nii.gz", "a mask without an image", "patient002_frame09.nii.gz beside it", "remove"),
    ),
    Broken("no case mask", "nnunet", remove(CASE_MASK), CASE_MASK, "image without a mask", "the mask", "imagesTs"),
    Broken("no case image", "nnunet", remove(CASE), CASE_MASK, "mask without an image", "imagesTr", "remove", {}, 2),
    Broken("no picture mask", "folder", remove(PICTURE_MASK), PICTURE, "without a mask", "in masks/", "copy the mask"),
    Broken("no picture", "folder", remove(PICTURE), PICTURE_MASK, "without an image", "in images/", "copy the image"),
    Broken(
        *(
            "no masks at all",
            "folder",
            remove("masks"),
            "images/patient001_ED_8.png",
            "without a mask",
            "_mask beside it",
        ),
        *("copy the mask", {"format": "folder"}, 30),
    ),
    Broken(
        *("both endings", "acdc", copy(IMAGE, IMAGE.removesuffix(".gz")), IMAGE.removesuffix(".gz")),
        *("a second file of the name patient002_frame04 ", "each image once", "remove one"),
    ),
    Broken(
        *("both endings of a case", "nnunet", copy(CASE, CASE.removesuffix(".gz")), CASE.removesuffix(".gz")),
        *("of another name", "CASE_0000.nii.gz", "rename it"),
    ),
    Broken(
        *("both endings of a case mask", "nnunet", copy(CASE_MASK, CASE_MASK.removesuffix(".gz"))),
        *(CASE_MASK.removesuffix(".gz"), r"a mask of another ending \(also patient002_ED.nii.gz\)"),
        *("patient002_ED.nii.gz, as file_ending says", "remove one of them"),
    ),
    Broken(
        *("case mask of another ending", "nnunet", move(CASE_MASK, CASE_MASK.removesuffix(".gz"))),
        *(CASE_MASK.removesuffix(".gz"), "a mask of another ending$", "patient002_ED.nii.gz, as", "convert the mask"),
    ),
    Broken(
        *("both endings of a picture", "folder", copy(PICTURE, "images/patient002_ED_9.bmp"), PICTURE),
        *("a second file of the name patient002_ED_9 .also patient002_ED_9.bmp", "each case once", "remove one"),
    ),
    Broken(
        *("two masks of an image", "side-by-side", copy("patient002_ED_9_mask.png", "patient002_ED_9_seg.png")),
        *("patient002_ED_9_seg.png", "a second mask of patient002_ED_9 ", "one mask with all classes", "join them"),
    ),
)

ACDC = (
    Broken("no Info.cfg", "acdc", remove(INFO), INFO, "no file", "ED, ES and Group", AGAIN),
    Broken(
        *("Info.cfg in words", "acdc", write_text(INFO, "ED: four\nES: 11\n"), INFO),
        *("'ED: four'", "'ED: <frame number>'", "correct the line"),
    ),
    Broken("superscript", "acdc", write_text(INFO, "ED: 4\nES: ²\n"), INFO, "'ES: ²'", "<frame number>", "correct"),
    Broken("empty Info.cfg", "acdc", write_text(INFO, ""), INFO, "'ES: '", "<frame number>", "correct", {}, 2),
    Broken(
        *("one frame for both", "acdc", write_text(INFO, "ED: 4\nES: 4\n"), INFO),
        *("frame 4 for both ED and ES", "two different frames", "correct the line"),
    ),
    Broken(
        *(
            "identical patients",
            "acdc",
            copy("patient001/patient001_frame04.nii.gz", "patient003/patient003_frame04.nii.gz"),
        ),
        *("data", "patients patient003 and patient001 with 3 identical slices .*in train and test", "different images"),
        r"data.exclude=\[patient001\]",
    ),
    Broken(
        *("nobody to test", "acdc", remove("patient001"), "data", "4 patients, .* 'paper' leaves none for test"),
        *("patients in every part", "change data.split"),
    ),
)

JSON = "dataset.json"
NNUNET = (
    Broken("no JSON", "nnunet", remove(JSON), JSON, "no file", "description", AGAIN),
    Broken("not JSON", "nnunet", cut(JSON, 40), JSON, "cannot be read", "a JSON object", "correct or copy"),
    Broken("endless JSON", "nnunet", write_text(JSON, "[" * 100_000), JSON, "cannot be read", "a JSON object", "copy"),
    Broken("JSON list", "nnunet", write_text(JSON, "[1, 2]"), JSON, r"\[1, 2\]", "a JSON object", "correct it"),
    Broken("no labels", "nnunet", set_json(labels=None), JSON, "no key 'labels'", "a JSON object under", "add"),
    Broken(
        "labels as list", "nnunet", set_json(labels=["a"]), JSON, r"labels = \['a'\]", "a JSON object under", "correct"
    ),
    Broken(
        *("no background", "nnunet", set_json(labels={"ring": 1, "wall": 2, "core": 3}), JSON),
        *("'ring': 1", "background = 0", "add it"),
    ),
    Broken(
        *("only background", "nnunet", set_json(labels={"background": 0}), JSON),
        *("'background': 0", "at least one foreground class", "correct the labels"),
    ),
    Broken(
        *("regions", "nnunet", set_json(labels={"background": 0, "all": [1, 2, 3], "wall": 2, "core": 3}), JSON),
        *(r"label 'all' = \[1, 2, 3\]", "a whole number", "split regions"),
    ),
    Broken(
        *("ignore", "nnunet", set_json(labels=lambda labels: labels | {"ignore": 4}), JSON),
        *("a label 'ignore'", "every pixel of a known class", "data.exclude"),
    ),
    Broken(
        *("two labels of one value", "nnunet", set_json(labels=lambda labels: labels | {"core": 2}), JSON),
        *("'core': 2", "each of its own value", "correct the labels"),
    ),
    Broken(
        *("negative label value", "nnunet", set_json(labels=lambda labels: labels | {"odd": -1}), JSON),
        *("'odd': -1", "above 0", "correct the labels"),
    ),
    Broken(
        *("too many classes", "nnunet", set_json(labels={f"c{value}": value for value in range(257)}), JSON),
        *("256 classes", "at most 255", "merge classes"),
    ),
    Broken(
        "numTraining", "nnunet", set_json(numTraining=11), JSON, "numTraining = 11", "10, the training cases", "copy"
    ),
    Broken(
        *("another ending", "nnunet", set_json(file_ending=".png"), JSON),
        *("file_ending .png, which no image of imagesTr has .patient001_ED_0000.nii.gz", "ending of", "correct"),
    ),
    Broken(
        "format of another",
        "nnunet",
        set_json(file_ending=".mha"),
        JSON,
        "file_ending .mha$",
        "one of",
        "convert",
        {},
        2,
    ),
    Broken("no ending", "nnunet", set_json(file_ending=None), JSON, "no key 'file_ending'", "a JSON text", "add"),
    Broken(
        *("channels from 1", "nnunet-channels", set_json(channel_names={"1": "a", "2": "b"}), JSON),
        *("keys 1, 2$", "keys 0 to 1", "number the channels from 0"),
    ),
    Broken("no channels", "nnunet", set_json(channel_names={}), JSON, r"channel_names = \{\}", "not empty", "add"),
    Broken(
        *("missing channel", "nnunet-channels", remove("imagesTr/patient002_ED_0001.nii.gz")),
        *("patient002_ED_0000.nii.gz", "1 channels", r"2 \(contrast 0, contrast 1\)", "data.exclude"),
    ),
    Broken(
        *("missing first channel", "nnunet-channels", remove("imagesTr/patient002_ED_0000.nii.gz")),
        *("patient002_ED_0001.nii.gz", "channels 1 of case patient002_ED", "0 to 1", "copy the missing"),
    ),
    Broken(
        *(
            "extra channel",
            "nnunet",
            copy(CASE, CASE.replace("_0000", "_0001")),
            CASE,
            "channels 0, 1 of case",
            "0 to 0",
        ),
        "remove files, or name their channels",
    ),
    Broken(
        *("without channel number", "nnunet", copy(CASE, "imagesTr/extra.nii.gz"), "imagesTr/extra.nii.gz"),
        *("an image of another name", "CASE_0000.nii.gz", "rename it"),
    ),
    Broken(
        *("no imagesTr", "nnunet", remove("imagesTr"), "imagesTr", "no folder", "training images", AGAIN),
        *({"format": "nnunet"},),
    ),
    Broken("no labelsTr", "nnunet", remove("labelsTr"), "labelsTr", "no folder", "labelsTr with the masks", AGAIN),
)

FIRST = {"image": "./imagesTr/patient001_ED.nii.gz", "label": "./labelsTr/patient001_ED.nii.gz"}
DECATHLON = (
    Broken(
        *("listed image is missing", "decathlon", remove("imagesTr/patient002_ED.nii.gz")),
        *("imagesTr/patient002_ED.nii.gz", "no image, though dataset.json lists it", "the file", "remove the entry"),
    ),
    Broken(
        *("listed label is missing", "decathlon", remove("labelsTr/patient002_ED.nii.gz")),
        *("labelsTr/patient002_ED.nii.gz", "no label, though dataset.json lists it", "the file", "remove the entry"),
    ),
    Broken(
        *(
            "form of nnU-Net v1",
            "decathlon",
            rename_all(r"(E[DS])\.nii", r"\1_0000.nii"),
            "imagesTr/patient001_ED.nii.gz",
        ),
        *("no image", "the file", "nnUNetv2_convert_old_nnUNet_dataset", {}, 20),
    ),
    Broken(
        *("entry twice", "decathlon", set_json(training=lambda entries: [*entries, FIRST], numTraining=11)),
        *("imagesTr/patient001_ED.nii.gz", "case patient001_ED twice", "each case once", "remove the second"),
    ),
    Broken(
        *("unlisted image", "decathlon", copy("imagesTr/patient002_ED.nii.gz", "imagesTr/extra.nii.gz")),
        *("imagesTr/extra.nii.gz", "does not list", "an entry under 'training'", "imagesTs"),
    ),
    Broken(
        *("unlisted mask", "decathlon", copy("labelsTr/patient002_ED.nii.gz", "labelsTr/zz.nii.gz")),
        *("labelsTr/zz.nii.gz", "a mask that dataset.json does not list", "with its image", "remove the mask"),
    ),
    Broken(
        *("unlisted pair", "decathlon"),
        both(
            copy("imagesTr/patient002_ED.nii.gz", "imagesTr/zz.nii.gz"),
            copy("labelsTr/patient002_ED.nii.gz", "labelsTr/zz.nii.gz"),
        ),
        *("imagesTr/zz.nii.gz", "an image that dataset.json does not list", "under 'training'", "imagesTs"),
    ),
    Broken(
        *("malformed entry", "decathlon", set_json(training=lambda entries: [*entries, "extra"], numTraining=11), JSON),
        *("training case 'extra'", "image: ./imagesTr", "correct the entry"),
    ),
    Broken("no entry", "decathlon", set_json(training=[]), JSON, r"training = \[\]", "a JSON list", "add"),
    Broken("no modality", "decathlon", set_json(modality=None), JSON, "no key 'modality'", "a JSON object", "add"),
    Broken(
        *("label in words", "decathlon", set_json(labels=lambda labels: labels | {"four": "odd"}), JSON),
        *("label 'odd' = four", "a whole number", "split regions"),
    ),
    Broken(
        *("one modality of two", "decathlon-4d"),
        set_voxels("imagesTr/patient002_ED.nii.gz", lambda array: array[..., 0]),
        *("imagesTr/patient002_ED.nii.gz", "1 channels", r"2 \(contrast 0, contrast 1\)", "the same channels"),
    ),
)

TABLE = "cases.csv"
ROWS = "case,patient,phase\n" + "".join(
    f"patient{n}_{p},{n},{p}\n" for n in ("001", "002", "003", "004", "010") for p in ("ED", "ES")
)
TABLES = (
    Broken(
        *("missing column", "table", set_table(lambda lines: [lines[0].replace("patient", "who"), *lines[1:]]), TABLE),
        *("columns image, mask, who, phase, group", "rows with patient", "add the column patient"),
    ),
    Broken("no rows", "table", set_table(lambda lines: lines[:1]), TABLE, "no row", "a row for each case", "fill"),
    Broken(
        *("row to a missing file", "table", remove("pixels/3.png"), "cases.csv, line 5"),
        *("no file .*pixels/3.png", "an image, its mask and its patient", "correct the row"),
    ),
    Broken(
        *(
            "row without a patient",
            "table",
            set_table(lambda lines: [*lines[:4], lines[4].replace("patient001", ""), *lines[5:]]),
        ),
        *("cases.csv, line 5", "no patient", "an image, its mask and its patient", "correct the row"),
    ),
    Broken(
        *("row twice", "table", set_table(lambda lines: [*lines[:-1], lines[1]]), "cases.csv, line 32"),
        *("image pixels/0.png again", "each image once", "remove the row"),
    ),
    Broken(
        *("a comma too many", "table", set_table(lambda lines: [*lines[:4], lines[4] + ",MD", *lines[5:]])),
        *("cases.csv, line 5", "6 fields", "5, as in the header", "double quotes"),
    ),
    Broken(
        *("not UTF-8", "table", change_bytes(TABLE, lambda content: content.replace(b"DCM", "Ödem".encode("latin-1")))),
        *(TABLE, "cannot be read", "UTF-8 text", "save it as CSV again"),
    ),
    Broken(
        *("case without a row", "nnunet", write_text(TABLE, ROWS.replace("patient002_ED,", "other,")), CASE),
        *("a case without a row", "case=patient002_ED", "add the row", {"patient_pattern": None}),
    ),
    Broken(
        *("case without a patient", "nnunet", write_text(TABLE, ROWS.replace("_ED,002", "_ED,")), TABLE),
        *("case patient002_ED without a patient", "its patient", "fill it in", {"patient_pattern": None}),
    ),
    Broken(
        *("case twice", "nnunet", write_text(TABLE, ROWS + "patient002_ED,003,ED\n"), TABLE),
        *("case patient002_ED twice", "each case once", "remove one row", {"patient_pattern": None}),
    ),
    Broken(
        *(
            "no table",
            "nnunet",
            lambda root: None,
            "who.csv",
            "no file",
            "the table of cases",
            "correct data.cases_csv",
        ),
        *({"cases_csv": Path("who.csv")},),
    ),
)

PATIENTS = (
    Broken(
        *(
            "pattern that does not match",
            "nnunet",
            rename_all("^patient002_ED", "pat_02_ED"),
            "imagesTr/pat_02_ED_0000.nii.gz",
        ),
        *("case pat_02_ED", "a name that data.patient_pattern=", "correct the pattern"),
    ),
    Broken(
        *("no rule", "nnunet", lambda root: None, "data", "2 cases that begin with 'patient001' .*no rule"),
        *("data.patient_pattern, or a cases.csv", "set data.patient_pattern=", {"patient_pattern": None}),
    ),
    Broken(
        *("two phases of one name", "nnunet", lambda root: None, "imagesTr/patient001_ES_0000.nii.gz"),
        *("a second image of patient patient001 with the phase 'E'", "one image for each phase", "name the phase"),
        *({"patient_pattern": r"(patient\d+)_(?P<phase>E)"}, 5),
    ),
    Broken(
        *("names without numbers", "nnunet", rename_all("^patient(...)", lambda match: "abcdefghijk"[int(match[1])])),
        *("patient b", "a name without a number", "the paper's split", "set data.split"),
        *({"split": "paper", "patient_pattern": "([a-k])"},),
    ),
)

FOLDS = {"train": ["patient001", "patient002", "patient003"], "val": ["patient004", "patient010"]}
SPLIT = {"split": "file", "split_file": Path("split.json")}
SPLITS = (
    Broken(
        *("unknown case", "acdc", write_split([FOLDS | {"val": ["patient099"]}]), "split.json"),
        *("case 'patient099' in 'val'", "a case of the data", "correct the file", SPLIT),
    ),
    Broken(
        *(
            "patient in two parts",
            "nnunet",
            write_split([FOLDS | {"val": ["patient004_ED", "patient001_ES"]}]),
            "split.json",
        ),
        *("patient patient001 in 'test' and in 'train'", "keeps apart", "keep all cases of a patient", SPLIT),
    ),
    Broken(
        *("split that is not JSON", "acdc", lambda root: (root.parent / "split.json").write_text("train: all")),
        *("split.json", "no split", "a JSON list of folds", "correct data.split_file", SPLIT),
    ),
    Broken(
        "no split file", "acdc", lambda root: None, "split.json", "no split", "JSON", "correct data.split_file", SPLIT
    ),
    Broken(
        *(
            "fold beyond the last",
            "acdc",
            write_split([FOLDS]),
            "split.json",
            "1 folds",
            "a fold 3",
            "lower data.split_fold",
        ),
        *(SPLIT | {"split_fold": 3},),
    ),
    Broken(
        *("fold of another form", "acdc", write_split([FOLDS | {"test": None}]), "split.json, fold 0"),
        *("'train'", r"\{train: ", "correct the file", SPLIT),
    ),
)

MORE = {"unlabelled_root": Path("more")}
UNLABELLED = (
    Broken(
        "no pool", "acdc", lambda root: None, "more", "no folder", "unlabelled images", "data.unlabelled_root", MORE
    ),
    Broken(
        *("empty pool", "acdc", lambda root: (root.parent / "more").mkdir(), "more", "no image"),
        *("NIfTI volumes or cines", "data.unlabelled_root", MORE),
    ),
    Broken(
        *(
            "pool of other channels",
            "nnunet-channels",
            copy(CASE, "../more/patient901.nii.gz"),
            "more/patient901.nii.gz",
        ),
        *("1 channels", "2 .contrast 0, contrast 1", "the same channels", MORE),
    ),
    Broken(
        *("damaged pool", "acdc", both(copy(IMAGE, "../more/p9/cine.nii.gz"), cut("../more/p9/cine.nii.gz", -9))),
        *("more/p9/cine.nii.gz", "ends early", WHOLE, AGAIN, MORE),
    ),
    Broken(
        *("name of two patients", "acdc", copy(IMAGE, "../more/patient001_on_patient002.nii.gz")),
        *("more/patient001_on_patient002.nii.gz", "a name that tells 2 patients, patient001 and patient002$"),
        *("one patient", "set data.patient_pattern", MORE),
    ),
    Broken(
        *(
            "broken link in the pool",
            "acdc",
            both(copy(IMAGE, "../more/p9/a.nii.gz"), as_broken_link("../more/p9/a.nii.gz")),
        ),
        *("more/p9/a.nii.gz", "No such file", WHOLE, AGAIN, MORE),
    ),
)

BROKEN = (
    *(*NIFTI, *NIFTI_MASKS, *PICTURES, *LAYOUTS, *ACDC, *NNUNET),
    *(*DECATHLON, *TABLES, *PATIENTS, *SPLITS, *UNLABELLED),
)
BY_NAME = {broken.name: broken for broken in BROKEN}

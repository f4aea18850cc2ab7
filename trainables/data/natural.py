"""Natural images with class labels for the generalist stages: a procedural stand-in, or a folder of real ones.

In: a NaturalConfig. Out: a NaturalStore with uint8 RGB squares, memory-mapped and decoded once per node.
The folder has one subfolder per class (torchvision's ImageFolder layout); pillow decodes it. Grey values of 16 bits are
divided by 257, so that the type's range becomes that of 8 bits; wider ones have no range to go by and are refused.
"""

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from trainables.config import RECIPE_VERSION, NaturalConfig, content_hash
from trainables.data.cache import cache_root, opened
from trainables.data.cases import files_below
from trainables.data.dataset import DataError, Problem
from trainables.data.decoded import GrowingArray, Progress, in_parallel, without_errors
from trainables.data.procedural import render_images
from trainables.data.raster import NOT_READABLE

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"}
DEEP = ("I;16", "I;16L", "I;16B", "I;16N")  # pillow's modes of 16 bits
UNBOUNDED = ("I", "F")
DECODING = 2  # of files: another version is decoded anew
SPLITS = ("train", "val", "valid", "validation", "test")  # ImageNet's folders of class folders


@dataclass(frozen=True)
class NaturalStore:
    """A finished store: ``images`` (image, row, column, 3) uint8 and ``labels`` (image,) int64, memory-mapped."""

    folder: Path

    @cached_property
    def summary(self) -> dict[str, Any]:
        """Number of images and classes, and the content hash."""
        content: dict[str, Any] = json.loads((self.folder / "natural.json").read_text())
        return content

    @property
    def data_id(self) -> str:
        """Hash of images and labels."""
        return str(self.summary["data_id"])

    @property
    def num_classes(self) -> int:
        """How many classes the labels distinguish."""
        return int(self.summary["num_classes"])

    def images(self) -> npt.NDArray[np.uint8]:
        """Return all images."""
        array: npt.NDArray[np.uint8] = np.load(self.folder / "images.npy", mmap_mode="r")
        return array

    def labels(self) -> npt.NDArray[np.int64]:
        """Return all class indices."""
        array: npt.NDArray[np.int64] = np.load(self.folder / "labels.npy")
        return array


def open_natural(
    config: NaturalConfig, cache: Path | None, expected_id: str | None = None, progress: Progress | None = None
) -> NaturalStore:
    """Render or decode the images if this node has not done so yet, and open the store.

    Raises DataError for images that cannot be used, and where they are not those of ``expected_id``.
    """
    listing = _list_images(config) if config.root is not None else []
    stamps = [(DECODING, *_stamp(path)) for path, _ in listing]
    key = f"natural-{content_hash(config, stamps, RECIPE_VERSION)}"
    build = partial(_build, config, listing, progress)
    store = opened(cache_root(cache), key, build, NaturalStore, [config.root] if config.root else [])
    if expected_id not in (None, store.data_id):
        raise DataError(
            f"the images in {config.root or 'the procedural set'} have id {store.data_id} here, but the run was "
            f"planned with {expected_id}: files differ or have changed; make them equal on all nodes and run again"
        )
    return store


def _stamp(path: Path) -> tuple[str, int, int]:
    """Name, size and time; what is no file, such as a broken link, is reported when it is decoded."""
    status = path.stat() if path.is_file() else None
    return str(path), status.st_size if status else 0, status.st_mtime_ns if status else 0


def _list_images(config: NaturalConfig) -> list[tuple[Path, int]]:
    root = config.root
    assert root is not None
    if not root.is_dir():
        expected = "a folder with one subfolder of images for each class"
        raise DataError(Problem(str(root), "no folder", expected, "correct natural.root"))
    classes = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    if len(classes) < 2:
        expected = "at least two, one for each class"
        raise DataError(Problem(str(root), f"{len(classes)} subfolders", expected, "correct natural.root"))
    _must_be_classes(classes, root)
    listing, problems = [], []
    for label, folder in enumerate(classes):
        files = sorted(path for path in files_below(folder) if _is_image(path))
        if not files:
            expected = f"some in each class ({', '.join(sorted(SUFFIXES))})"
            problems.append(Problem(str(folder), "no images", expected, "fill or remove the folder"))
        listing += [(path, label) for path in files[: config.num_images]]
    if problems:
        raise DataError(*problems)
    return listing


def _must_be_classes(folders: list[Path], root: Path) -> None:
    """Refuse ``ROOT/train/cat`` and ``ROOT/val/cat``, whose classes would be train and val."""
    outer = [folder for folder in folders if _holds_only_folders(folder)]
    if outer and all(folder.name.lower() in SPLITS for folder in folders):
        train = next((folder for folder in outer if folder.name.lower() == "train"), outer[0])
        found = f"the parts of a split ({', '.join(folder.name for folder in folders)}), with folders in them"
        expected = "a folder with one subfolder of images for each class"
        raise DataError(Problem(str(root), found, expected, f"point natural.root at {train}"))


def holds_classes(root: Path) -> bool:
    """Whether a folder looks like one of natural images: at least two subfolders, each with images, and none beside."""
    inside = [path for path in root.iterdir() if not path.name.startswith(".")]
    folders = [path for path in inside if path.is_dir()]
    if len(folders) < 2 or any(_is_image(path) for path in inside):
        return False
    deeper = (
        folders if not all(map(_holds_only_folders, folders)) else [path for each in folders for path in each.iterdir()]
    )
    return all(any(_is_image(path) for path in each.iterdir()) for each in deeper if each.is_dir())


def _holds_only_folders(folder: Path) -> bool:
    inside = [path for path in folder.iterdir() if not path.name.startswith(".")]
    return bool(inside) and all(path.is_dir() for path in inside)


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def _build(config: NaturalConfig, listing: list[tuple[Path, int]], progress: Progress | None, folder: Path) -> None:
    if config.source == "procedural":
        images, labels = render_images(config.num_images, config.image_size, config.seed, config.num_classes)
        np.save(folder / "images.npy", images)
    else:
        _write_images(config, [path for path, _ in listing], folder / "images.npy", progress)
        labels = np.array([label for _, label in listing], dtype=np.int64)
    np.save(folder / "labels.npy", labels)
    with (folder / "images.npy").open("rb") as file:
        digest = hashlib.sha256(hashlib.file_digest(file, "sha256").digest() + labels.tobytes()).hexdigest()[:16]
    summary = {"data_id": digest, "num_images": len(labels), "num_classes": int(labels.max()) + 1}
    (folder / "natural.json").write_text(json.dumps(summary | {"source": config.source}) + "\n")


def _write_images(config: NaturalConfig, paths: list[Path], target: Path, progress: Progress | None) -> None:
    """Decode in parallel and append in order: a large set does not fit into memory."""
    decode = partial(_decode, size=config.image_size)
    with GrowingArray(target, (config.image_size, config.image_size, 3), np.uint8) as array:
        for image in without_errors(in_parallel(decode, paths, progress)):
            array.append(image[None])


def _decode(path: Path, size: int) -> npt.NDArray[np.uint8]:
    """Shrink the shorter side to ``size`` with an anti-aliasing filter and crop the centre."""
    try:
        with Image.open(path) as image:
            if image.format == "PNG":
                image.verify()  # decoding passes over the checksums of the pixels, and over a missing end
        with Image.open(path) as image:
            colours = _in_colour(image, path)
            fitted = ImageOps.fit(colours, (size, size), method=Image.Resampling.BICUBIC)
    except NOT_READABLE as error:
        found = f"a file that cannot be read ({error})"
        raise DataError(Problem(str(path), found, "a whole picture", "remove it or copy it again")) from error
    return np.asarray(fitted, dtype=np.uint8)


def _in_colour(image: Image.Image, path: Path) -> Image.Image:
    """Return three channels of 8 bits; pillow alone would cut grey values off at 255.

    A PNG has 16 bits at most, which older versions of pillow hold in 32.
    """
    if image.mode in DEEP or (image.mode == "I" and image.format == "PNG"):
        image = Image.fromarray(np.rint(np.asarray(image) / 257).astype(np.uint8))
    elif image.mode in UNBOUNDED:
        found = f"grey values of type {'float' if image.mode == 'F' else 'int'}32"
        raise DataError(Problem(str(path), found, "8 or 16 bits, whose range is known", "save it with 8 bits"))
    return image.convert("RGB")


def inspect_natural(root: Path, progress: Progress | None = None) -> tuple[dict[str, int], list[Problem]]:
    """Return how many images each class has, and the problems of those that cannot be read.

    Raises DataError where no image could be looked at.
    """
    listing = _list_images(NaturalConfig(source="folder", root=root, num_images=10**9))
    decode = partial(_decode, size=16)
    results = in_parallel(decode, [path for path, _ in listing], progress)
    problems = [problem for result in results if isinstance(result, DataError) for problem in result.problems]
    return dict(Counter(path.relative_to(root).parts[0] for path, _ in listing)), problems

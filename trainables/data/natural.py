"""Natural images with class labels for the generalist stages: a procedural stand-in, or a folder of real ones.

In: a NaturalConfig. Out: a NaturalStore with uint8 RGB squares, memory-mapped and decoded once per node.
The folder has one subfolder per class (``readers/imagefolder.py``); pillow decodes it. Grey values of 16 bits are
divided by 257, so that the type's range becomes that of 8 bits; wider ones have no range to go by and are refused.
"""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from trainables.config import RECIPE_VERSION, NaturalConfig, content_hash
from trainables.data.cache import cache_root, open_built
from trainables.data.dataset import DataError, Problem
from trainables.data.growing_array import GrowingArray
from trainables.data.parallel import Progress, in_parallel, without_errors
from trainables.data.procedural import render_images
from trainables.data.raster import NOT_READABLE
from trainables.data.readers import imagefolder
from trainables.data.readers.imagefolder import ClassFolders

DEEP = ("I;16", "I;16L", "I;16B", "I;16N")  # pillow's modes of 16 bits
UNBOUNDED = ("I", "F")
DECODING = 2  # of files: another version is decoded anew


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
    listing = imagefolder.read(config.root, config) if config.root is not None else None
    stamps = [(DECODING, *_stamp(path)) for path in listing.paths] if listing else []
    key = f"natural-{content_hash(config, stamps, RECIPE_VERSION)}"
    build = partial(_build, config, listing, progress)
    store = open_built(cache_root(cache), key, build, NaturalStore, [config.root] if config.root else [])
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


def _build(config: NaturalConfig, listing: ClassFolders | None, progress: Progress | None, folder: Path) -> None:
    if listing is None:
        images, labels = render_images(config.num_images, config.image_size, config.seed, config.num_classes)
        np.save(folder / "images.npy", images)
    else:
        _write_images(config, listing.paths, folder / "images.npy", progress)
        labels = np.array(listing.labels, dtype=np.int64)
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
    listing = imagefolder.read(root, NaturalConfig(source="folder", root=root, num_images=10**9))
    results = in_parallel(partial(_decode, size=16), listing.paths, progress)
    problems = [problem for result in results if isinstance(result, DataError) for problem in result.problems]
    return {name: len(paths) for name, paths in listing.files.items()}, problems

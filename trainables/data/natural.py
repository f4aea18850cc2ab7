"""Natural images with class labels for the generalist stages: a procedural stand-in, or a folder of real ones.

In: a NaturalConfig. Out: a NaturalStore with uint8 RGB squares, memory-mapped and decoded once per node.
The folder has one subfolder per class (torchvision's ImageFolder layout); pillow decodes it.
"""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from trainables.config import RECIPE_VERSION, NaturalConfig, content_hash
from trainables.data.acdc import DataError
from trainables.data.cache import built_once, cache_root
from trainables.data.procedural import render_images

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"}


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


def open_natural(config: NaturalConfig, cache: Path | None, expected_id: str | None = None) -> NaturalStore:
    """Render or decode the images if this node has not done so yet, and open the store.

    Raises DataError for images that cannot be used, and where they are not those of ``expected_id``.
    """
    listing = _list_images(config) if config.root is not None else []
    stamps = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path, _ in listing]
    key = f"natural-{content_hash(config, stamps, RECIPE_VERSION)}"
    store = NaturalStore(built_once(cache_root(cache), key, partial(_build, config, listing)))
    if expected_id not in (None, store.data_id):
        raise DataError(
            f"the images in {config.root or 'the procedural set'} have id {store.data_id} here, but the run was "
            f"planned with {expected_id}: files differ or have changed; make them equal on all nodes and run again"
        )
    return store


def _list_images(config: NaturalConfig) -> list[tuple[Path, int]]:
    root = config.root
    assert root is not None
    if not root.is_dir():
        raise DataError(f"natural image folder {root} does not exist; expected one subfolder of images per class")
    classes = sorted(path for path in root.iterdir() if path.is_dir())
    listing = []
    for label, folder in enumerate(classes):
        files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
        if not files:
            raise DataError(f"{folder} holds no images ({', '.join(sorted(SUFFIXES))}); expected some in each class")
        listing += [(path, label) for path in files[: config.num_images]]
    if len(classes) < 2:
        raise DataError(f"{root} has {len(classes)} subfolders; expected at least two, one per class")
    return listing


def _build(config: NaturalConfig, listing: list[tuple[Path, int]], folder: Path) -> None:
    if config.source == "procedural":
        images, labels = render_images(config.num_images, config.image_size, config.seed, config.num_classes)
        np.save(folder / "images.npy", images)
    else:
        shape = (len(listing), config.image_size, config.image_size, 3)
        mapped = np.lib.format.open_memmap(folder / "images.npy", mode="w+", dtype=np.uint8, shape=shape)
        for index, (path, _) in enumerate(listing):  # one by one: a large set does not fit into memory
            mapped[index] = _decode(path, config.image_size)
        mapped.flush()
        labels = np.array([label for _, label in listing], dtype=np.int64)
    np.save(folder / "labels.npy", labels)
    with (folder / "images.npy").open("rb") as file:
        digest = hashlib.sha256(hashlib.file_digest(file, "sha256").digest() + labels.tobytes()).hexdigest()[:16]
    summary = {"data_id": digest, "num_images": len(labels), "num_classes": int(labels.max()) + 1}
    (folder / "natural.json").write_text(json.dumps(summary | {"source": config.source}) + "\n")


def _decode(path: Path, size: int) -> npt.NDArray[np.uint8]:
    """Shrink the shorter side to ``size`` with an anti-aliasing filter and crop the centre."""
    try:
        with Image.open(path) as image:
            fitted = ImageOps.fit(image.convert("RGB"), (size, size), method=Image.Resampling.BICUBIC)
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError, SyntaxError, ValueError) as error:
        raise DataError(f"{path} cannot be read as an image ({error}); remove it or copy it again") from error
    return np.asarray(fitted, dtype=np.uint8)

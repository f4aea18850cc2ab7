"""The decoded store: every volume decoded once per node, then shared by all processes as memory-mapped arrays.

In: a DataConfig. Out: a SliceStore with square slices, masks, the split and a manifest. Training volumes come first,
then validation, test, and the unlabelled volumes that may be pretrained on: a labelled part is a run of rows, and no
slice is stored twice.
"""

import json
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trainables.config import RECIPE_VERSION, DataConfig, content_hash
from trainables.data import readers
from trainables.data.cache import built_once, cache_root, opened
from trainables.data.cases import files_below, is_image, tabled_files
from trainables.data.dataset import DataError
from trainables.data.decoded import Progress, measure_constants, write_decoded
from trainables.data.manifest import Manifest
from trainables.data.phantom import write_phantom
from trainables.data.splits import PARTS, SliceOrigin, as_nnunet_split, split_patients
from trainables.data.unlabelled import pool_volumes

STORE_VERSION = 8  # of the files in a store's folder: another version is decoded anew


@dataclass(frozen=True)
class StoredVolume:
    """Consecutive slices of one patient at one phase: ``start`` to ``stop`` of its part's rows.

    ``spacing_mm`` is that of slices, rows and columns as stored: None where none is known, as of pictures, and None for
    slices alone where they are single or their distance is unknown.
    """

    name: str
    patient: str
    group: str
    phase: str
    start: int
    stop: int
    spacing_mm: tuple[float | None, float, float] | None


@dataclass(frozen=True)
class SliceStore:
    """A finished store. Its arrays are memory-mapped; ``rows`` says which rows make up a part."""

    folder: Path

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The data manifest: counts, classes, groups, preprocessing, warnings and the content hashes."""
        content: dict[str, Any] = json.loads((self.folder / "data.json").read_text())
        return content

    @property
    def content_id(self) -> str:
        """Hash of the labelled images and masks as decoded, their patients and phases."""
        return str(self.summary["content_id"])

    @property
    def data_id(self) -> str:
        """Hash of the labelled content, the split and the preprocessing: what a fine-tuning sees."""
        return str(self.summary["data_id"])

    @property
    def pool_id(self) -> str:
        """Hash of the unlabelled pool and its preprocessing: what pretraining sees."""
        return str(self.summary["pool_id"])

    @property
    def num_classes(self) -> int:
        """Classes with the background."""
        return len(self.summary["class_names"]) + 1

    @property
    def num_channels(self) -> int:
        """Channels of each slice."""
        return len(self.summary["channel_names"])

    @cached_property
    def images(self) -> npt.NDArray[np.float16]:
        """All slices, (slice, channel, row, column)."""
        array: npt.NDArray[np.float16] = np.load(self.folder / "images.npy", mmap_mode="r")
        return array

    @cached_property
    def masks(self) -> npt.NDArray[np.uint8]:
        """The masks of the labelled slices, which are the first rows: (slice, row, column)."""
        array: npt.NDArray[np.uint8] = np.load(self.folder / "masks.npy", mmap_mode="r")
        return array

    @property
    def split(self) -> list[dict[str, list[str]]]:
        """The cases of each part as nnU-Net's ``splits_final.json`` has them."""
        content: list[dict[str, list[str]]] = json.loads((self.folder / "splits_final.json").read_text())
        return content

    def rows(self, part: str) -> npt.NDArray[np.int64]:
        """Return the rows of ``train``, ``validation``, ``test`` or the unlabelled ``pool``, in order."""
        if part == "pool":
            return np.concatenate([np.arange(start, stop) for start, stop in self._index["pool_rows"]])
        start, stop = self._index["rows"][part]
        return np.arange(start, stop)

    @cached_property
    def _index(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.folder / "index.json").read_text())
        return content

    @cached_property
    def _volumes(self) -> dict[str, list[StoredVolume]]:
        volumes = self._index["volumes"]
        return {part: [_stored_volume(row) for row in rows] for part, rows in volumes.items()}

    def volumes(self, part: str) -> list[StoredVolume]:
        """Return the volumes of a labelled part in storage order."""
        return self._volumes[part]

    @cached_property
    def _origins(self) -> dict[str, list[SliceOrigin]]:
        return {
            part: [
                SliceOrigin(volume.patient, volume.phase, volume.group, index, volume.stop - volume.start)
                for volume in volumes
                for index in range(volume.stop - volume.start)
            ]
            for part, volumes in self._volumes.items()
        }

    def origins(self, part: str) -> list[SliceOrigin]:
        """Return where each slice of a labelled part comes from, in order of its rows."""
        return self._origins[part]


def _stored_volume(row: dict[str, Any]) -> StoredVolume:
    spacing = row["spacing_mm"]  # JSON knows lists alone, and a volume is a key of caches
    return StoredVolume(**row | {"spacing_mm": tuple(spacing) if spacing else None})


def open_store(
    config: DataConfig,
    cache: Path | None,
    expected_data: str | None = None,
    expected_pool: str | None = None,
    progress: Progress | None = None,
) -> SliceStore:
    """Decode the data if this node has not done so yet, and open the store.

    Raises DataError for any input that cannot be used (every volume is read before anything is trained), and where
    the labelled slices or the pool are not those of the expected id, which was planned with.
    """
    root = cache_root(cache)
    located = locate(config, cache)
    ignored = {"validation_slices", "label_unit", "label_draw", "label_orders", "phantom"}
    recipe = located.model_dump(mode="json", exclude=ignored)
    inputs = (located.root, config.unlabelled_root, config.cases_csv, config.split_file, *tabled_files(config))
    stamps = [_stamps(path) for path in inputs]
    takes_validation = config.validation_slices != 0
    key = f"slices-{content_hash(recipe, takes_validation, stamps, RECIPE_VERSION, STORE_VERSION)}"
    sources = [path for path in (config.root, *inputs[1:4]) if path is not None]
    store = opened(root, key, partial(_build, located, progress), SliceStore, sources)
    for expected, found in ((expected_data, store.data_id), (expected_pool, store.pool_id)):
        if expected not in (None, found):
            raise DataError(
                f"the data in {config.root or 'the phantom'} have id {found} here, but the run was planned with "
                f"{expected}: files differ or have changed; make them equal on all nodes and run the command again"
            )
    return store


def locate(config: DataConfig, cache: Path | None) -> DataConfig:
    """Return the config with its format, root and split settled: the phantom is rendered, a format recognised."""
    if config.root is None:
        key = f"phantom-{content_hash(config.phantom, RECIPE_VERSION)}"
        build = partial(_write_phantom, config)
        found = {"root": built_once(cache_root(cache), key, build, []) / "training", "format": "acdc"}
    else:
        is_named = config.format != "auto" or not config.root.is_dir()
        found = {"root": config.root.absolute()}
        found["format"] = config.format if is_named else readers.detect_format(config.root)
    split = config.split if config.split != "auto" else "paper" if found["format"] == "acdc" else "fractions"
    return config.model_copy(update={**found, "split": split})


def _write_phantom(config: DataConfig, folder: Path) -> None:
    write_phantom(folder / "training", config.phantom)


def _stamps(root: Path | None) -> list[tuple[str, int, int]] | None:
    """Name, size and time of every file that could be read: a changed file is decoded again."""
    if root is None or not root.exists():
        return None
    files = sorted(path for path in files_below(root) if _is_read(path)) if root.is_dir() else [root]
    return [(str(path.relative_to(root)), path.stat().st_size, path.stat().st_mtime_ns) for path in files]


def _is_read(path: Path) -> bool:
    return (is_image(path) or path.suffix in (".json", ".csv", ".cfg")) and path.is_file()


def _build(config: DataConfig, progress: Progress | None, folder: Path) -> None:
    dataset = readers.read_dataset(config)
    if dataset.problems:
        raise DataError(*dataset.problems)
    parts = split_patients(dataset.volumes, config)
    labelled = [volume for part in PARTS for volume in dataset.volumes if parts.get(volume.patient) == part]
    extra, warnings = pool_volumes(dataset, parts, config)
    train = [volume for volume in labelled if parts[volume.patient] == "train"]
    constants = measure_constants(train, dataset, config, progress)
    facts = write_decoded(folder, [*labelled, *extra], dataset, config, constants, progress)
    manifest = Manifest(config, dataset, parts, facts, len(labelled), constants, np.load(folder / "fingerprints.npy"))
    if problems := manifest.problems():
        raise DataError(*problems)
    (folder / "index.json").write_text(json.dumps(manifest.index()))
    (folder / "splits_final.json").write_text(json.dumps(as_nnunet_split(dataset.volumes, parts), indent=1))
    (folder / "data.json").write_text(json.dumps(manifest.summary(warnings), indent=2) + "\n")

"""The decoded store: every volume decoded once per node, then shared by all processes as memory-mapped arrays.

In: a DataConfig. Out: a SliceStore with square slices, masks, the split and a manifest. Two folders of the cache make
it up: the decoded volumes (``decoded_volumes.py``), and a small one that says which of them a split's parts and its
pool are. So another split is another small folder, and no slice is stored twice.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from trainables.config import RECIPE_VERSION, DataConfig, content_hash
from trainables.data import readers
from trainables.data.cache import built_once, cache_root, open_built
from trainables.data.cases import files_below, is_image, tabled_files
from trainables.data.dataset import DataError, Volume
from trainables.data.decoded import measure_constants
from trainables.data.decoded_volumes import DecodedVolumes, Decoding, find_decoded, volume_key
from trainables.data.listing import Listing, list_volumes
from trainables.data.manifest import Manifest, Marked
from trainables.data.parallel import Progress
from trainables.data.phantom import write_phantom
from trainables.data.slice_store import INDEX, SPLIT, SUMMARY, SliceStore, read_index
from trainables.data.splits import as_nnunet_split

STORE_VERSION = 10  # of the files in a store's folders: another version is decoded anew

CHANGES_NO_STORE = {"validation_slices", "label_unit", "label_draw", "label_orders", "phantom"}
CHANGES_NO_PIXEL = {
    *("split", "validation_fraction", "test_fraction", "split_seed", "split_file", "split_fold"),
    "exclude",  # which volumes there are is another question
}


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
    store = _Asked(locate(config, cache), config.root, cache_root(cache), progress).opened()
    for expected, found in ((expected_data, store.data_id), (expected_pool, store.pool_id)):
        if expected not in (None, found):
            raise DataError(
                f"the data in {config.root or 'the phantom'} have id {found} here, but the run was planned with "
                f"{expected}: files differ or have changed; make them equal on all nodes and run the command again"
            )
    return store


@dataclass(frozen=True)
class _Asked:
    """A store that is asked for. ``given_root`` is what the config named, none for the phantom."""

    config: DataConfig  # located
    given_root: Path | None
    cache: Path
    progress: Progress | None

    def opened(self) -> SliceStore:
        recipe, stamps = self._recipe(set()), _stamps(self.config.split_file)
        key = content_hash(recipe, self.config.validation_slices != 0, self._content, stamps)
        return open_built(self.cache, f"split-{key}", self._write_split, self._store, self._sources)

    def _recipe(self, passed_over: set[str]) -> dict[str, Any]:
        return self.config.model_dump(mode="json", exclude=CHANGES_NO_STORE | passed_over)

    @cached_property
    def _content(self) -> str:
        """Hash of every file that could be read but the split's: a changed one is decoded again."""
        data = self.config
        inputs = (data.root, data.unlabelled_root, data.cases_csv, *tabled_files(data))
        return content_hash([_stamps(path) for path in inputs], RECIPE_VERSION, STORE_VERSION)

    @property
    def _sources(self) -> list[Path]:
        data = self.config
        inputs = (self.given_root, data.unlabelled_root, data.cases_csv, data.split_file)
        return [path for path in inputs if path is not None]

    def _decoding(self, listing: Listing) -> Decoding:
        constants = measure_constants(listing.of_part("train"), listing.dataset, self.config, self.progress)
        values = listing.dataset.label_values  # which an exclusion may change, where masks alone tell the classes
        identity = content_hash(self._recipe(CHANGES_NO_PIXEL), self._content, constants, values)
        sources = [path for path in self._sources if path != self.config.split_file]
        return Decoding(identity, listing.dataset, self.config, constants, sources, self.progress)

    def _write_split(self, folder: Path) -> None:
        listing = list_volumes(self.config)
        decoding = self._decoding(listing)
        decoded = decoding.open(self.cache, listing.wanted, listing.everything)
        labelled, unlabelled = (_marked(decoded, each) for each in (listing.labelled, listing.admitted))
        constants = decoding.constants
        manifest = Manifest(self.config, listing.dataset, listing.parts, labelled, unlabelled, constants)
        if problems := manifest.problems():
            raise DataError(*problems)
        (folder / INDEX).write_text(json.dumps({"decoded": decoding.identity, **manifest.index()}))
        split = as_nnunet_split(listing.dataset.volumes, listing.parts)
        (folder / SPLIT).write_text(json.dumps(split, indent=1))
        (folder / SUMMARY).write_text(json.dumps(manifest.summary(listing.warnings), indent=2) + "\n")

    def _store(self, folder: Path) -> SliceStore:
        """Open a split's folder with the volumes that it names, which may have been removed since."""
        index = read_index(folder)
        wanted = {*index["pool"], *(each["key"] for rows in index["volumes"].values() for each in rows)}
        decoded = find_decoded(self.cache, index["decoded"], wanted)
        if decoded is None:
            listing = list_volumes(self.config)
            decoded = self._decoding(listing).open(self.cache, listing.wanted, listing.everything)
        return SliceStore(folder, decoded)


def _marked(decoded: DecodedVolumes, volumes: Sequence[Volume]) -> list[Marked]:
    facts, marks = decoded.facts(), decoded.fingerprints()
    keys = [volume_key(volume) for volume in volumes]
    return [Marked(facts[key], marks[slice(*decoded.bounds[key])], key) for key in keys]


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
    stats = [(path, path.stat()) for path in files]
    return [(str(path.relative_to(root)), found.st_size, found.st_mtime_ns) for path, found in stats]


def _is_read(path: Path) -> bool:
    return (is_image(path) or path.suffix in (".json", ".csv", ".cfg")) and path.is_file()

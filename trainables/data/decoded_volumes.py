"""The decoded volumes of a data set in the cache, which all its splits share.

In: the volumes that a split wants, and all that there are. Out: a folder with ``images.npy``, ``masks.npy`` and
``fingerprints.npy`` (``decoded.py``), the rows of each volume and the facts found in it. It is named after everything
that changes a pixel, and after the volumes in it: whatever has the wanted ones among its own serves, so another seed,
fold or exclusion mostly decodes nothing (``Decoding.open``).
"""

import contextlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trainables.config import DataConfig, content_hash
from trainables.data.cache import BUILDING, mark_used, open_built, open_if_there
from trainables.data.dataset import DataError, Dataset, Volume
from trainables.data.decoded import VolumeFacts, write_decoded
from trainables.data.parallel import Progress
from trainables.data.preprocess import Constants

ROWS, FACTS = "rows.json", "facts.json"


@dataclass(frozen=True)
class DecodedVolumes:
    """A finished folder. Its arrays are memory-mapped; the labelled volumes come first."""

    folder: Path

    @cached_property
    def bounds(self) -> dict[str, tuple[int, int]]:
        """First and last row, exclusive, of each volume by its key."""
        content: dict[str, list[int]] = json.loads((self.folder / ROWS).read_text())
        return {key: (start, stop) for key, (start, stop) in content.items()}

    def facts(self) -> dict[str, VolumeFacts]:
        """What was found in each volume, by its key."""
        content: dict[str, dict[str, Any]] = json.loads((self.folder / FACTS).read_text())
        return {key: _facts(row) for key, row in content.items()}

    def fingerprints(self) -> npt.NDArray[np.uint64]:
        """Of every row, as decoded; 0 for a slice of one value."""
        array: npt.NDArray[np.uint64] = np.load(self.folder / "fingerprints.npy")
        return array

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

    def rows(self, keys: Sequence[str]) -> npt.NDArray[np.int64]:
        """Return the rows of some volumes, one volume after another."""
        return np.concatenate([np.zeros(0, np.int64), *(np.arange(*self.bounds[key]) for key in keys)])


def _facts(row: Mapping[str, Any]) -> VolumeFacts:
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in row.items()}
    return VolumeFacts(**values)  # of JSON, which knows lists alone


def volume_key(volume: Volume) -> str:
    """Identify a volume of a folder by its names and files."""
    files = [[str(path) for path in (*piece.images, piece.mask)] for piece in volume.pieces]
    return content_hash(volume.name, volume.patient, volume.phase, volume.group, files)


@dataclass(frozen=True)
class Decoding:
    """What is decoded and how. ``identity`` hashes all of it that changes a pixel, but for the volumes."""

    identity: str
    dataset: Dataset
    config: DataConfig
    constants: Constants | None
    sources: Sequence[Path]
    progress: Progress | None = None

    def open(self, root: Path, wanted: Sequence[Volume], everything: Sequence[Volume]) -> DecodedVolumes:
        """Return decoded volumes with the wanted ones among them, decoding them where no folder of the cache has them.

        The first split of a data set decodes what it wants, since a pool without the held-out patients is smaller; the
        second decodes everything, which serves all others. Raises DataError for a wanted volume that cannot be used.
        """
        keyed = {volume_key(volume): volume for volume in wanted}
        if found := find_decoded(root, self.identity, keyed):
            return found
        if any(_folders(root, self.identity)):
            with contextlib.suppress(DataError):  # of a file that nobody asked for
                return self._opened(root, {volume_key(volume): volume for volume in everything})
        return self._opened(root, keyed)

    def _opened(self, root: Path, volumes: Mapping[str, Volume]) -> DecodedVolumes:
        name = f"slices-{self.identity}-{content_hash(sorted(volumes))}"
        return open_built(root, name, partial(self._write, volumes), DecodedVolumes, self.sources)

    def _write(self, volumes: Mapping[str, Volume], folder: Path) -> None:
        facts = write_decoded(folder, list(volumes.values()), self.dataset, self.config, self.constants, self.progress)
        ends = np.cumsum([0, *(each.num_slices for each in facts)]).tolist()
        (folder / ROWS).write_text(json.dumps(dict(zip(volumes, pairwise(ends), strict=True))))
        (folder / FACTS).write_text(json.dumps({key: vars(each) for key, each in zip(volumes, facts, strict=True)}))


def find_decoded(root: Path, identity: str, wanted: Collection[str]) -> DecodedVolumes | None:
    """Return the largest finished folder that holds these volumes, if any: the one that most splits share."""
    found = (open_if_there(folder, DecodedVolumes) for folder in _folders(root, identity))
    fitting = [each for each in found if each is not None and each.bounds.keys() >= set(wanted)]
    chosen = max(fitting, key=lambda each: (len(each.bounds), each.folder), default=None)
    if chosen:
        mark_used(chosen.folder)  # and no other: what it has made superfluous grows old
    return chosen


def _folders(root: Path, identity: str) -> list[Path]:
    folders = root.glob(f"slices-{identity}-*")
    return sorted(folder for folder in folders if BUILDING not in folder.name and folder.is_dir())

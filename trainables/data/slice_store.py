"""An open store: memory-mapped slices and masks, and which of their rows make up each part of one split."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trainables.data.decoded_volumes import DecodedVolumes
from trainables.data.part_warnings import part_warnings
from trainables.data.splits import SliceOrigin

INDEX, SPLIT, SUMMARY = "index.json", "splits_final.json", "data.json"


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
    """A finished store: the decoded volumes, and in ``folder`` which of them make up each part of one split."""

    folder: Path
    decoded: DecodedVolumes

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The data manifest: counts, classes, groups, preprocessing, warnings and the content hashes."""
        content: dict[str, Any] = json.loads((self.folder / SUMMARY).read_text())
        return content

    @property
    def warnings(self) -> list[str]:
        """What was found when the split was made, and what its parts cannot tell: of a split of an earlier version
        too, since the facts of its volumes are in the cache.
        """
        facts = self.decoded.facts()
        volumes = {part: [facts[each["key"]] for each in rows] for part, rows in self._index["volumes"].items()}
        found = part_warnings(volumes, self.summary["class_names"], self.summary["split"])
        return list(dict.fromkeys([*self.summary["warnings"], *found]))  # which earlier versions stored with the rest

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

    @property
    def images(self) -> npt.NDArray[np.float16]:
        """All slices, those of other splits among them, memory-mapped: (slice, channel, row, column)."""
        return self.decoded.images

    @property
    def masks(self) -> npt.NDArray[np.uint8]:
        """The masks of the labelled slices, which are the first rows, memory-mapped: (slice, row, column)."""
        return self.decoded.masks

    @property
    def split(self) -> list[dict[str, list[str]]]:
        """The cases of each part as nnU-Net's ``splits_final.json`` has them."""
        content: list[dict[str, list[str]]] = json.loads((self.folder / SPLIT).read_text())
        return content

    def rows(self, part: str) -> npt.NDArray[np.int64]:
        """Return the rows of ``train``, ``validation``, ``test`` or the unlabelled ``pool``, in order."""
        volumes = self._index["volumes"]
        return self.decoded.rows(self._index["pool"] if part == "pool" else [each["key"] for each in volumes[part]])

    @cached_property
    def _index(self) -> dict[str, Any]:
        return read_index(self.folder)

    @cached_property
    def _volumes(self) -> dict[str, list[StoredVolume]]:
        return {part: _stored_volumes(rows) for part, rows in self._index["volumes"].items()}

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


def read_index(folder: Path) -> dict[str, Any]:
    """Return what a split's folder says: the volumes of each labelled part and the keys of those of the pool."""
    content: dict[str, Any] = json.loads((folder / INDEX).read_text())
    return content


def _stored_volumes(rows: Sequence[dict[str, Any]]) -> list[StoredVolume]:
    ends = accumulate((row["num_slices"] for row in rows), initial=0)
    volumes = []
    for row, (start, stop) in zip(rows, pairwise(ends), strict=True):
        spacing = tuple(row["spacing_mm"]) if row["spacing_mm"] else None  # JSON knows lists alone
        volumes.append(StoredVolume(row["name"], row["patient"], row["group"], row["phase"], start, stop, spacing))
    return volumes

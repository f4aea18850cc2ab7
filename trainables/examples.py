"""Example segmentations: a few test slices, the same for every cell, and what each cell's network makes of them.

In: a SliceStore, and the masks that a network predicts. Out: rows of the tables ``example_slices`` (image and truth,
once for all cells of the same data) and ``examples`` (predictions). A report draws them and never sees a network.

The slices follow from the data alone, so that nobody picks them: patients of the test part in turn from each group,
in the order of the store, and of each patient the slice with most foreground. Fewer slices are the first of more.
"""

import functools
import itertools
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from trainables.data.slice_store import SliceStore, StoredVolume

Row = dict[str, Any]
Mask = npt.NDArray[np.uint8]  # (row, column)

DISPLAY_PERCENTILES = (0.5, 99.5)  # of a slice, that black and white stand for


@dataclass(frozen=True)
class ExampleSlice:
    """A test slice: its position among the part's rows, its volume, and its index within that."""

    position: int
    volume: StoredVolume
    slice_index: int


@functools.lru_cache(maxsize=4)
def choose_slices(store: SliceStore, wanted: int) -> tuple[ExampleSlice, ...]:
    """Choose at most ``wanted`` test slices, one a patient; a patient without any foreground has none."""
    volumes = store.volumes("test")
    rows = store.rows("test")
    areas = [int(np.count_nonzero(store.masks[row])) for row in rows] if wanted else []
    chosen = []
    for patient in _in_turn_from_each_group(volumes) if wanted else ():
        own = [(volume, position) for volume in volumes if volume.patient == patient for position in _positions(volume)]
        volume, position = max(own, key=lambda each: areas[each[1]])  # the first of equals
        if areas[position]:
            chosen.append(ExampleSlice(position, volume, position - volume.start))
        if len(chosen) == wanted:
            break
    return tuple(chosen)


@functools.lru_cache(maxsize=4)
def slice_rows(store: SliceStore, chosen: tuple[ExampleSlice, ...]) -> tuple[Row, ...]:
    """Return rows of ``example_slices``: what is shown, and what is true."""
    rows = store.rows("test")
    return tuple(
        {
            "data_id": store.data_id,
            **_place(each),
            "group": each.volume.group,
            "image": _packed(_as_grey(store.images[rows[each.position]])),
            "truth": _packed(store.masks[rows[each.position]]),
        }
        for each in chosen
    )


def prediction_rows(cell_id: str, chosen: Sequence[ExampleSlice], predictions: Sequence[Mask]) -> list[Row]:
    """Return rows of ``examples``: what a cell's network predicts on each slice."""
    return [
        {"cell_id": cell_id, **_place(each), "prediction": _packed(mask)}
        for each, mask in zip(chosen, predictions, strict=True)
    ]


def _in_turn_from_each_group(volumes: Sequence[StoredVolume]) -> list[str]:
    groups: dict[str, dict[str, None]] = {}
    for volume in volumes:
        groups.setdefault(volume.group, {})[volume.patient] = None
    rounds = itertools.zip_longest(*groups.values())
    return [patient for each in rounds for patient in each if patient is not None]


def _positions(volume: StoredVolume) -> range:
    return range(volume.start, volume.stop)


def _place(each: ExampleSlice) -> Row:
    return {"patient": each.volume.patient, "phase": each.volume.phase, "slice_index": each.slice_index}


def _as_grey(image: npt.NDArray[np.float16]) -> Mask:
    """Turn (channel, row, column) into the mean of its channels, from black to white."""
    mean = image.astype(np.float32).mean(0)
    low, high = np.percentile(mean, DISPLAY_PERCENTILES)
    scaled = (mean - low) / max(float(high - low), 1e-6)
    grey: Mask = np.round(255 * scaled.clip(0, 1)).astype(np.uint8)
    return grey


def _packed(pixels: Mask) -> bytes:
    return zlib.compress(np.ascontiguousarray(pixels, dtype=np.uint8).tobytes())

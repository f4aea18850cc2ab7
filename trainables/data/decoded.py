"""Decode many volumes in parallel and in bounded memory, into one pair of memory-mapped arrays.

In: volumes in the order of the store. Out, in a folder: ``images.npy`` (slice, channel, row, column) float16,
``masks.npy`` uint8 (the labelled slices come first), ``fingerprints.npy`` uint64 (one a slice, 0 where a slice is one
value everywhere). Threads decode (``parallel``), one writes in order.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from trainables.config import DataConfig
from trainables.data.dataset import DataError, Dataset, Volume
from trainables.data.decode import Decoded, as_whole_numbers, claimed_bytes, decode_volume, foreground_box
from trainables.data.growing_array import GrowingArray
from trainables.data.parallel import Progress, Result, in_parallel, without_errors
from trainables.data.preprocess import (
    Constants,
    distribution,
    plane_plan,
    pooled_constants,
    prepared_images,
    prepared_labels,
    prepared_spacing,
    volume_constants,
)

ALIKE = 0.01  # relative difference of spacings that count as one
SPARSE = 101  # of so many pixels one is looked at first: a prime, so that they do not line up
COPIES = 5  # of a file's voxels that are alive at once at most: inflated, reordered, windowed and prepared


@dataclasses.dataclass(frozen=True)
class VolumeFacts:
    """What was found in a volume. Counts by class are of the foreground classes, in order."""

    name: str
    patient: str
    phase: str
    group: str
    num_slices: int
    rows: int  # as decoded, of the first piece
    columns: int
    spacing_mm: tuple[float, float] | None  # row, column
    dtype: str
    mask_dtype: str
    lowest: float
    highest: float
    foreground_slices: int
    class_slices: tuple[int, ...]  # slices that show each class
    kept_slices: tuple[int, ...]  # slices that show each class as stored: resampled and cropped
    class_pixels: tuple[int, ...]  # as drawn, before any resampling
    pixels_outside: int  # foreground that the crop loses
    images_id: str
    labels_id: str
    stored_mm: tuple[float | None, float, float] | None = None  # of slices, rows, columns as stored; None: unknown


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A volume as it is stored. ``fingerprints`` are those of the slices as decoded, 0 for a slice of one value."""

    facts: VolumeFacts
    images: npt.NDArray[np.float16]
    masks: npt.NDArray[np.uint8] | None
    fingerprints: npt.NDArray[np.uint64]


def for_each_volume(
    work: Callable[[Volume], Result], volumes: Sequence[Volume], progress: Progress | None = None
) -> Iterator[Result | DataError]:
    """Run ``work`` on every volume in parallel, in bounded memory."""
    return in_parallel(work, volumes, progress, lambda volume: COPIES * claimed_bytes(volume))


def prepare(volume: Volume, dataset: Dataset, config: DataConfig, constants: Constants | None) -> Prepared:
    """Decode a volume and bring it into the form that is stored; ``constants`` None takes the volume's own."""
    decoded = decode_volume(volume, dataset, config)
    chosen = constants or volume_constants(decoded, config, volume.channel_at)
    pairs = [(piece, plane_plan(piece, config, volume.where)) for piece in decoded]
    images = _joined([prepared_images(piece.images, plan, chosen, config) for piece, plan in pairs])
    labelled = [(piece.labels, plan) for piece, plan in pairs if piece.labels is not None]
    masks = [prepared_labels(labels, plan, dataset.num_classes) for labels, plan in labelled]
    shown = sum(int(np.count_nonzero(labels[:, plan.rows.shown, plan.columns.shown])) for labels, plan in labelled)
    marks = np.concatenate([fingerprints(piece.images) for piece in decoded])
    flat = np.concatenate([is_flat(piece.images) for piece in decoded])
    stored_mm = stored_spacing([prepared_spacing(piece, config, volume.where) for piece in decoded], decoded)
    facts = _facts(volume, decoded, masks, marks, shown, dataset.num_classes)
    facts = dataclasses.replace(facts, stored_mm=stored_mm)
    return Prepared(facts, images, _joined(masks) if masks else None, np.where(flat, np.uint64(0), marks))


def stored_spacing(
    planes: Sequence[tuple[float, float] | None], decoded: Sequence[Decoded]
) -> tuple[float | None, float, float] | None:
    """Return a volume's spacing as stored, unknown where its pieces differ; pieces have no distance to each other."""
    first = planes[0]
    if first is None or not all(plane is not None and _is_alike(plane, first) for plane in planes[1:]):
        return None
    return decoded[0].slice_spacing if len(decoded) == 1 else None, *first


def _is_alike(plane: tuple[float, float], first: tuple[float, float]) -> bool:
    return all(abs(one - other) <= ALIKE * other for one, other in zip(plane, first, strict=True))


def _joined(parts: list[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def fingerprints(images: npt.NDArray[np.generic]) -> npt.NDArray[np.uint64]:
    """Return XXH3's 64 bits of each slice's size and values, whatever the type of the rest of its volume.

    They tell slices apart that differ by chance, not those that somebody made to agree.
    """
    size = xxhash.xxh3_64_intdigest(str(images.shape[1:]).encode())
    slices = images if images.dtype == np.int16 else (as_whole_numbers(each) for each in images)
    return np.array([xxhash.xxh3_64_intdigest(np.ascontiguousarray(each).data, size) for each in slices], np.uint64)


def is_flat(images: npt.NDArray[np.generic]) -> npt.NDArray[np.bool_]:
    """Return of each slice whether all its channels are one value each."""
    channels = images.reshape(*images.shape[:2], -1)
    flat = np.asarray((channels[..., ::SPARSE] == channels[..., :1]).all(axis=(1, 2)))
    flat[flat] = (channels[flat] == channels[flat][..., :1]).all(axis=(1, 2))  # few are left to look at whole
    return flat


def _facts(
    volume: Volume,
    decoded: list[Decoded],
    masks: list[npt.NDArray[np.uint8]],
    marks: npt.NDArray[np.uint64],
    shown: int,
    num_classes: int,
) -> VolumeFacts:
    """Describe a volume with fingerprints ``marks``, of whose foreground pixels ``shown`` lie in the square.

    ``masks`` are its labels as stored.
    """
    first = decoded[0]
    labels = [piece.labels for piece in decoded if piece.labels is not None]
    counts, kept = (_class_counts(each, num_classes) for each in (labels, masks))  # (slice, class)
    return VolumeFacts(
        name=volume.name,
        patient=volume.patient,
        phase=volume.phase,
        group=volume.group,
        num_slices=sum(len(piece.images) for piece in decoded),
        rows=first.images.shape[2],
        columns=first.images.shape[3],
        spacing_mm=first.spacing,
        dtype=first.dtype,
        mask_dtype=first.mask_dtype,
        lowest=min(low for piece in decoded for low, _ in piece.ranges),
        highest=max(high for piece in decoded for _, high in piece.ranges),
        foreground_slices=int(counts.any(1).sum()),
        class_slices=tuple(int(number) for number in (counts > 0).sum(0)),
        kept_slices=tuple(int(number) for number in (kept > 0).sum(0)),
        class_pixels=tuple(int(number) for number in counts.sum(0)),
        pixels_outside=int(counts.sum()) - shown,
        images_id=_joined_id([marks]),
        labels_id=_joined_id(labels) if labels else "",
    )


def _joined_id(arrays: Sequence[npt.NDArray[Any]]) -> str:
    """Return 32 hexadecimal digits of XXH3 of the arrays' values, one after another."""
    digest = xxhash.xxh3_128()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    return str(digest.hexdigest())


def _class_counts(pieces: Sequence[npt.NDArray[np.uint8]], num_classes: int) -> npt.NDArray[np.int64]:
    """Return how many pixels each slice of all pieces has of each foreground class: (slice, num_classes - 1)."""
    empty = np.zeros((0, num_classes - 1), np.int64)
    return np.concatenate([empty, *(_piece_counts(each, num_classes) for each in pieces)])


def _piece_counts(labels: npt.NDArray[np.uint8], num_classes: int) -> npt.NDArray[np.int64]:
    inside = np.ascontiguousarray(labels[foreground_box(labels)])
    counts = [[np.count_nonzero(each) for each in inside == label] for label in range(1, num_classes)]
    return np.array(counts, dtype=np.int64).reshape(num_classes - 1, len(labels)).T


def measure_constants(
    training: Sequence[Volume], dataset: Dataset, config: DataConfig, progress: Progress | None = None
) -> Constants | None:
    """Return the training split's constants, or None where each volume has its own."""
    if config.intensity != "training-percentiles":
        return None
    found = for_each_volume(lambda volume: distribution(decode_volume(volume, dataset, config)), training, progress)
    return pooled_constants(without_errors(found))


def write_decoded(
    folder: Path,
    volumes: Sequence[Volume],
    dataset: Dataset,
    config: DataConfig,
    constants: Constants | None,
    progress: Progress | None = None,
) -> list[VolumeFacts]:
    """Decode and store all volumes, the labelled ones first. Raises DataError with the problems of all of them."""
    side = config.image_size
    marks, facts = [np.zeros(0, np.uint64)], []
    results = for_each_volume(lambda volume: prepare(volume, dataset, config, constants), volumes, progress)
    with (
        GrowingArray(folder / "images.npy", (dataset.num_channels, side, side), np.float16) as images,
        GrowingArray(folder / "masks.npy", (side, side), np.uint8) as masks,
    ):
        for prepared in without_errors(results):
            images.append(prepared.images)
            if prepared.masks is not None:
                masks.append(prepared.masks)
            marks.append(prepared.fingerprints)
            facts.append(prepared.facts)
    np.save(folder / "fingerprints.npy", np.concatenate(marks))
    return facts

"""What is stored of each test volume and structure: counts, scores of its slices, distances of surfaces, voxel size.

In: a cell's counts by slice, the masks that it predicted, and the store. Out: rows of the table ``cases``, and the
cell's own scores. These are facts: how a missed structure counts in a mean is decided where means are made
(docs/scores.md).

Where the slices of a volume lie at a known distance, distances are in three dimensions; elsewhere, as in pictures, each
slice is measured by itself. They are in millimetres where the spacing in the plane is known, in stored pixels if not.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from trainables.data.slice_store import SliceStore, StoredVolume
from trainables.metrics import Counts, dice, iou, paper_iou, patient_mean
from trainables.surface_distance import Mask, SurfaceDistances, surface_distances

Row = dict[str, Any]
Labels = npt.NDArray[np.uint8]  # (slice, row, column)
NOT_MEASURED: Row = dict.fromkeys(
    ("hd95", "assd", "num_distances", "num_undefined_distances", "distance_unit", "diagonal")
)


def score_cases(
    cell_id: str, store: SliceStore, counts: Counts, predicted: Sequence[npt.NDArray[np.uint8]] | None
) -> tuple[list[Row], Row]:
    """Return a row per test volume and foreground class, and the cell's scores.

    ``counts`` are (slice, class, 3), the background first. Without predicted masks no distance is measured.
    """
    volumes, names = store.volumes("test"), store.summary["class_names"]
    volume_counts = np.stack([counts[volume.start : volume.stop, 1:].sum(0) for volume in volumes])
    rows = store.rows("test")
    cases = []
    for volume, per_class in zip(volumes, volume_counts, strict=True):
        own = slice(volume.start, volume.stop)
        masks = None if predicted is None else (np.stack(predicted[own]), store.masks[rows[own]])
        for index, row in enumerate(per_class):
            found = _case(cell_id, volume, index + 1, names[index]) | _counts(row)
            found |= _slice_scores(counts[own, index + 1])
            cases.append(found | (_distances(*masks, index + 1, volume) if masks else NOT_MEASURED))
    patients = [volume.patient for volume in volumes]
    scores = {
        "test_dice": patient_mean(dice(volume_counts), patients),
        "test_iou": patient_mean(iou(volume_counts), patients),
        "test_slice_iou": paper_iou(counts),
    }
    return cases, scores


def _case(cell_id: str, volume: StoredVolume, class_index: int, class_name: str) -> Row:
    return {
        "cell_id": cell_id,
        "patient": volume.patient,
        "group": volume.group,
        "phase": volume.phase,
        "class_index": class_index,
        "class_name": class_name,
        "voxel_ml": _voxel_ml(volume),
    }


def _voxel_ml(volume: StoredVolume) -> float | None:
    """Return the volume that a voxel stands for; a slice whose neighbours are unknown stands for none."""
    spacing = volume.spacing_mm
    return None if spacing is None or spacing[0] is None else spacing[0] * spacing[1] * spacing[2] / 1000


def _counts(row: npt.NDArray[np.int64]) -> Row:
    names = ("true_positives", "false_positives", "false_negatives")
    return {name: int(value) for name, value in zip(names, row, strict=True)}


def _slice_scores(counts: Counts) -> Row:
    """Average over the slices of a volume on which the structure is there or predicted."""
    scores = {"slice_dice": dice(counts), "slice_iou": iou(counts)}
    known = ~np.isnan(scores["slice_dice"])
    means = {name: float(each[known].mean()) if known.any() else None for name, each in scores.items()}
    return means | {"scored_slices": int(known.sum())}


@dataclass(frozen=True)
class _Grid:
    """What is measured as one: the whole volume (three axes) or each of its slices (two)."""

    spacing: tuple[float, ...]
    unit: str
    is_volume: bool

    def diagonal(self, shape: tuple[int, ...]) -> float:
        """Return the largest extent of (slice, row, column) voxels, which no distance exceeds."""
        sides = shape if self.is_volume else shape[1:]
        return math.hypot(*(number * each for number, each in zip(sides, self.spacing, strict=True)))


def _grid(volume: StoredVolume) -> _Grid:
    if volume.spacing_mm is None:
        return _Grid((1.0, 1.0), "px", is_volume=False)
    slices_mm, *plane = volume.spacing_mm
    return _Grid(tuple(plane), "mm", False) if slices_mm is None else _Grid((slices_mm, *plane), "mm", True)


def _distances(predicted: Labels, truth: Labels, class_index: int, volume: StoredVolume) -> Row:
    """Measure one structure; the two distances are means over what could be measured."""
    grid = _grid(volume)
    ours, theirs = predicted == class_index, truth == class_index
    pairs = [(ours, theirs)] if grid.is_volume else list(zip(ours, theirs, strict=True))
    found, undefined = _measured(pairs, grid.spacing)
    return {
        "hd95": float(np.mean([each.hd95 for each in found])) if found else None,
        "assd": float(np.mean([each.assd for each in found])) if found else None,
        "num_distances": len(found),
        "num_undefined_distances": undefined,
        "distance_unit": grid.unit,
        "diagonal": grid.diagonal(truth.shape),
    }


def _measured(pairs: Sequence[tuple[Mask, Mask]], spacing: tuple[float, ...]) -> tuple[list[SurfaceDistances], int]:
    """Return the distances of pairs of masks, and how many have none since only one of the two is empty."""
    found, undefined = [], 0
    for ours, theirs in pairs:
        distances = surface_distances(ours, theirs, spacing)
        if distances is not None:
            found.append(distances)
        elif ours.any() or theirs.any():
            undefined += 1
    return found, undefined

"""How far the surfaces of a predicted and a true structure lie apart: HD95 and the average symmetric distance.

In: two masks on one grid of one, two or three axes, and its spacing. Out: both distances in the unit of the spacing, or
None where a structure has no voxel in one mask, which leaves them without a value. The home of scipy's distances.

A surface voxel is one of the structure with a neighbour across a face that is not, or beyond the grid. HD95 is the
larger of the two 95th percentiles of the distances from one surface's voxels to the other surface; ASSD is the mean of
all of them, of both directions together. Sources: Huttenlocher et al. 1993; Heimann et al. 2009; MONAI's
HausdorffDistanceMetric(percentile=95) and SurfaceDistanceMetric(symmetric=True) have the same definitions.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
PERCENTILE = 95.0


@dataclass(frozen=True)
class SurfaceDistances:
    """Two distances of one structure, in the unit of the spacing.

    Note: HD95 of thick slices comes in steps of their spacing, and of a structure of few surface voxels it is nearly
    the largest distance.
    """

    hd95: float
    assd: float


def surface_distances(predicted: Mask, truth: Mask, spacing: Sequence[float]) -> SurfaceDistances | None:
    """Return the distances between two masks; None where either is empty."""
    if not predicted.any() or not truth.any():
        return None
    box = bounding_box(predicted | truth)  # every surface voxel lies in it, so what is nearest does too
    ours, theirs = (_places(surface(mask[box]), spacing) for mask in (predicted, truth))
    to_truth, to_predicted = _nearest(ours, theirs), _nearest(theirs, ours)
    hd95 = max(float(np.percentile(each, PERCENTILE)) for each in (to_truth, to_predicted))
    return SurfaceDistances(hd95, float(np.concatenate([to_truth, to_predicted]).mean()))


def surface(mask: Mask) -> Mask:
    """Return the voxels of a mask with a neighbour across a face that is outside it or beyond the grid."""
    inner = mask.copy()
    for axis in range(mask.ndim):
        along, kept = np.moveaxis(mask, axis, 0), np.moveaxis(inner, axis, 0)
        kept[0] = kept[-1] = False
        kept[1:-1] &= along[:-2] & along[2:]
    return mask & ~inner


def bounding_box(mask: Mask) -> tuple[slice, ...]:
    """Return the smallest window that holds all that is true; there must be something."""
    found = []
    for axis in range(mask.ndim):
        inside = np.flatnonzero(mask.any(tuple(other for other in range(mask.ndim) if other != axis)))
        found.append(slice(int(inside[0]), int(inside[-1]) + 1))
    return tuple(found)


def _places(mask: Mask, spacing: Sequence[float]) -> Floats:
    """Return where the voxels of a mask lie, (voxel, axis), in the unit of the spacing."""
    return np.asarray(np.argwhere(mask) * np.asarray(spacing), np.float64)


def _nearest(start: Floats, end: Floats) -> Floats:
    """Return how far each place of ``start`` is from the nearest of ``end``.

    Memory and time follow the number of places: a distance transform would take 51 bytes for every voxel of the window.
    """
    tree = cKDTree(end, balanced_tree=False, compact_nodes=False)  # on a grid up to three times as fast as the default
    distances, _ = tree.query(start)
    return np.asarray(distances, np.float64)

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
from scipy.ndimage import distance_transform_edt

Mask = npt.NDArray[np.bool_]
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
    ours, theirs = surface(predicted[box]), surface(truth[box])
    to_truth, to_predicted = _distances(ours, theirs, spacing), _distances(theirs, ours, spacing)
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


def _distances(start: Mask, end: Mask, spacing: Sequence[float]) -> npt.NDArray[np.float64]:
    """Return how far each voxel of one surface is from the nearest of another."""
    nearest = distance_transform_edt(~end, sampling=tuple(spacing))
    return np.asarray(nearest[start], np.float64)

"""What the tests of preprocessing make and compare: slices, plans of their resampling, centres."""

from typing import Any

import numpy as np
import numpy.typing as npt

from trainables.data.decode import Decoded
from trainables.data.preprocess import PlanePlan, axis_plan

Array = npt.NDArray[Any]
AS_IS = ((0.0, 1.0),)


def decoded(images: Array, labels: Array | None = None, spacing: tuple[float, float] | None = None) -> Decoded:
    """A piece of grey slices (slice, row, column)."""
    return Decoded(images[:, None], labels, spacing, str(images.dtype), "uint8")


def planned(rows: tuple[int, int], columns: tuple[int, int], side: int) -> PlanePlan:
    """How slices of some size before become some size after, and are cropped or padded to a square."""
    return PlanePlan(axis_plan(*rows, side), axis_plan(*columns, side), side)


def noise(*shape: int, seed: int = 0) -> npt.NDArray[np.float32]:
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def centre(images: Array, side: int) -> Array:
    """Zero-pad about the centre by more than enough, then cut the square out of it."""
    rows, columns = images.shape[-2:]
    padded = np.pad(images, [(0, 0)] * (images.ndim - 2) + [(side, side)] * 2)
    first, left = (
        side + (length - side) // 2 if length > side else side - (side - length) // 2 for length in (rows, columns)
    )
    return padded[..., first : first + side, left : left + side]

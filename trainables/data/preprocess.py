"""From decoded slices to what networks see: intensities scaled, resampled in the plane, cropped or padded to a square.

In: decoded pieces of one volume and a DataConfig. Out: float16 slices and uint8 labels of ``image_size``. Scaling by a
volume's own percentiles or mean takes nothing from other volumes; constants of the training split are measured on
it alone. Percentiles follow numpy's linear definition, whether they are found by counting or by sorting.
"""

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trainables.config import DataConfig
from trainables.data.dataset import DataError, Problem
from trainables.data.decode import Decoded, extent, foreground_box

LOW_PERCENTILE, HIGH_PERCENTILE = 0.5, 99.5
LOWEST, HIGHEST = -0.5, 2.0  # of what is stored; 0 to 1 is the range between the percentiles
MEAN, DEVIATION = 0.25, 0.25
"""Where a z-score is stored: what networks are given subtracts and divides by these again (``batches``)."""

CHUNK = 32  # slices that are resampled at once: bounds the memory that a cine takes
COUNTED = 2**18  # values that are counted at once: bounds the memory that a cine takes, and stays in the cache
GRID = np.linspace(0, 100, 2001)  # percentiles by which a volume stands in the pooled ones
ENDS_HALVED = np.concatenate([[0.5], np.ones(len(GRID) - 2), [0.5]])
"""Weights of a volume's n quantiles: the inner ones then stand at i / (n - 1), as they do in the volume itself, so that
percentiles pooled over a single volume are its own.
"""

Floats = npt.NDArray[np.float64]
Constants = tuple[tuple[float, float], ...]
"""Of each channel: what is subtracted, and by what is divided."""


def percentiles(values: npt.NDArray[np.generic], wanted: Sequence[float] | Floats) -> Floats:
    """Return percentiles as ``np.percentile`` does. Whole numbers (int16) are counted instead of sorted."""
    if values.dtype == np.int16:
        return _counted(values, np.asarray(wanted, np.float64))
    return np.asarray(np.percentile(values.astype(np.float32, copy=False), np.asarray(wanted)), np.float64)


def _counted(values: npt.NDArray[np.generic], wanted: Floats) -> Floats:
    """Find percentiles of int16 values from how often each occurs."""
    lowest, highest = int(values.min()), int(values.max())
    dtype = np.int16 if highest - lowest <= np.iinfo(np.int16).max else np.int32
    counts = np.zeros(highest - lowest + 1, np.int64)
    for part in np.array_split(values.ravel(), max(1, values.size // COUNTED)):
        above = torch.from_numpy(np.subtract(part, lowest, dtype=dtype))
        counts += torch.bincount(above, minlength=len(counts)).numpy()  # numpy's counts 8-byte numbers alone
    below = np.cumsum(counts)
    position = wanted / 100 * (values.size - 1)
    first = np.floor(position)
    low, high = (np.searchsorted(below, np.minimum(rank, values.size - 1), side="right") for rank in (first, first + 1))
    return np.asarray(lowest + low + (high - low) * (position - first), np.float64)


def volume_constants(decoded: Sequence[Decoded], config: DataConfig, where: Callable[[int], str]) -> Constants:
    """Return a volume's own constants for each channel.

    Raises DataError where a channel has no range; ``where`` names the file of a channel.
    """
    found = []
    for channel in range(decoded[0].images.shape[1]):
        values = _values(decoded, channel)
        if config.intensity == "volume-zscore":
            found.append((float(values.mean(dtype=np.float64)), float(values.std(dtype=np.float64))))
        else:
            low, high = percentiles(values, (LOW_PERCENTILE, HIGH_PERCENTILE))
            found.append((float(low), float(high - low)))
        if not found[-1][1] > 0:
            reason = f"{LOW_PERCENTILE}th and {HIGH_PERCENTILE}th percentile {found[-1][0]:g} in channel {channel}"
            remedy = "exclude it with data.exclude, or use data.intensity=volume-zscore"
            raise DataError(Problem(where(channel), reason, "an image with contrast", remedy))
    return tuple(found)


def _values(decoded: Sequence[Decoded], channel: int) -> npt.NDArray[np.generic]:
    """Return all values of a channel, one after another; those of a single piece are not copied."""
    pieces = [piece.images[:, channel].ravel() for piece in decoded]
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)


@dataclass(frozen=True)
class Distribution:
    """A volume's part in the pooled percentiles: its own on a grid (channel, grid), and how many voxels it has."""

    quantiles: Floats
    num_voxels: int


def distribution(decoded: Sequence[Decoded]) -> Distribution:
    """Summarise a volume for ``pooled_constants``."""
    channels = range(decoded[0].images.shape[1])
    values = [_values(decoded, channel) for channel in channels]
    return Distribution(np.stack([percentiles(each, GRID) for each in values]), values[0].size)


def pooled_constants(volumes: Iterable[Distribution]) -> Constants:
    """Return percentiles over all voxels of many volumes, each volume standing in by 2,001 of its own.

    Misleads by at most the distance of two neighbouring quantiles of a volume.
    """
    every = list(volumes)
    weights = np.concatenate([each.num_voxels * ENDS_HALVED for each in every])
    found = []
    for channel in range(every[0].quantiles.shape[0]):
        values = np.concatenate([each.quantiles[channel] for each in every])
        order = np.argsort(values, kind="stable")
        share = (np.cumsum(weights[order]) - weights[order] / 2) / weights.sum()
        low, high = np.interp((LOW_PERCENTILE / 100, HIGH_PERCENTILE / 100), share, values[order])
        if not high > low:
            raise DataError("the training split has no contrast; use data.intensity=volume-zscore")
        found.append((float(low), float(high - low)))
    return tuple(found)


def scaled(images: Tensor, constants: Constants, config: DataConfig) -> Tensor:
    """Scale (slice, channel, row, column) float32 slices, in place."""
    shape = (1, -1, 1, 1)
    images.sub_(torch.tensor([low for low, _ in constants]).view(shape))
    images.div_(torch.tensor([divisor for _, divisor in constants]).view(shape))
    if config.intensity == "volume-zscore":
        images.mul_(DEVIATION).add_(MEAN)
    return images.clamp_(LOWEST, HIGHEST)


def padding(config: DataConfig) -> float:
    """Return what surrounds a small image: the lower percentile, or the mean of a z-score."""
    return MEAN if config.intensity == "volume-zscore" else 0.0


def target_size(decoded: Decoded, config: DataConfig, where: str) -> tuple[int, int]:
    """Return rows and columns after resampling. Raises DataError if a spacing is wanted and the file has none."""
    rows, columns = decoded.images.shape[2:]
    if config.longest_side is not None:
        factor = config.longest_side / max(rows, columns)
        return max(1, round(rows * factor)), max(1, round(columns * factor))
    if config.spacing_mm is None:
        return rows, columns
    if decoded.spacing is None:
        remedy = "give data.pixel_spacing_mm, or use data.longest_side instead of data.spacing_mm"
        raise DataError(Problem(where, "a picture without a pixel size", "one, to resample to data.spacing_mm", remedy))
    row_mm, column_mm = decoded.spacing
    return max(1, round(rows * row_mm / config.spacing_mm)), max(1, round(columns * column_mm / config.spacing_mm))


def prepared_spacing(decoded: Decoded, config: DataConfig, where: str) -> tuple[float, float] | None:
    """Return the distance of rows and of columns in mm as stored; None where the file's is unknown.

    A size of whole pixels makes it differ a little from ``spacing_mm``.
    """
    if decoded.spacing is None:
        return None
    size = target_size(decoded, config, where)
    row_mm, column_mm = (
        spacing * before / after
        for spacing, before, after in zip(decoded.spacing, decoded.images.shape[2:], size, strict=True)
    )
    return row_mm, column_mm


@dataclass(frozen=True)
class AxisPlan:
    """How one axis of a slice becomes one of the square: which pixels, weighted how, and where they go."""

    taken: slice  # of the slice
    placed: slice  # in the square
    weights: Tensor | None  # (placed, taken); None where pixels are taken as they are
    shown: slice  # of the slice: pixels whose centre lies in the square


@functools.lru_cache(maxsize=256)
def axis_plan(before: int, after: int, side: int) -> AxisPlan:
    """Plan one axis of ``before`` pixels that is resampled to ``after`` and cropped or padded about its centre.

    Weights are those of an anti-aliased bilinear resize: a triangle about each output pixel's centre, widened by the
    factor of shrinking and normalised, as torch's ``interpolate(antialias=True)`` has them.
    """
    kept = min(after, side)
    first, target = (after - kept) // 2, (side - kept) // 2
    placed = slice(target, target + kept)
    if before == after:
        taken = slice(first, first + kept)
        return AxisPlan(taken, placed, None, taken)
    scale = before / after
    centres = (np.arange(first, first + kept) + 0.5) * scale
    distance = np.abs(np.arange(before)[None, :] + 0.5 - centres[:, None]) / max(scale, 1.0)
    weights = np.clip(1 - distance, 0, None)
    weights /= weights.sum(1, keepdims=True)
    taken, pixels = extent(weights.any(0)), np.arange(before) + 0.5
    shown = extent((pixels >= first * scale) & (pixels < (first + kept) * scale))
    matrix = torch.from_numpy(np.ascontiguousarray(weights[:, taken], dtype=np.float32))
    return AxisPlan(taken, placed, matrix, shown)


@dataclass(frozen=True)
class PlanePlan:
    """How a slice becomes a square of ``side`` pixels."""

    rows: AxisPlan
    columns: AxisPlan
    side: int


def plane_plan(decoded: Decoded, config: DataConfig, where: str) -> PlanePlan:
    """Plan both axes of a piece. Raises DataError as ``target_size`` does."""
    side, size = config.image_size, target_size(decoded, config, where)
    rows, columns = (axis_plan(*pair, side) for pair in zip(decoded.images.shape[2:], size, strict=True))
    return PlanePlan(rows, columns, side)


def prepared_images(
    images: npt.NDArray[np.generic], plan: PlanePlan, constants: Constants, config: DataConfig
) -> npt.NDArray[np.float16]:
    """Return (slice, channel, side, side) of (slice, channel, row, column): scaled, resampled, cropped or padded."""
    result = np.full((*images.shape[:2], plan.side, plan.side), padding(config), np.float16)
    window = images[:, :, plan.rows.taken, plan.columns.taken]
    for start in range(0, len(images), CHUNK):
        slices = scaled(torch.from_numpy(window[start : start + CHUNK].astype(np.float32)), constants, config)
        if plan.rows.weights is not None:
            slices = plan.rows.weights @ slices
        if plan.columns.weights is not None:
            slices = slices @ plan.columns.weights.T
        # torch converts to float16 in vector instructions, ten times as fast as numpy
        result[start : start + CHUNK, :, plan.rows.placed, plan.columns.placed] = slices.half().numpy()
    return result


def prepared_labels(labels: npt.NDArray[np.uint8], plan: PlanePlan, num_classes: int) -> npt.NDArray[np.uint8]:
    """Return (slice, side, side) of (slice, row, column).

    Each class's indicator is resampled like an image and the strongest wins, so that edges stay where they are; ties go
    to the lower class.
    """
    result = np.zeros((len(labels), plan.side, plan.side), np.uint8)
    window = labels[:, plan.rows.taken, plan.columns.taken]
    if plan.rows.weights is None and plan.columns.weights is None:
        result[:, plan.rows.placed, plan.columns.placed] = window
        return result
    _, near_rows, near_columns = foreground_box(window)
    if near_rows.stop == 0:
        return result
    by_row, by_column = _weights(plan.rows)[:, near_rows], _weights(plan.columns)[:, near_columns]
    shown_rows, shown_columns = extent(by_row.any(1).numpy()), extent(by_column.any(1).numpy())
    by_row, by_column = by_row[shown_rows], by_column[shown_columns]
    target = result[:, plan.rows.placed, plan.columns.placed][:, shown_rows, shown_columns]
    for start in range(0, len(labels), CHUNK):
        chunk = torch.from_numpy(np.ascontiguousarray(window[start : start + CHUNK, near_rows, near_columns]))
        target[start : start + CHUNK] = _strongest(chunk, by_row, by_column, num_classes).numpy()
    return result


def _strongest(labels: Tensor, by_row: Tensor, by_column: Tensor, num_classes: int) -> Tensor:
    """Resample each class of (slice, row, column) labels and return which is strongest, the background among them."""
    best = torch.zeros(len(labels), len(by_row), len(by_column))
    chosen, background = torch.zeros(best.shape, dtype=torch.uint8), torch.ones(best.shape)
    for label in range(1, num_classes):
        strength = by_row @ (labels == label).float() @ by_column.T
        background -= strength
        chosen.masked_fill_(strength > best, label)
        torch.maximum(best, strength, out=best)
    return chosen.masked_fill_(background >= best, 0)


def _weights(plan: AxisPlan) -> Tensor:
    return torch.eye(plan.taken.stop - plan.taken.start) if plan.weights is None else plan.weights

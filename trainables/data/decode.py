"""From a volume's files to its slices, checked: what the store, the inspection and the contact sheet start from.

In: a Volume of a Dataset. Out: per piece, slices (slice, channel, row, column), class labels (slice, row, column) and
the in-plane spacing; or a DataError that says which file is wrong and how. Intensities come as int16 where they are
whole numbers of that range and as float32 otherwise, so that equal images are equal whatever type they were saved in.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from trainables.config import DataConfig
from trainables.data import nifti, raster
from trainables.data.cases import NIFTI_SUFFIXES
from trainables.data.dataset import FRACTIONS, DataError, Dataset, Piece, Problem, Volume

Array = npt.NDArray[np.generic]
MAX_SHOWN = 5
SMOOTHED = f"correct the mask ({FRACTIONS}), or leave the case out with data.exclude"
LARGEST = 1e30
ALIKE = 1e-3  # of affines that count as one, relative to the number and to the largest in them


@dataclass(frozen=True)
class Decoded:
    """One piece of a volume. ``spacing`` is (row, column) in mm, None where the format holds none and none is given.

    ``slice_spacing`` is the distance of slices in mm, None where the file is one slice, or has no such number.
    """

    images: Array  # (slice, channel, row, column), int16 or float32
    labels: npt.NDArray[np.uint8] | None  # (slice, row, column)
    spacing: tuple[float, float] | None
    dtype: str  # of the image file
    mask_dtype: str
    slice_spacing: float | None = None

    @cached_property
    def ranges(self) -> tuple[tuple[float, float], ...]:
        """The lowest and the highest value of each channel."""
        channels = (self.images[:, channel] for channel in range(self.images.shape[1]))
        return tuple((float(channel.min()), float(channel.max())) for channel in channels)


@dataclass(frozen=True)
class _File:
    """One decoded file as (slice, channel, row, column), and where its voxels lie."""

    path: Path
    array: Array
    spacing: tuple[float, float] | None
    affine: npt.NDArray[np.float64] | None
    shape: tuple[int, ...]  # as the file has it
    slice_spacing: float | None = None


def claimed_bytes(volume: Volume) -> int:
    """Return how much memory a volume's headers say that it takes; a damaged file counts 0, and decoding names it."""
    total = 0
    for path in (path for piece in volume.pieces for path in (*piece.images, piece.mask) if path):
        with _gathering([]):
            total += (nifti if _is_nifti(path) else raster).claimed_bytes(path)
    return total


@contextmanager
def _gathering(problems: list[Problem]) -> Iterator[None]:
    """Go on after bad input, so that one look finds all that is wrong."""
    try:
        yield
    except DataError as error:
        problems += error.problems


def decode_volume(volume: Volume, dataset: Dataset, config: DataConfig) -> list[Decoded]:
    """Decode and check every piece. Raises DataError with all the problems that the volume has."""
    decoded: list[Decoded] = []
    problems: list[Problem] = []
    for piece in volume.pieces:
        with _gathering(problems):
            decoded.append(_decode_piece(piece, dataset, config))
    if not problems:
        problems += _contrast_problems(volume, decoded)
    if problems:
        raise DataError(*problems)
    return decoded


def _decode_piece(piece: Piece, dataset: Dataset, config: DataConfig) -> Decoded:
    problems: list[Problem] = []
    channels: list[_File] = []
    mask, labels = None, None
    for path in piece.images:
        with _gathering(problems):
            channels.append(_read_image(path, dataset, config))
    if len(channels) == len(piece.images):
        with _gathering(problems):
            images = _joined(channels, dataset)
    if piece.mask:
        with _gathering(problems):
            mask = _read_mask(piece.mask, config)
            labels = class_labels(mask.array[:, 0], dataset.label_values, piece.mask, dataset.label_remedy)
    if channels and mask:
        with _gathering(problems):
            _must_lie_alike(mask, channels[0], "mask")
    if problems:
        raise DataError(*problems)
    first = channels[0]
    dtypes = str(first.array.dtype), str(mask.array.dtype) if mask else ""
    return Decoded(images, labels, first.spacing, *dtypes, first.slice_spacing)


def _joined(channels: list[_File], dataset: Dataset) -> Array:
    """Return all channels as (slice, channel, row, column)."""
    first = channels[0]
    for other in channels[1:]:
        _must_lie_alike(other, first, "channel")
    images = first.array if len(channels) == 1 else np.concatenate([each.array for each in channels], axis=1)
    if images.shape[1] != dataset.num_channels and dataset.channel_names:
        found = f"{images.shape[1]} channels"
        expected = f"{dataset.num_channels} ({', '.join(dataset.channel_names)})"
        remedy = "give every image the same channels, or exclude the case with data.exclude"
        raise DataError(Problem(str(first.path), found, expected, remedy))
    try:
        return canonical(images, first.path)
    except DataError:
        if len(channels) > 1:
            _must_be_finite(channels)
        raise


def _must_be_finite(channels: list[_File]) -> None:
    """Raise DataError that names each file whose values cannot be used, where the joined channels could not."""
    problems: list[Problem] = []
    for each in channels:
        with _gathering(problems):
            canonical(each.array, each.path)
    if problems:
        raise DataError(*problems)


def _is_nifti(path: Path) -> bool:
    return path.name.lower().endswith(NIFTI_SUFFIXES)


def _read_image(path: Path, dataset: Dataset, config: DataConfig) -> _File:
    if not _is_nifti(path):
        array = raster.read_raster(path)
        return _File(path, array, _default_spacing(config), None, array.shape)
    return _from_nifti(path, nifti.read_nifti(path), config, dataset.last_axis)


def _default_spacing(config: DataConfig) -> tuple[float, float] | None:
    return None if config.pixel_spacing_mm is None else (config.pixel_spacing_mm, config.pixel_spacing_mm)


def _from_nifti(path: Path, file: nifti.Nifti, config: DataConfig, last_axis: str) -> _File:
    """Turn (column, row, slice[, last]) into (slice, channel, row, column); a cine's frames follow one another."""
    array, shape = file.array, file.array.shape
    while array.ndim > 3 and array.shape[-1] == 1 and last_axis == "time":
        array = array[..., 0]
    array = array[:, :, None] if array.ndim == 2 else array
    in_plane = [axis for axis in range(3) if axis != config.slice_axis]
    order = (*in_plane, config.slice_axis)  # (column, row, slice)
    if 1 in (array.shape[in_plane[0]], array.shape[in_plane[1]]):
        found = f"slices of {array.shape[in_plane[1]]} x {array.shape[in_plane[0]]} pixels"
        remedy = "set data.slice_axis to the axis along which slices lie: 2 for a 2D file"
        raise DataError(Problem(str(path), found, "an image in each slice", remedy))
    zooms = (*file.zooms[:3], *(1.0,) * (3 - len(file.zooms[:3])))
    spacing = (zooms[in_plane[1]], zooms[in_plane[0]])
    if not all(0 < each < np.inf for each in spacing):
        found = f"pixel sizes {spacing[0]:g} and {spacing[1]:g} (pixdim)"
        raise DataError(Problem(str(path), found, "millimetres above 0", "correct the header"))
    if array.ndim == 3:
        slices = array.transpose(order).transpose(2, 1, 0)[:, None]
    elif last_axis == "channel":
        slices = array.transpose(*order, 3).transpose(2, 3, 1, 0)
    else:
        moved = array.transpose(*order, 3)  # (column, row, slice, frame)
        slices = moved.reshape(*moved.shape[:2], -1).transpose(2, 1, 0)[:, None]
    gap = file.zooms[config.slice_axis] if len(file.zooms) > 2 else np.inf
    slice_spacing = gap if 0 < gap < np.inf and len(slices) > 1 else None
    return _File(path, np.ascontiguousarray(slices), spacing, file.affine, shape, slice_spacing)


def canonical(images: Array, path: Path) -> Array:
    """Return whole numbers as int16 where they fit, the rest as float32.

    Raises DataError for NaN, infinity, and values too large to be scaled in float32.
    """
    if images.dtype in (np.int16, np.uint8, np.int8, np.bool_):
        return images.astype(np.int16, copy=False)
    lowest, highest = float(images.min()), float(images.max())  # of values with a NaN both are NaN
    if not np.isfinite((lowest, highest)).all():
        share = 1 - float(np.isfinite(images).mean())
        remedy = "replace them where the image was made, or exclude the case with data.exclude"
        raise DataError(Problem(str(path), f"{share:.2%} NaN or infinite values", "finite intensities", remedy))
    if max(-lowest, highest) > LARGEST:
        found = f"values from {lowest:g} to {highest:g}"
        raise DataError(Problem(str(path), found, f"at most {LARGEST:g}", "is the file whole? copy it again"))
    return as_whole_numbers(images, lowest, highest)


def as_whole_numbers(images: Array, lowest: float | None = None, highest: float | None = None) -> Array:
    """Return finite values as int16 if they are whole numbers of that range, as float32 if not."""
    if images.dtype == np.int16:
        return images
    limits = np.iinfo(np.int16)
    lowest = float(images.min()) if lowest is None else lowest
    highest = float(images.max()) if highest is None else highest
    if lowest >= limits.min and highest <= limits.max:
        whole = images.astype(np.int16)
        if (whole == images).all():
            return whole
    return images.astype(np.float32, copy=False)


def _read_mask(path: Path, config: DataConfig) -> _File:
    if _is_nifti(path):
        file = nifti.read_nifti(path)
        if file.array.ndim == 4 and file.array.shape[-1] != 1:
            found, remedy = f"a 4D mask of shape {file.array.shape}", "save the labels of one time point as one file"
            raise DataError(Problem(str(path), found, "one 3D mask for its image", remedy))
        return _from_nifti(path, file, config, "time")
    array = raster.read_raster(path, is_mask=True)
    return _File(path, array, None, None, array.shape)


def _must_lie_alike(other: _File, image: _File, what: str) -> None:
    """Refuse another size than the image's, or another place in space."""
    sizes = (other.array.shape[0], *other.array.shape[2:]), (image.array.shape[0], *image.array.shape[2:])
    if sizes[0] != sizes[1]:
        expected = f"{image.shape}, the shape of {image.path.name}"
        remedy = f"export the {what} on its image's grid"
        raise DataError(Problem(str(other.path), f"a {what} of shape {other.shape}", expected, remedy))
    if other.affine is None or image.affine is None:
        return
    sizes_mm = np.abs(image.affine)
    if not (np.abs(other.affine - image.affine) <= ALIKE * (sizes_mm + max(float(sizes_mm.max()), 1.0))).all():
        found, expected = f"an affine of {_place(other.affine)}", f"that of {image.path.name}: {_place(image.affine)}"
        remedy = f"resample the {what} onto its image's grid, or copy the image's affine if they do match"
        raise DataError(Problem(str(other.path), found, expected, remedy))


def _rounded(values: Sequence[float] | npt.NDArray[np.float64]) -> str:
    return "(" + ", ".join(f"{float(value):.4g}" for value in values) + ")"


def _place(affine: npt.NDArray[np.float64]) -> str:
    size = _rounded(np.linalg.norm(affine[:3, :3], axis=0))
    return f"axes {nifti.orientation(affine)}, voxel size {size} and offset {_rounded(affine[:3, 3])}"


def class_labels(mask: Array, label_values: tuple[int, ...], path: Path, remedy: str) -> npt.NDArray[np.uint8]:
    """Turn a mask's values into classes 0, 1, ...

    Raises DataError for values that stand for no class; ``remedy`` says what to do about them in the mask's format.
    Where the classes are unknown, which the reader has then reported, all is background.
    """
    if len(label_values) == 1:
        return np.zeros(mask.shape, np.uint8)
    box = foreground_box(mask, label_values[0])
    inside = mask[box]
    known = sum(int(np.count_nonzero(inside == value)) for value in label_values)
    if known < inside.size:
        wrong = [float(value) for value in np.unique(inside) if float(value) not in label_values]
        shown = ", ".join(f"{value:.9g}" for value in wrong[:MAX_SHOWN]) + (", ..." if len(wrong) > MAX_SHOWN else "")
        expected = f"only {', '.join(map(str, label_values))}"
        is_smoothed = any(value % 1 > 0 for value in wrong)
        raise DataError(Problem(str(path), f"label values {shown}", expected, SMOOTHED if is_smoothed else remedy))
    if label_values == tuple(range(len(label_values))):
        return mask.astype(np.uint8)
    result = np.zeros(mask.shape, np.uint8)
    for index, value in enumerate(label_values):
        result[box][inside == value] = index
    return result


def foreground_box(mask: Array, background: int = 0) -> tuple[slice, slice, slice]:
    """Return the smallest window of the plane outside which a mask (slice, row, column) is background everywhere."""
    occupied = (mask != background).any(0)
    return slice(None), extent(occupied.any(1)), extent(occupied.any(0))


def extent(occupied: npt.ArrayLike) -> slice:
    """Return the run from the first to the last that is true."""
    inside = np.flatnonzero(occupied)
    return slice(int(inside[0]), int(inside[-1]) + 1) if len(inside) else slice(0, 0)


def _contrast_problems(volume: Volume, decoded: list[Decoded]) -> list[Problem]:
    """A channel that is one value everywhere has nothing to learn from, and no range to scale by."""
    problems = []
    for channel, ranges in enumerate(zip(*(piece.ranges for piece in decoded), strict=False)):
        values = {value for bounds in ranges for value in bounds}
        if len(values) == 1:
            found = f"the value {values.pop():g} everywhere (channel {channel})"
            remedy = "is it empty? copy it again, or exclude the case with data.exclude"
            problems.append(Problem(volume.channel_at(channel), found, "an image with contrast", remedy))
    return problems

"""NIfTI files: the home of nibabel.

In: a ``.nii`` or ``.nii.gz``. Out: its array, voxel size and affine; or a DataError. A whole gzip stream is read and
its checksum held, since a reader that stops after the last voxel does not notice flipped bits; and the header is judged
before memory is asked for. Source: the NIfTI-1 standard, nifti.nimh.nih.gov.
"""

import functools
import gzip
import logging
import math
import zlib
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import numpy.typing as npt
from isal import igzip_lib, isal_zlib
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError

from trainables.data.dataset import DataError, Problem
from trainables.failures import first_line

CLAIMED_AFFINE = np.diag([-1.0, -1.0, 1.0, 1.0])  # what ACDC's files say, whatever their spacing
MAX_VOXELS = 2**31
"""A header that claims more voxels than this is taken for damaged before any memory is asked for."""

QUIET = logging.Logger("nifti", level=1000)  # what nibabel logs of a header it also raises
HEADER_BYTES = 1024  # more than a NIfTI-1 (348) or NIfTI-2 (540) header
NOT_READABLE: tuple[type[Exception], ...] = (  # type: ignore[assignment]
    *(OSError, EOFError, ValueError, OverflowError, zlib.error, igzip_lib.IsalError),
    *(ImageFileError, HeaderDataError, WrapStructError),
)

Array = npt.NDArray[np.generic]


@dataclass(frozen=True)
class Nifti:
    """A decoded file: ``array`` as (column, row, slice[, time or channel]), ``zooms`` as pixdim has them."""

    array: Array
    zooms: tuple[float, ...]
    affine: npt.NDArray[np.float64]


def orientation(affine: npt.NDArray[np.float64]) -> str:
    """Return where the axes point, such as LPS."""
    if not np.isfinite(affine).all():
        return "???"
    return "".join(code or "?" for code in nibabel.aff2axcodes(affine))


def claimed_bytes(path: Path) -> int:
    """Return how much memory the header says that the voxels take. Raises DataError as ``read_nifti`` does."""
    header, _ = _header_of(path)
    slope, intercept = header.get_slope_inter()
    return _voxel_bytes(header) if _is_plain(slope, intercept) else 8 * math.prod(header.get_data_shape())


def _voxel_bytes(header: nibabel.Nifti1Header) -> int:
    return int(math.prod(header.get_data_shape())) * int(header.get_data_dtype().itemsize)


def read_nifti(path: Path) -> Nifti:
    """Decode a file. Raises DataError for damaged files, absurd headers and sizes, and values that are no numbers."""
    header, zooms = _header_of(path)
    size, dtype = _voxel_bytes(header), header.get_data_dtype()
    if dtype.kind not in "iuf":
        raise DataError(Problem(str(path), f"values of type {dtype}", "numbers", "export as a grey image"))
    try:
        offset = int(header.get_data_offset())
        content = path.read_bytes()
        content = _inflate(content, offset + size) if content[:2] == b"\x1f\x8b" else content
        if len(content) < offset + size:
            raise EOFError(f"{len(content)} of {offset + size} bytes are there")
        if len(content) > offset + size + HEADER_BYTES:
            raise EOFError(f"{len(content)} bytes are there, and its header accounts for {offset + size}")
        stored = np.frombuffer(content, dtype, size // dtype.itemsize, offset)
        array = _rescaled(stored.reshape(header.get_data_shape(), order="F"), header)
        return Nifti(array, zooms, np.asarray(header.get_best_affine(), dtype=np.float64))
    except NOT_READABLE as error:
        raise DataError(_damaged(path, error)) from error


def _rescaled(stored: Array, header: nibabel.Nifti1Header) -> Array:
    """Apply the header's slope and intercept, if it has any."""
    slope, intercept = header.get_slope_inter()
    if _is_plain(slope, intercept):
        return stored
    return stored.astype(np.float64) * float(slope or 1.0) + float(intercept or 0.0)


def _is_plain(slope: float | None, intercept: float | None) -> bool:
    return slope in (None, 1.0) and intercept in (None, 0.0)


def _header_of(path: Path) -> tuple[nibabel.Nifti1Header, tuple[float, ...]]:
    """Return a file's header and its voxel sizes as they stand there; nothing is parsed twice."""
    try:
        stat = path.stat()
    except OSError as error:
        raise DataError(_damaged(path, error)) from error
    return _header(path, stat.st_size, stat.st_mtime_ns)


def _first_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            start = file.read(4 * HEADER_BYTES)
        if start[:2] != b"\x1f\x8b":
            return start[:HEADER_BYTES]
        return zlib.decompressobj(31).decompress(start, HEADER_BYTES)
    except (OSError, zlib.error) as error:
        raise DataError(_damaged(path, error)) from error


def _header_class(content: bytes) -> type[nibabel.Nifti1Header]:
    found: type[nibabel.Nifti1Header] = nibabel.Nifti2Header if 540 in _header_sizes(content) else nibabel.Nifti1Header
    return found


def _header_sizes(content: bytes) -> tuple[int, int]:
    return int.from_bytes(content[:4], "little"), int.from_bytes(content[:4], "big")


@functools.lru_cache(maxsize=256)
def _header(path: Path, *_: int) -> tuple[nibabel.Nifti1Header, tuple[float, ...]]:
    content = _first_bytes(path)
    try:
        if not {348, 540} & set(_header_sizes(content)):
            raise ImageFileError("it does not begin like NIfTI")
        kind = _header_class(content)
        header = kind(content[: kind.sizeof_hdr], check=False)  # without extensions, which may be long
        zooms = tuple(map(float, header.get_zooms()))  # a check puts 1 for 0, and drops signs
        header.get_data_dtype()  # first, since the check words an unknown type less plainly
        header.check_fix(logger=QUIET)
        header.get_slope_inter()  # refuses a slope without an intercept
        shape = header.get_data_shape()
    except KeyError as error:
        raise DataError(_damaged(path, ValueError(f"data type {error} is unknown"))) from error
    except NOT_READABLE as error:
        raise DataError(_damaged(path, error)) from error
    if len(shape) not in (2, 3, 4) or min(shape) < 1 or np.prod(shape, dtype=float) > MAX_VOXELS:
        expected = f"2 to 4 dimensions and at most {MAX_VOXELS} voxels"
        raise DataError(Problem(str(path), f"shape {shape} in the header", expected, "copy the file again"))
    return header, zooms


def _inflate(content: bytes, expected: int) -> bytes:
    """Decompress a gzip file whole, at most ``expected`` bytes and a little more: a bomb stops there.

    Parallel compressors write several streams, one after another; zeros may follow the last.
    """
    streams, room = [], expected + HEADER_BYTES
    while content:
        inflated = isal_zlib.decompressobj(wbits=31)
        streams.append(inflated.decompress(content, max(room, 1)))
        room -= len(streams[-1])
        if not inflated.eof or room < 0:
            raise EOFError("the compressed stream ends early or is longer than its header says")
        content = inflated.unused_data.lstrip(b"\0")
    return streams[0] if len(streams) == 1 else b"".join(streams)


def _damaged(path: Path, error: Exception) -> Problem:
    return Problem(
        str(path), f"a file that cannot be read ({first_line(error)})", "a whole NIfTI file", "copy it again"
    )


def write_nifti(path: Path, array: Array, zooms: tuple[float, ...]) -> None:
    """Write NIfTI with ACDC's contradiction of affine and pixdim; equal arrays give equal bytes."""
    image = nibabel.Nifti1Image(array, CLAIMED_AFFINE)
    image.header.set_zooms(zooms)
    path.write_bytes(gzip.compress(image.to_bytes(), compresslevel=1, mtime=0))

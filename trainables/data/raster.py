"""PNG, TIF and the other picture formats: the home of pillow, with ``natural.py`` and ``contact_sheet.py``.

In: a file. Out: its pages as (page, channel, row, column) in the file's own type; or a DataError. The palette of a mask
gives its indices, that of an image its colours; an RGBA picture gives three. Masks must be lossless and of one channel,
and come with the values that are stored, where pillow spreads 1, 2 and 4 bits over 0 to 255. Pictures that a tag turns
are refused: pillow heeds it in TIF alone, so that image and mask could lie turned against each other.
Source of a PNG's bit depth and colour type: the IHDR chunk of W3C's PNG specification (third edition), 11.2.1.
"""

import struct
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageSequence, UnidentifiedImageError

from trainables.data.cases import NIFTI_SUFFIXES
from trainables.data.dataset import DataError, Problem
from trainables.failures import first_line

LOSSY = (".jpg", ".jpeg")
GREY = 0  # colour type of a PNG
UPRIGHT = (None, 1)  # the tag's value where it is absent, or turns nothing
NOT_READABLE = (
    *(OSError, EOFError, SyntaxError, TypeError, ValueError),  # as pillow lets them through
    *(UnidentifiedImageError, Image.DecompressionBombError),
)

Array = npt.NDArray[np.generic]


def claimed_bytes(path: Path) -> int:
    """Return how much memory the pixels of all pages take. Raises DataError for a file that is no picture."""
    try:
        with Image.open(path) as image:
            pages = getattr(image, "n_frames", 1)
            value_bytes = 4 if image.mode in ("I", "F") else 2 if image.mode.startswith("I;16") else 1
            return int(image.width * image.height * pages * max(1, len(image.getbands())) * value_bytes)
    except NOT_READABLE as error:
        raise DataError(_damaged(path, error)) from error


def channel_names(paths: Iterable[Path]) -> tuple[str, ...]:
    """Name three colours or one grey channel, as the first picture that can be read has; a volume's file is grey."""
    for path in paths:
        if path.name.lower().endswith(NIFTI_SUFFIXES):
            return ("image",)
        try:
            number = read_raster(path).shape[1]
        except DataError:
            continue
        return ("red", "green", "blue") if number == 3 else ("image",)
    return ("image",)


def read_raster(path: Path, is_mask: bool = False) -> Array:
    """Decode every page to (page, channel, row, column).

    Raises DataError for damaged files, for lossy or coloured masks, for colours of 16 bits, and for turned pages.
    """
    if is_mask and path.suffix.lower() in LOSSY:
        remedy = "export the masks as PNG or TIF from where they were drawn"
        raise DataError(Problem(str(path), "a lossy JPEG mask", "exact label values", remedy))
    try:
        with Image.open(path) as image:
            is_png = image.format == "PNG"
            if is_png:
                image.verify()  # decoding passes over the checksums of the pixels
        bits = _png_bits(path) if is_png else 8
        with Image.open(path) as image:
            pages = [_pixels(_upright(page, path), is_mask, bits) for page in ImageSequence.Iterator(image)]
    except NOT_READABLE as error:
        raise DataError(_damaged(path, error)) from error
    if len({page.shape for page in pages}) != 1:
        found = f"pages of sizes {sorted({page.shape for page in pages})}"
        raise DataError(Problem(str(path), found, "pages of one size", "save them as files of their own"))
    if is_mask and pages[0].shape[0] != 1:
        found, remedy = f"a mask of {pages[0].shape[0]} colour channels", "save class numbers as grey values"
        raise DataError(Problem(str(path), found, "one channel of class numbers", remedy))
    return np.stack(pages)


def _png_bits(path: Path) -> int:
    """Return the bits of a grey value, colour or index. Raises DataError where pillow would drop half of them."""
    with path.open("rb") as file:
        bits, colour_type = file.read(26)[24:]
    if bits == 16 and colour_type != GREY:
        found, expected = "a PNG with colours or transparency of 16 bits", "8 bits, or 16 bits of grey alone"
        raise DataError(Problem(str(path), found, expected, "save it with 8 bits, or each channel as a grey PNG"))
    return bits


def _upright(page: Image.Image, path: Path) -> Image.Image:
    """Return a page that shows as it is stored. Raises DataError; asked before pillow drops the tag of a TIF."""
    try:
        orientation = page.getexif().get(ExifTags.Base.Orientation)
    except (SyntaxError, struct.error):  # damaged tags, which turn no picture in a viewer either
        return page
    if orientation not in UPRIGHT:
        found, expected = f"a picture that its EXIF orientation {orientation} turns", "pixels stored upright"
        remedy = "save it upright and without the tag, so that image and mask lie alike"
        raise DataError(Problem(str(path), found, expected, remedy))
    return page


def _pixels(page: Image.Image, is_mask: bool, bits: int) -> Array:
    bits = 1 if page.mode == "1" else bits
    is_spread = is_mask and bits in (1, 2, 4) and page.mode in ("1", "L")
    has_colours = page.mode in ("RGBA", "CMYK", "YCbCr", "LAB", "HSV", "RGBX") or (page.mode == "P" and not is_mask)
    if page.mode in ("1", "LA") or (page.mode == "P" and has_colours and _has_grey_palette(page)):
        page = page.convert("L")
    elif has_colours:
        page = page.convert("RGB")
    pixels = np.asarray(page)  # (row, column) or (row, column, channel)
    if is_spread:
        pixels = pixels // np.uint8(255 // (2**bits - 1))
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def _has_grey_palette(page: Image.Image) -> bool:
    colours = np.array(page.getpalette("RGB")).reshape(-1, 3)
    return bool((colours == colours[:, :1]).all())


def _damaged(path: Path, error: Exception) -> Problem:
    return Problem(
        str(path), f"a file that cannot be read ({first_line(error)})", "a whole picture file", "copy it again"
    )

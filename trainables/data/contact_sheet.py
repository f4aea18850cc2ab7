"""A picture of slices with their masks outlined: the quickest way to see a flipped, shifted or mislabelled data set.

In: examples of an inspection and class names. Out: one PNG. Source of the colours: Okabe and Ito, which people who do
not see red and green apart can tell.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from trainables.data.inspection import Example

COLOURS = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (204, 121, 167), (213, 94, 0), (0, 114, 178))
MIN_TILE = 192  # pixels of a tile's side, at least
CAPTION = 16  # pixels of height
LEGEND = 24


def write_contact_sheet(path: Path, examples: Sequence[Example], class_names: Sequence[str]) -> None:
    """Draw the examples in a grid, each with its caption, below a legend of the classes."""
    side = examples[0].mask.shape[0]
    zoom = max(1, math.ceil(MIN_TILE / side))
    columns = max(1, math.ceil(math.sqrt(len(examples) * 1.5)))
    rows = math.ceil(len(examples) / columns)
    tile = side * zoom
    sheet = Image.new("RGB", (columns * (tile + 4), LEGEND + rows * (tile + CAPTION + 4)), "white")
    draw = ImageDraw.Draw(sheet)
    _draw_legend(draw, class_names, sheet.width)
    for index, example in enumerate(examples):
        left = index % columns * (tile + 4)
        top = LEGEND + index // columns * (tile + CAPTION + 4)
        draw.text((left + 2, top + 1), example.caption, fill="black")
        sheet.paste(Image.fromarray(_outlined(example, zoom)), (left, top + CAPTION))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, format="PNG")


def _draw_legend(draw: ImageDraw.ImageDraw, class_names: Sequence[str], width: int) -> None:
    left = 4.0
    for index, name in enumerate(class_names):
        if left > width - 40:
            return
        draw.rectangle((left, 6, left + 12, 18), fill=COLOURS[index % len(COLOURS)])
        draw.text((left + 17, 6), name, fill="black")
        left += 30 + draw.textlength(name)


def _outlined(example: Example, zoom: int) -> npt.NDArray[np.uint8]:
    """Return the enlarged slice (row, column, 3) with the border pixels of each class in its colour."""
    grey = np.clip(example.image.astype(np.float32), 0, 1) * 255
    picture = np.repeat(np.kron(grey, np.ones((zoom, zoom)))[..., None], 3, axis=2).astype(np.uint8)
    mask = np.kron(example.mask, np.ones((zoom, zoom), np.uint8))
    for label in np.unique(mask[mask > 0]):
        picture[_border(mask == label)] = COLOURS[(int(label) - 1) % len(COLOURS)]
    return picture


def _border(inside: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return the pixels of a region that touch its outside."""
    padded = np.pad(inside, 1)
    core = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return inside & ~core

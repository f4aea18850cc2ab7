"""Plain folders of images and masks: PNG, TIF or NIfTI, and a pattern or a table that says whose they are.

In: a folder with ``images/`` and ``masks/`` (equal names, or the mask's with an ending such as _mask), a folder with
``X.png`` and ``X_mask.png`` side by side, or a ``cases.csv`` with the columns image, mask, patient[, phase, group].
Out: a Dataset. Classes are named by ``data.classes``, or counted from the masks where their values leave no doubt.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from trainables.config import DataConfig
from trainables.data import nifti, raster
from trainables.data.cases import (
    CASES_FILE,
    NIFTI_SUFFIXES,
    Exclusion,
    FoundCase,
    files_below,
    is_image,
    read_table,
    stem,
    to_volumes,
)
from trainables.data.dataset import FRACTIONS, DataError, Dataset, Piece, Problem, listed, natural_order
from trainables.data.mask_names import MASK_ENDING, MASK_FOLDERS
from trainables.data.parallel import in_parallel

KIND: Literal["labelled"] = "labelled"
LAYOUT = "images/NAME.png and masks/NAME.png (or .tif, .nii.gz), or NAME.png and NAME_mask.png, or a cases.csv"
IMAGE_FOLDERS = ("images", "image", "imgs", "img")

MAX_GUESSED = 20  # classes that are counted from masks without being named
COUNTED_AT_ONCE = 2**20  # pixels


def is_at(root: Path) -> bool:
    """A table of cases, folders of images and masks, or images with masks beside them."""
    if (root / CASES_FILE).is_file() or (_subfolder(root, IMAGE_FOLDERS) and _subfolder(root, MASK_FOLDERS)):
        return True
    return any(is_image(path) and re.search(MASK_ENDING, stem(path), re.IGNORECASE) for path in root.iterdir())


def read(root: Path, config: DataConfig) -> Dataset:
    """List the cases, and name the classes."""
    problems: list[Problem] = []
    exclusion = Exclusion(config.exclude)
    cases = _from_table(root, config, exclusion, problems)
    if cases is None:
        cases = _from_names(root, exclusion, problems)
    names, values = _classes(cases, config, problems)
    return Dataset(
        format="folder",
        root=root,
        class_names=names,
        label_values=values,
        channel_names=raster.channel_names(case.piece.images[0] for case in cases),
        volumes=to_volumes(cases, config, exclusion, root, problems),
        problems=tuple(problems),
        excluded=tuple(sorted(exclusion.found)),
        excluded_cases=frozenset(exclusion.cases),
    )


def _subfolder(root: Path, names: tuple[str, ...]) -> Path | None:
    found = {path.name.lower(): path for path in root.iterdir() if path.is_dir()}
    return next((found[name] for name in names if name in found), None)


def _from_table(
    root: Path, config: DataConfig, exclusion: Exclusion, problems: list[Problem]
) -> list[FoundCase] | None:
    """Cases of a table with image and mask columns; None where there is no such table."""
    table = read_table(config, root, ("patient",))
    if table is None:
        return None
    columns = next(iter(table[1].values())).keys()
    if "image" not in columns and "case" in columns:
        return None
    path, rows = read_table(config, root, ("image", "mask", "patient")) or table
    cases: dict[str, FoundCase] = {}
    for number, row in rows.items():
        where = f"{path}, line {number}"
        image, mask = path.parent / row["image"], path.parent / row["mask"]
        name = (Path(row["image"]).parent / stem(image)).as_posix()
        if name in exclusion:
            continue
        absent = [
            str(each) for each, text in ((image, row["image"]), (mask, row["mask"])) if not text or not each.is_file()
        ]
        if absent or not row["patient"]:
            found = f"no file {listed(absent)}" if absent else "no patient"
            expected = "an image, its mask and its patient in each row"
            problems.append(Problem(where, found, expected, "correct the row"))
            continue
        if name in cases:
            problems.append(Problem(where, f"image {row['image']} again", "each image once", "remove the row"))
        cases.setdefault(name, FoundCase(name, Piece((image,), mask), row))
    return list(cases.values())


def _from_names(root: Path, exclusion: Exclusion, problems: list[Problem]) -> list[FoundCase]:
    """Cases of two folders with equal names, or of one in which masks have an ending of their own."""
    image_folder, mask_folder = _subfolder(root, IMAGE_FOLDERS), _subfolder(root, MASK_FOLDERS)
    if image_folder and mask_folder:
        images, masks = _by_name(image_folder, exclusion, problems), _by_name(mask_folder, exclusion, problems)
    else:
        image_folder = mask_folder = root
        every = _by_name(root, exclusion, problems)
        images = {name: path for name, path in every.items() if not _is_mask(name)}
        masks = {name: path for name, path in every.items() if _is_mask(name)}
    masks = _by_image(masks, images, exclusion, problems)
    cases = []
    for name, path in images.items():
        if name in masks:
            cases.append(FoundCase(name, Piece((path,), masks[name])))
        else:
            expected = f"a mask of the same name in {mask_folder.name}/, or {name}_mask beside it"
            remedy = "copy the mask, or move the image to a folder of its own (data.unlabelled_root)"
            problems.append(Problem(str(path), "an image without a mask", expected, remedy))
    for name in sorted(masks.keys() - images.keys(), key=natural_order):
        expected = f"an image of the same name in {image_folder.name}/"
        problems.append(
            Problem(str(masks[name]), "a mask without an image", expected, "copy the image, or remove the mask")
        )
    return cases


def _by_image(
    masks: dict[str, Path], images: dict[str, Path], exclusion: Exclusion, problems: list[Problem]
) -> dict[str, Path]:
    """Masks by the name of their image."""
    found: dict[str, Path] = {}
    for name, path in masks.items():
        image = name if name in images else _unmasked(name)
        if image in exclusion:
            continue
        if image in found:
            have = f"a second mask of {image} (also {found[image].name})"
            problems.append(Problem(str(path), have, "one mask with all classes", "join them, or remove one"))
        found.setdefault(image, path)
    return found


def _is_mask(name: str) -> bool:
    return re.search(MASK_ENDING, name, re.IGNORECASE) is not None


def _unmasked(name: str) -> str:
    return re.sub(MASK_ENDING, "", name, flags=re.IGNORECASE)


def _by_name(folder: Path, exclusion: Exclusion, problems: list[Problem]) -> dict[str, Path]:
    """Image files below a folder by their path in it without suffix."""
    found: dict[str, Path] = {}
    files = (path for path in files_below(folder) if is_image(path))
    for path in sorted(files, key=lambda each: natural_order(str(each))):
        name = path.relative_to(folder).with_name(stem(path)).as_posix()
        if name in exclusion:
            continue
        if name in found:
            have = f"a second file of the name {name} (also {found[name].name})"
            problems.append(Problem(str(path), have, "each case once", "remove one of them"))
        found.setdefault(name, path)
    return found


def _classes(
    cases: Iterable[FoundCase], config: DataConfig, problems: list[Problem]
) -> tuple[tuple[str, ...], tuple[int, ...]]:
    if config.classes:
        ordered = sorted(config.classes.items(), key=lambda item: item[1])
        return tuple(name for name, _ in ordered), (0, *(value for _, value in ordered))
    values: dict[float, Path] = {}
    paths = [case.piece.mask for case in cases if case.piece.mask]
    for path, found in zip(paths, in_parallel(_values, paths), strict=True):
        if isinstance(found, DataError):
            continue  # decoding reports it
        for value in found:
            values.setdefault(value, path)
        if len(values) > MAX_GUESSED + 1:
            break  # no later mask makes them fewer
    return _guessed(values, problems) if values else ((), (0,))  # no mask could be read


def _values(path: Path) -> list[float]:
    """Return the different values of a mask, rising."""
    is_nifti = path.name.lower().endswith(NIFTI_SUFFIXES)
    array = nifti.read_nifti(path).array if is_nifti else raster.read_raster(path, is_mask=True)
    return [float(value) for value in (_bytes_in(array) if array.dtype == np.uint8 else np.unique(array))]


def _bytes_in(array: npt.NDArray[np.generic]) -> npt.NDArray[np.intp]:
    """Count, which takes no sorting; a piece at a time, since numpy counts in a copy of eight times the size."""
    flat, is_there = array.ravel(order="K"), np.zeros(256, bool)
    for start in range(0, flat.size, COUNTED_AT_ONCE):
        is_there |= np.bincount(flat[start : start + COUNTED_AT_ONCE], minlength=256) > 0
    return np.flatnonzero(is_there)


def _guessed(by_value: dict[float, Path], problems: list[Problem]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Name one class of any value 'foreground', and 1, 2, ... by their number; anything else must be named."""
    values = sorted(by_value.keys() - {0.0})
    odd = [value for index, value in enumerate(values, 1) if value != index]
    if len(values) == 1 and values[0] > 0 and values[0].is_integer():
        return ("foreground",), (0, int(values[0]))
    if not odd and 1 <= len(values) <= MAX_GUESSED:
        return tuple(f"class {value:g}" for value in values), (0, *map(int, values))
    where = str(by_value[(odd or values or [0.0])[0]])
    found = f"masks that hold {listed((f'{value:g}' for value in values), 6)} beside 0" if values else "empty masks"
    problems.append(Problem(where, found, "0 and one value, or 0, 1, 2, ...", _remedy(values)))
    whole = [int(value) for value in values if value > 0 and value.is_integer()][:MAX_GUESSED]
    return tuple(f"value {value}" for value in whole), (0, *whole)


def _remedy(values: list[float]) -> str:
    """What to do about values that name no classes: all of them named, as a shell takes it, or whole numbers first."""
    if any(value < 0 or not value.is_integer() for value in values):
        return f"save masks of whole numbers from 0 ({FRACTIONS})"
    example = ", ".join(f"NAME{i}: {value:g}" for i, value in enumerate(values[:MAX_GUESSED], 1)) or "NAME: 255"
    return f"name the classes with data.classes='{{{example}}}'"

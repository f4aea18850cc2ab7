"""The formats that people have: one reader a file behind one literal registry.

In: a folder. Out: what is in it, with every problem that can be seen without decoding a pixel. A reader is a module
with KIND (what its folders hold, and so which setting takes them), LAYOUT (what it expects, in words), ``is_at(root)``
(does this folder look like mine) and ``read``. The order of the registry decides where a folder looks like two: what is
labelled goes first.
"""

from dataclasses import replace
from pathlib import Path
from typing import Literal, Protocol

from trainables.config import DataConfig, NaturalConfig
from trainables.data.dataset import DataError, Dataset, Problem, listed
from trainables.data.readers import acdc, decathlon, folder, imagefolder, nnunet, unlabelled
from trainables.data.readers.imagefolder import ClassFolders

Kind = Literal["labelled", "natural", "unlabelled"]


class Recogniser(Protocol):
    """What every reader offers."""

    LAYOUT: str

    def is_at(self, root: Path) -> bool:
        """Return whether the folder looks like this format, opening no image; the first that does is taken."""
        ...


class LabelledReader(Recogniser, Protocol):
    """Images with masks, which ``data.root`` takes."""

    KIND: Literal["labelled"]

    def read(self, root: Path, config: DataConfig) -> Dataset:
        """List patients and volumes. Raises DataError only where nothing at all can be listed."""
        ...


class NaturalReader(Recogniser, Protocol):
    """Pictures by class, which ``natural.root`` takes."""

    KIND: Literal["natural"]

    def read(self, root: Path, config: NaturalConfig) -> ClassFolders:
        """List classes and pictures. Raises DataError for folders that are no classes, or empty."""
        ...


class UnlabelledReader(Recogniser, Protocol):
    """Images without masks, which ``data.unlabelled_root`` takes."""

    KIND: Literal["unlabelled"]

    def read(self, root: Path, config: DataConfig) -> Dataset:
        """List volumes that have no mask. Raises DataError only where nothing at all can be listed."""
        ...


READERS: dict[str, LabelledReader | NaturalReader | UnlabelledReader] = {
    "acdc": acdc,
    "nnunet": nnunet,
    "decathlon": decathlon,
    "folder": folder,
    "imagefolder": imagefolder,
    "unlabelled": unlabelled,
}

SETTLED = {
    "acdc": {"classes": "ACDC's classes", "patient_pattern": "ACDC's folders", "cases_csv": "ACDC's folders"},
    "nnunet": {"classes": "the labels of dataset.json"},
    "decathlon": {"classes": "the labels of dataset.json"},
}
"""What a format says itself, so that the field of data which says it elsewhere would be passed over."""


def read_dataset(config: DataConfig) -> Dataset:
    """Read ``config.root`` with the named reader or the one that recognises it. Raises DataError if none does."""
    root = config.root
    assert root is not None
    if not root.is_dir():
        found = "a file" if root.exists() else "nothing"
        raise DataError(Problem(str(root), found, "a folder of images and masks", "correct data.root"))
    name = config.format if config.format != "auto" else detect_format(root)
    reader = READERS[name]
    if reader.KIND != "labelled":
        raise DataError(_without_masks(name, root))
    dataset = reader.read(root, config)
    problems = (*_passed_over(name, root, config), *dataset.problems)
    dataset = replace(dataset, problems=problems, label_remedy=_label_remedy(name))
    if not dataset.volumes and not dataset.problems:
        expected = f"labelled images ({reader.LAYOUT})"
        raise DataError(Problem(str(root), "no case with image and mask", expected, "see docs/your-data.md"))
    return dataset


def _label_remedy(name: str) -> str:
    """What to do about a value that stands for no class: formats that name the classes do not take data.classes."""
    source = SETTLED.get(name, {}).get("classes")
    if source is None:
        return "correct the mask, or name its classes with data.classes='{name: value, ...}'"
    where = f"correct {source}" if "dataset.json" in source else "leave the case out with data.exclude"
    return f"correct the mask, or {where}"


def _passed_over(name: str, root: Path, config: DataConfig) -> list[Problem]:
    """Fields that are set and that the format has no use for; the pool reads patient_pattern too."""
    problems = []
    for key, source in SETTLED.get(name, {}).items():
        is_for_pool = key == "patient_pattern" and config.unlabelled_root is not None
        if getattr(config, key) is not None and not is_for_pool:
            found, expected = f"data.{key} set for format {name}, which does not read it", f"{source} alone"
            problems.append(Problem(str(root), found, expected, f"remove data.{key}"))
    return problems


def _without_masks(name: str, root: Path) -> Problem:
    """Why a folder of another kind is not data.root, and which setting takes it."""
    unlabelled_too = f"data.unlabelled_root={root}"
    found, setting = "images without masks", unlabelled_too
    if READERS[name].KIND == "natural":
        found = "natural images, a subfolder of pictures for each class"
        setting = f"natural.source=folder natural.root={root} (or {unlabelled_too}, if the subfolders are patients)"
    remedy = f"give it as {setting}, and images with masks as data.root; if it has masks, arrange it as one of these"
    return Problem(str(root), f"{found} (format {name})", _layouts("labelled"), remedy)


def _layouts(*kinds: Kind) -> str:
    return "; ".join(f"{name}: {reader.LAYOUT}" for name, reader in READERS.items() if reader.KIND in kinds)


def kind_at(config: DataConfig) -> Kind:
    """Tell what ``config.root`` holds, or is said to; labelled images where nothing else is said or recognised.

    Classes, a split and a table of cases are said of labelled images alone.
    """
    root = config.root
    if config.format in READERS:
        return READERS[config.format].KIND
    if root is None or not root.is_dir() or config.classes or config.split_file or config.cases_csv:
        return "labelled"
    return next((reader.KIND for reader in READERS.values() if reader.is_at(root)), "labelled")


def detect_format(root: Path) -> str:
    """Name the format of a folder. Raises DataError with all the layouts if it has none of them."""
    for name, reader in READERS.items():
        if reader.is_at(root):
            return name
    inside = listed(sorted(path.name for path in root.iterdir()), 5)
    remedy = "arrange the files so, or name data.format to see what is missing"
    layouts = _layouts("labelled", "natural", "unlabelled")
    raise DataError(Problem(str(root), f"a folder of no known layout ({inside})", layouts, remedy))

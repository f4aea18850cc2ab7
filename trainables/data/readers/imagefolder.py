"""Natural images as torchvision's ImageFolder has them: a subfolder of pictures for each class.

In: a folder. Out: the pictures of each class, before one is decoded. Pictures of patients in subfolders look alike, so
folders named as patients are no classes when a format is recognised; a format that is named is believed.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from trainables.config import NaturalConfig
from trainables.data.cases import NIFTI_SUFFIXES, files_below
from trainables.data.dataset import DataError, Problem
from trainables.data.mask_names import speaks_of_masks
from trainables.data.patient_names import begins_as_patient

KIND: Literal["natural"] = "natural"
LAYOUT = "natural images, a subfolder of pictures for each class: CLASS/NAME.jpg"
SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"}
SPLITS = ("train", "val", "valid", "validation", "test")  # ImageNet's folders of class folders


@dataclass(frozen=True)
class ClassFolders:
    """The pictures of each class, whose number is its place: classes and files in order of name."""

    root: Path
    files: dict[str, tuple[Path, ...]]

    @property
    def paths(self) -> list[Path]:
        """All pictures, those of the first class first."""
        return [path for paths in self.files.values() for path in paths]

    @property
    def labels(self) -> list[int]:
        """The class of each of them."""
        return [label for label, paths in enumerate(self.files.values()) for _ in paths]


def is_at(root: Path) -> bool:
    """Two subfolders or more, each with pictures and none beside them; no patients' folders, and nothing of masks."""
    folders = _subfolders(root)
    if _are_parts(folders) or (folders and all(map(_holds_only_folders, folders))):
        folders = [inner for outer in folders for inner in _subfolders(outer) if not begins_as_patient(outer.name)]
    are_patients = all(begins_as_patient(folder.name) for folder in folders)
    if len(folders) < 2 or are_patients or any(map(_is_picture, root.iterdir())):
        return False
    return all(map(_holds_pictures, folders)) and not speaks_of_masks(root)


def read(root: Path, config: NaturalConfig) -> ClassFolders:
    """List the pictures, of each class the first ``num_images``. Raises DataError where no classes are to be told."""
    expected = "a folder with one subfolder of images for each class"
    if not root.is_dir():
        raise DataError(Problem(str(root), "no folder", expected, "correct natural.root"))
    classes = _subfolders(root)
    if _are_parts(classes):
        train = next((folder for folder in classes if folder.name.lower() == "train"), classes[0])
        found = f"the parts of a split ({', '.join(folder.name for folder in classes)}), with folders in them"
        raise DataError(Problem(str(root), found, expected, f"point natural.root at {train}"))
    if len(classes) < 2:
        expected = "at least two, one for each class"
        raise DataError(Problem(str(root), f"{len(classes)} subfolders", expected, "correct natural.root"))
    listing = {folder.name: sorted(path for path in files_below(folder) if _is_picture(path)) for folder in classes}
    expected = f"some in each class ({', '.join(sorted(SUFFIXES))})"
    empty = [name for name, paths in listing.items() if not paths]
    if empty:
        remedy = "fill or remove the folder"
        raise DataError(*(Problem(str(root / name), "no images", expected, remedy) for name in empty))
    return ClassFolders(root, {name: tuple(paths[: config.num_images]) for name, paths in listing.items()})


def _subfolders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))


def _are_parts(folders: list[Path]) -> bool:
    """Whether these are ``ROOT/train`` and ``ROOT/val`` with folders in them, whose classes would be train and val."""
    return all(folder.name.lower() in SPLITS for folder in folders) and any(map(_holds_only_folders, folders))


def _holds_only_folders(folder: Path) -> bool:
    inside = [path for path in folder.iterdir() if not path.name.startswith(".")]
    return bool(inside) and all(path.is_dir() for path in inside)


def _holds_pictures(folder: Path) -> bool:
    inside = list(folder.iterdir())
    return any(map(_is_picture, inside)) and not any(path.name.lower().endswith(NIFTI_SUFFIXES) for path in inside)


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")

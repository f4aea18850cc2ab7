"""Which files and folders are named as masks, and whether anything below a folder speaks of masks.

In: paths. Out: yes or no by names alone; no file is opened. What speaks of masks is labelled, though perhaps in a
layout that no reader knows: it is neither taken for natural images nor for a pool of unlabelled ones.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from trainables.data.cases import CASES_FILE, files_below, is_image, stem

MASK_WORDS = "mask|masks|label|labels|seg|segmentation|gt|annotation"
MASK_ENDING = rf"[_-]({MASK_WORDS})$"
MASK_NAME = rf"(^|[_-])({MASK_WORDS})$"
MASK_FOLDERS = (
    "masks",
    "mask",
    "labels",
    "label",
    "annotations",
    "segmentations",
    "labelstr",
    "labelsts",
)  # lower case
IMAGE_FOLDER = r"(images?(Tr|Ts)?|imgs?)"  # such a folder is neither a patient nor a class


def is_mask(path: Path, root: Path) -> bool:
    """Whether a file is named as a mask, or lies in a folder below ``root`` that is."""
    is_named_so = re.search(MASK_NAME, stem(path), re.IGNORECASE) is not None
    return is_named_so or any(folder.lower() in MASK_FOLDERS for folder in path.relative_to(root).parts[:-1])


def speaks_of_masks(root: Path) -> bool:
    """Whether there is a table of cases, a mask by its name, or a folder of images beside one that may be of masks."""
    every = files_below(root, must_see_all=False)
    images = [path for path in every if is_image(path)]
    if (root / CASES_FILE).is_file() or any(is_mask(path, root) for path in images):
        return True
    return _lie_beside_others({path.parent.relative_to(root) for path in images})


def _lie_beside_others(folders: Iterable[Path]) -> bool:
    """Whether one of the folders with images is called so, as in images/ and outlines/, and another is not."""
    siblings: dict[Path, set[str]] = {}
    for folder in folders:
        for each in (folder, *folder.parents):
            if each.name:
                siblings.setdefault(each.parent, set()).add(each.name)
    image_folder = re.compile(IMAGE_FOLDER, re.IGNORECASE)
    called_so = ([bool(image_folder.fullmatch(name)) for name in names] for names in siblings.values())
    return any(any(each) and not all(each) for each in called_so)

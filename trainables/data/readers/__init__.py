"""The formats that people have: one reader a file behind one literal registry.

In: a folder and a DataConfig. Out: a Dataset with every problem that can be seen without decoding a pixel. A reader is
a module with LAYOUT (what it expects, in words), ``is_at(root)`` (does this folder look like mine) and ``read``.
"""

from dataclasses import replace
from pathlib import Path
from typing import Protocol

from trainables.config import DataConfig
from trainables.data.dataset import DataError, Dataset, Problem, listed
from trainables.data.natural import holds_classes
from trainables.data.readers import acdc, decathlon, folder, nnunet


class Reader(Protocol):
    """What every format offers."""

    LAYOUT: str

    def is_at(self, root: Path) -> bool:
        """Return whether the folder looks like this format; the first that does is taken."""
        ...

    def read(self, root: Path, config: DataConfig) -> Dataset:
        """List patients and volumes. Raises DataError only where nothing at all can be listed."""
        ...


READERS: dict[str, Reader] = {"acdc": acdc, "nnunet": nnunet, "decathlon": decathlon, "folder": folder}

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
    dataset = READERS[name].read(root, config)
    problems = (*_passed_over(name, root, config), *dataset.problems)
    dataset = replace(dataset, problems=problems, label_remedy=_label_remedy(name))
    if not dataset.volumes and not dataset.problems:
        expected = f"labelled images ({READERS[name].LAYOUT})"
        raise DataError(Problem(str(root), "no case with image and mask", expected, "see docs/your-data.md"))
    return dataset


def _label_remedy(name: str) -> str:
    """What to do about a value that stands for no class: formats that name the classes do not take data.classes."""
    source = SETTLED.get(name, {}).get("classes")
    if source is None:
        return "correct the mask, or name its classes with data.classes={name: value, ...}"
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


def detect_format(root: Path) -> str:
    """Name the format of a folder. Raises DataError with all the layouts if it has none of them."""
    for name, reader in READERS.items():
        if reader.is_at(root):
            return name
    inside = listed(sorted(path.name for path in root.iterdir()), 5)
    layouts = "; ".join(f"{name}: {reader.LAYOUT}" for name, reader in READERS.items())
    remedy = "arrange the files so, or name data.format to see what is missing"
    if holds_classes(root):
        remedy = (
            "if these are natural images, a subfolder for each class, look at them with --natural and pretrain on them "
            f"with natural.source=folder natural.root={root}; else {remedy}"
        )
    raise DataError(Problem(str(root), f"a folder of no known layout ({inside})", layouts, remedy))

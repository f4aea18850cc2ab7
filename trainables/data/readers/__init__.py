"""The formats that people have: one reader a file behind one literal registry.

In: a folder and a DataConfig. Out: a Dataset with every problem that can be seen without decoding a pixel. A reader is
a module with LAYOUT (what it expects, in words), ``is_at(root)`` (does this folder look like mine) and ``read``.
"""

from pathlib import Path
from typing import Protocol

from trainables.config import DataConfig
from trainables.data.dataset import DataError, Dataset, Problem, listed
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


def read_dataset(config: DataConfig) -> Dataset:
    """Read ``config.root`` with the named reader or the one that recognises it. Raises DataError if none does."""
    root = config.root
    assert root is not None
    if not root.is_dir():
        found = "a file" if root.exists() else "nothing"
        raise DataError(Problem(str(root), found, "a folder of images and masks", "correct data.root"))
    name = config.format if config.format != "auto" else detect_format(root)
    dataset = READERS[name].read(root, config)
    if not dataset.volumes and not dataset.problems:
        expected = f"labelled images ({READERS[name].LAYOUT})"
        raise DataError(Problem(str(root), "no case with image and mask", expected, "see docs/your-data.md"))
    return dataset


def detect_format(root: Path) -> str:
    """Name the format of a folder. Raises DataError with all the layouts if it has none of them."""
    for name, reader in READERS.items():
        if reader.is_at(root):
            return name
    inside = listed(sorted(path.name for path in root.iterdir()), 5)
    layouts = "; ".join(f"{name}: {reader.LAYOUT}" for name, reader in READERS.items())
    remedy = "arrange the files so, or name data.format to see what is missing"
    raise DataError(Problem(str(root), f"a folder of no known layout ({inside})", layouts, remedy))

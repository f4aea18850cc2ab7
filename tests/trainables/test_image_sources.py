"""One contract for everything that images come from: every format's reader, the unlabelled pool and natural images.

Nothing at all is refused by name; equal files are equal data wherever they lie, in whatever order they were written;
one other value is other data; a damaged file is named, by the inspection as by the store.
"""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image
from trainables_datasets import LAYOUTS, Written, save_nifti, save_picture

from trainables.config import DataConfig, NaturalConfig
from trainables.data.dataset import DataError, Problem
from trainables.data.inspection import inspect
from trainables.data.natural import inspect_natural, open_natural
from trainables.data.readers import READERS
from trainables.data.slices import open_store

Opened = tuple[str, np.ndarray]  # an id, and what it is the id of


@dataclass(frozen=True)
class Source:
    """Written files, how they are opened and inspected, and one of the images in them."""

    root: Path
    image: str
    open: Callable[[Path, Path], Opened]  # of a root and a cache
    problems: Callable[[Path], Sequence[Problem]]


def labelled(name: str, written: dict[str, Written], work: Path) -> Source:
    each = written[next(key for key, layout in LAYOUTS.items() if layout.format == name)]
    config = each.config(split="paper")
    volume = inspect(config).dataset.volumes[0]

    def opened(root: Path, cache: Path) -> Opened:
        store = open_store(config.model_copy(update={"root": root}), cache)
        return store.data_id, store.images

    def problems(root: Path) -> Sequence[Problem]:
        return inspect(config.model_copy(update={"root": root})).problems

    return Source(each.root, str(volume.images[0].relative_to(each.root)), opened, problems)


def pool(written: dict[str, Written], root: Path, image: str) -> Source:
    def config(root: Path) -> DataConfig:
        return written["nnunet"].config(unlabelled_root=root)

    def opened(root: Path, cache: Path) -> Opened:
        store = open_store(config(root), cache)
        return store.pool_id, store.images[store.rows("pool")]

    return Source(root, image, opened, lambda root: inspect(config(root)).problems)


def pool_of_volumes(written: dict[str, Written], work: Path) -> Source:
    rng = np.random.default_rng(1)
    for name, shape in (("p90/cine", (3, 12, 10, 4)), ("p91/deep/late", (2, 12, 10)), ("p92", (2, 12, 10))):
        save_nifti(work / f"{name}.nii.gz", rng.integers(0, 900, shape).astype(np.int16))
    return pool(written, work, "p91/deep/late.nii.gz")


def pool_of_pictures(written: dict[str, Written], work: Path) -> Source:
    for number, name in enumerate(("p90/1", "p90/2", "p90/10", "p91")):
        save_picture(work / f"{name}.png", noise(number, (12, 10)))
    return pool(written, work, "p90/10.png")


def natural(written: dict[str, Written], work: Path) -> Source:
    for number, name in enumerate(("cat/a", "cat/b", "dog/a", "dog/more/b")):
        save_picture(work / f"{name}.png", noise(number, (30, 40, 3)))

    def opened(root: Path, cache: Path) -> Opened:
        store = open_natural(NaturalConfig(source="folder", root=root, image_size=32), cache)
        return store.data_id, store.images()

    def problems(root: Path) -> Sequence[Problem]:
        try:
            return inspect_natural(root)[1]
        except DataError as error:
            return error.problems

    return Source(work, "dog/more/b.png", opened, problems)


def noise(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 250, shape).astype(np.uint8)


OTHERS: dict[str, Any] = {"pool": pool_of_volumes, "pool of pictures": pool_of_pictures, "natural": natural}


@pytest.fixture(params=(*READERS, *OTHERS))
def source(request: pytest.FixtureRequest, written: dict[str, Written], tmp_path: Path) -> Source:
    (tmp_path / "written").mkdir()
    if request.param in READERS:
        return labelled(request.param, written, tmp_path / "written")
    return OTHERS[request.param](written, tmp_path / "written")


@pytest.mark.parametrize("make", [lambda root: None, Path.mkdir], ids=["no folder", "an empty folder"])
def test_nothing_at_all_is_refused_by_name(source: Source, tmp_path: Path, make: Callable[[Path], object]) -> None:
    root = tmp_path / "nothing"
    make(root)
    with pytest.raises(DataError) as error:
        source.open(root, tmp_path / "cache")
    (problem,) = source.problems(root)
    assert error.value.problems == (problem,)
    assert problem.where == str(root)


def test_equal_files_are_equal_data_wherever_they_lie_and_whatever_lies_beside_them(
    source: Source, tmp_path: Path
) -> None:
    """Written in another order, at another time, under another path, among the hidden files that macOS leaves."""
    other = tmp_path / "Größe 患者" / "my data (new)"
    for path in sorted((path for path in source.root.rglob("*") if path.is_file()), reverse=True):
        copied = other / path.relative_to(source.root)
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copied)
        copied.with_name(f"._{path.name}").write_bytes(b"\0\5\26\7 no image")
        (copied.parent / ".DS_Store").write_bytes(b"\0")
    (one, images), (two, others) = (source.open(root, tmp_path / str(n)) for n, root in enumerate((source.root, other)))
    assert one == two
    np.testing.assert_array_equal(images, others)
    assert not source.problems(other)


def test_one_other_value_is_other_data(source: Source, tmp_path: Path) -> None:
    root = tmp_path / "changed"
    shutil.copytree(source.root, root)
    path = root / source.image
    if path.suffix == ".png":
        pixels = np.array(Image.open(path))
        pixels[5, 5] += 5
        Image.fromarray(pixels).save(path)
    else:
        image = nibabel.load(path)
        voxels = np.asarray(image.dataobj).copy()
        voxels[5, 5, 1] += 5
        nibabel.save(nibabel.Nifti1Image(voxels, image.affine, image.header), path)
    assert source.open(root, tmp_path / "cache")[0] != source.open(source.root, tmp_path / "cache")[0]


def test_a_damaged_image_is_named_by_the_inspection_and_by_the_store(source: Source, tmp_path: Path) -> None:
    root = tmp_path / "damaged"
    shutil.copytree(source.root, root)
    path = root / source.image
    path.write_bytes(path.read_bytes()[:-20])
    (problem,) = source.problems(root)
    assert problem.where == str(path)
    with pytest.raises(DataError, match="cannot be read") as error:
        source.open(root, tmp_path / "cache")
    assert [each.where for each in error.value.problems] == [str(path)]
    assert not [each for each in (tmp_path / "cache").iterdir() if each.is_dir()]

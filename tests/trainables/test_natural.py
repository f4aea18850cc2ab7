"""Natural images: the procedural set, and folders of real files."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainables.config import NaturalConfig
from trainables.data.dataset import DataError
from trainables.data.natural import open_natural


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "natural"
    for label, name in enumerate(("cat", "dog")):
        (root / name).mkdir(parents=True)
        for index in range(3):
            grey = Image.new("L", (40 + index, 30), 100 * label + 10)
            grey.convert("L" if index else "RGB").save(root / name / f"{index}.png")
    return root


def config(root: Path, **values: int) -> NaturalConfig:
    return NaturalConfig(source="folder", root=root, image_size=16, **values)


def test_a_folder_gives_one_class_per_subfolder_and_rgb_squares(folder: Path, cache: Path) -> None:
    store = open_natural(config(folder), cache)
    assert store.images().shape == (6, 16, 16, 3)
    assert store.labels().tolist() == [0, 0, 0, 1, 1, 1]
    assert store.num_classes == 2
    assert (store.images()[store.labels() == 1] == 110).all()


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_grey_values_of_16_bits_are_scaled_by_the_range_of_their_type(folder: Path, cache: Path, ending: str) -> None:
    """500 to 4500 is what 12-bit cameras and scanners save; cut off at 255 it would be white."""
    values = np.linspace(500, 4500, 32 * 32).reshape(32, 32).astype(np.uint16)
    for path in folder.glob("dog/*"):
        path.unlink()
    Image.fromarray(values).save(folder / "dog" / f"deep.{ending}")
    Image.fromarray(values * 14).save(folder / "dog" / f"deeper.{ending}")
    wanted = NaturalConfig(source="folder", root=folder, image_size=32)
    deep, deeper = open_natural(wanted, cache).images()[-2:]
    for image, factor in ((deep, 1), (deeper, 14)):
        exact = np.asarray(values, float) * factor * 255 / 65535
        assert (np.abs(image - exact[..., None]) <= 0.5).all()
    assert (deep.min(), deep.max()) == (2, 18)  # 500 / 257 and 4500 / 257


@pytest.mark.parametrize(("dtype", "shown"), [(np.int32, "int32"), (np.float32, "float32")])
def test_grey_values_without_a_known_range_are_refused(
    folder: Path, cache: Path, dtype: type[np.generic], shown: str
) -> None:
    Image.fromarray(np.full((20, 20), 70000, dtype)).save(folder / "dog" / "wide.tif")
    with pytest.raises(DataError, match=rf"dog/wide\.tif: found grey values of type {shown}; expected 8 or 16 bits"):
        open_natural(config(folder), cache)


def test_at_most_num_images_of_each_class_are_taken(folder: Path, cache: Path) -> None:
    assert len(open_natural(config(folder, num_images=2), cache).labels()) == 4


def test_a_corrupt_image_is_refused_by_name(folder: Path, cache: Path) -> None:
    (folder / "dog" / "1.png").write_bytes(b"\x89PNG broken")
    with pytest.raises(DataError, match=r"dog/1\.png: found a file that cannot be read"):
        open_natural(config(folder), cache)


def test_a_class_without_images_a_single_class_and_a_missing_folder_are_refused(folder: Path, cache: Path) -> None:
    with pytest.raises(DataError, match="nowhere: found no folder"):
        open_natural(config(folder / "nowhere"), cache)
    (folder / "empty").mkdir()
    with pytest.raises(DataError, match="empty: found no images"):
        open_natural(config(folder), cache)
    only = folder / "cat" / "only"
    only.mkdir()
    Image.new("RGB", (8, 8)).save(only / "x.png")
    with pytest.raises(DataError, match="found 1 subfolders; expected at least two"):
        open_natural(config(folder / "cat"), cache)


def test_the_parts_of_a_split_are_not_taken_for_classes(folder: Path, tmp_path: Path, cache: Path) -> None:
    for part in ("train", "val"):
        shutil.copytree(folder, tmp_path / "imagenet" / part)
    with pytest.raises(DataError, match=r"found the parts of a split \(train, val\).*point natural.root at .*/train$"):
        open_natural(config(tmp_path / "imagenet"), cache)
    assert open_natural(config(tmp_path / "imagenet" / "train"), cache).num_classes == 2
    (tmp_path / "imagenet" / "tram").mkdir()
    for part in ("train", "tram"):  # a class of trains, beside another
        shutil.copy(folder / "cat" / "0.png", tmp_path / "imagenet" / part)
    shutil.rmtree(tmp_path / "imagenet" / "val")
    assert open_natural(config(tmp_path / "imagenet"), cache).num_classes == 2


def test_the_procedural_set_is_reproducible(cache: Path, tmp_path: Path) -> None:
    wanted = NaturalConfig(num_images=24, image_size=32, num_classes=4)
    store = open_natural(wanted, cache)
    assert np.bincount(store.labels()).tolist() == [6, 6, 6, 6]
    assert open_natural(wanted, tmp_path).data_id == store.data_id

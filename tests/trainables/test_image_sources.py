"""One contract for all that images come from, over the registry of readers, whatever they hold.

A format says what it expects, recognises its own samples alone and can be named. Nothing at all is refused by name;
equal files are equal data wherever they lie, in whatever order they were written; one other value is other data; a
damaged file is named, by the inspection as by the store.
"""

import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image
from trainables_datasets import SAMPLES, Sample, Written

from trainables.config import DataConfig, NaturalConfig
from trainables.data.__main__ import main
from trainables.data.dataset import DataError, Problem
from trainables.data.inspection import inspect
from trainables.data.natural import inspect_natural, open_natural
from trainables.data.readers import READERS, detect_format, kind_at
from trainables.data.slices import open_store

Opened = tuple[str, np.ndarray]  # an id, and what it is the id of


@dataclass(frozen=True)
class Source:
    """A written sample, what its DataConfig needs, and how it is opened and inspected as its kind is in a sweep."""

    sample: Sample
    root: Path
    rules: dict[str, Any]
    open: Callable[[Path, Path], Opened]  # of a root and a cache
    problems: Callable[[Path], Sequence[Problem]]


def as_labelled(rules: dict[str, Any], written: dict[str, Written]) -> tuple[Any, Any]:
    def config(root: Path) -> DataConfig:
        return DataConfig(root=root, image_size=32, split="paper", **rules)

    def opened(root: Path, cache: Path) -> Opened:
        store = open_store(config(root), cache)
        return store.data_id, store.images

    return opened, lambda root: inspect(config(root)).problems


def as_pool(rules: dict[str, Any], written: dict[str, Written]) -> tuple[Any, Any]:
    def config(root: Path) -> DataConfig:
        return written["nnunet"].config(unlabelled_root=root, **rules)

    def opened(root: Path, cache: Path) -> Opened:
        store = open_store(config(root), cache)
        return store.pool_id, store.images[store.rows("pool")]

    return opened, lambda root: inspect(config(root)).problems


def as_natural(rules: dict[str, Any], written: dict[str, Written]) -> tuple[Any, Any]:
    def opened(root: Path, cache: Path) -> Opened:
        store = open_natural(NaturalConfig(source="folder", root=root, image_size=32), cache)
        return store.data_id, store.images()

    def problems(root: Path) -> Sequence[Problem]:
        try:
            return inspect_natural(root)[1]
        except DataError as error:
            return error.problems

    return opened, problems


USES = {"labelled": as_labelled, "natural": as_natural, "unlabelled": as_pool}  # by what a reader's folders hold


def samples_of(name: str) -> list[str]:
    found = [key for key, sample in SAMPLES.items() if sample.format == name]
    assert found, f"tests/trainables/datasets.py has no sample of {name}: add one to SAMPLES"
    return found


@pytest.fixture(params=[f"{name}: {key}" for name in READERS for key in samples_of(name)])
def source(request: pytest.FixtureRequest, written: dict[str, Written], tmp_path: Path) -> Source:
    name, key = request.param.split(": ")
    rules = SAMPLES[key].write(tmp_path / "written")
    return Source(SAMPLES[key], tmp_path / "written", rules, *USES[READERS[name].KIND](rules, written))


def test_a_sample_is_recognised_by_its_own_format_alone(source: Source) -> None:
    takers = [name for name, reader in READERS.items() if reader.is_at(source.root)]
    also = ["unlabelled"] if source.sample.format == "imagefolder" else []  # pictures without masks: the order decides
    assert takers == [source.sample.format, *also]
    assert detect_format(source.root) == source.sample.format


@pytest.mark.parametrize("name", READERS)
def test_a_format_says_what_it_expects_and_can_be_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=re.escape(f"{name}: {READERS[name].LAYOUT}")):
        detect_format(tmp_path)
    assert kind_at(DataConfig(format=name, root=tmp_path)) == READERS[name].KIND


def test_the_inspection_says_which_format_it_recognised(source: Source, capsys: pytest.CaptureFixture[str]) -> None:
    rules = [f"{key}={value}" for key, value in source.rules.items()]
    for named in ([], ["--format", source.sample.format]):
        assert main([str(source.root), *rules, *named]) == 0
        printed = capsys.readouterr().out
        assert re.search(rf"│ format +│ {source.sample.format}\b", printed)
        assert "no problems found" in printed


@pytest.mark.parametrize("name", ["auto", "as it is"])
@pytest.mark.parametrize("key", [key for key, each in SAMPLES.items() if READERS[each.format].KIND != "labelled"])
def test_images_without_masks_are_refused_as_data_root_with_the_setting_that_takes_them(
    key: str, name: str, tmp_path: Path
) -> None:
    root, sample = tmp_path / "written", SAMPLES[key]
    sample.write(root)
    settings = {"natural": f"natural.source=folder natural.root={root} (or ", "unlabelled": ""}
    config = DataConfig(root=root, format=sample.format if name == "as it is" else "auto")
    with pytest.raises(DataError) as error:
        open_store(config, tmp_path / "cache")
    (problem,) = error.value.problems
    assert problem.where == str(root)
    assert f"(format {sample.format})" in problem.found
    assert "folder: images/NAME.png and masks/NAME.png" in problem.expected
    setting = f"{settings[READERS[sample.format].KIND]}data.unlabelled_root={root}"
    assert problem.remedy.startswith(f"give it as {setting}")


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
    path = root / source.sample.image
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
    path = root / source.sample.image
    path.write_bytes(path.read_bytes()[:-20])
    (problem,) = source.problems(root)
    assert problem.where == str(path)
    with pytest.raises(DataError, match="cannot be read") as error:
        source.open(root, tmp_path / "cache")
    assert [each.where for each in error.value.problems] == [str(path)]
    assert not [each for each in (tmp_path / "cache").iterdir() if each.is_dir()]

"""What is said of the parts of a split: by the inspection, and at every start of a run."""

import json
from pathlib import Path
from types import ModuleType

import nibabel
import numpy as np
import pytest
from PIL import Image

from sweep.experiment import load_preset
from sweep.inputs import read_inputs
from trainables.config import DataConfig
from trainables.data.__main__ import main
from trainables.data.dataset import DataError
from trainables.data.inspection import inspect
from trainables.data.slices import open_store

ALONE = "test is a single patient (patient001)"
HAND = "choose more test patients with data.split=file"


@pytest.fixture
def hearts(datasets: ModuleType, tmp_path: Path) -> Path:
    """Five patients, of whom the first tests and the second validates by the paper's split."""
    datasets.write("acdc", tmp_path / "hearts")
    return tmp_path / "hearts"


@pytest.mark.parametrize(
    ("settings", "num_tested", "remedy"),
    [
        ([], 1, HAND),
        (["split=fractions", "test_fraction=0.2"], 1, "raise data.test_fraction"),
        (["split=fractions", "test_fraction=0.4"], 2, None),
    ],
)
def test_the_inspection_says_that_a_single_patient_tests_and_what_to_do(
    hearts: Path, capsys: pytest.CaptureFixture[str], settings: list[str], num_tested: int, remedy: str | None
) -> None:
    assert main([str(hearts), "image_size=32", *settings]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert ("warning: test is a single patient (patient00" in said) == (num_tested == 1)
    assert remedy is None or remedy in said


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Eight patients, a picture each, with an organ in every one."""
    generator, mask = np.random.default_rng(0), np.zeros((32, 32), np.uint8)
    mask[5:20] = 1
    for number in range(8):
        image = generator.integers(0, 255, (32, 32), np.uint8)
        for kind, array in (("images", image), ("masks", mask)):
            (tmp_path / "set" / kind).mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(tmp_path / "set" / kind / f"{number}.png")
    return tmp_path / "set"


def test_every_start_tells_what_the_parts_lack_of_a_split_that_an_earlier_version_stored(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Class 2 is drawn nowhere. An earlier version knew neither warning; nothing is decoded for them."""
    sizes = ["data.image_size=32", "data.spacing_mm=null", "data.longest_side=32"]
    data = [f"data.root={pictures}", "data.classes={organ: 1, scar: 2}", "data.test_fraction=0.1", "data.format=auto"]
    grid = ["grid.arms=[random]", "grid.label_counts=[2]", "report.reference_arm=random"]
    experiment = load_preset("smoke", [*data, *sizes, *grid, f"compute.cache={tmp_path / 'cache'}"])
    first = read_inputs(experiment).summary["warnings"]
    store = open_store(experiment.data, tmp_path / "cache")
    (store.folder / "data.json").write_text(json.dumps(store.summary | {"warnings": []}))
    monkeypatch.setattr("trainables.data.decoded.prepare", None)
    second = read_inputs(experiment).summary["warnings"]
    assert first == second
    assert second[0] == "'scar' in no mask at all; correct the classes or the masks"
    assert second[1].startswith("test is a single patient")
    assert len(second) == 2


@pytest.fixture
def spotted(pictures: Path) -> Path:
    """The pictures with a second class: a spot of one pixel amid the organ in each mask but two, where it is large."""
    for path in (pictures / "masks").iterdir():
        mask = np.asarray(Image.open(path)).copy()
        mask[12, 12] = 2
        if path.stem in "01":
            mask[10:18, 10:18] = 2
        Image.fromarray(mask).save(path)
    return pictures


def test_a_class_that_a_part_loses_by_resampling_is_warned_of(spotted: Path, tmp_path: Path) -> None:
    """At half the size a spot covers a quarter of a pixel at most, so its surroundings win."""
    split = {"train": ["0", "3", "4"], "val": ["1", "5"], "test": ["2", "6", "7"]}
    (tmp_path / "split.json").write_text(json.dumps([split]))
    classes = {"organ": 1, "scar": 2}
    config = DataConfig(root=spotted, classes=classes, image_size=32, split="file", split_file=tmp_path / "split.json")
    halved = config.model_copy(update={"longest_side": 16})
    assert open_store(config, tmp_path / "cache").warnings == []
    (warning,) = open_store(halved, tmp_path / "cache").warnings
    assert warning.startswith("'scar' in no slice of test once resampled and cropped, so nothing tells how well")
    assert "change data.spacing_mm or data.longest_side" in warning
    assert inspect(halved).warnings == [warning]


@pytest.mark.parametrize(
    ("settings", "done"),
    [
        (
            {"spacing_mm": 100.0, "image_size": 48},
            "once resampled (data.spacing_mm=100) and cropped (data.image_size=48)",
        ),
        (
            {"longest_side": 480, "image_size": 32},
            "once resampled (data.longest_side=480) and cropped (data.image_size=",
        ),
    ],
)
def test_foreground_that_resampling_or_the_crop_leaves_nothing_of_is_refused(
    datasets: ModuleType, tmp_path: Path, settings: dict[str, float], done: str
) -> None:
    datasets.write("acdc", tmp_path / "hearts")
    for path in (tmp_path / "hearts").rglob("*_gt.nii.gz"):
        _keep_one_corner(path)
    with pytest.raises(DataError) as error:
        open_store(DataConfig(root=tmp_path / "hearts", **settings), tmp_path / "cache")
    for part in ("train", "test"):
        assert f"found no foreground in any slice of {part} {done}" in str(error.value)


def _keep_one_corner(path: Path) -> None:
    """Draw a single spot, far from the centre."""
    image = nibabel.load(path)
    labels = np.zeros(image.shape, np.uint8)
    labels[1:3, 1:3] = 1
    nibabel.save(nibabel.Nifti1Image(labels, image.affine, image.header), path)


def test_a_warning_that_a_version_stored_with_the_split_is_told_once(hearts: Path, tmp_path: Path) -> None:
    config = DataConfig(root=hearts, image_size=32)
    store = open_store(config, tmp_path / "cache")
    (store.folder / "data.json").write_text(json.dumps(store.summary | {"warnings": ["lost", *store.warnings]}))
    warnings = open_store(config, tmp_path / "cache").warnings
    assert [each.partition(",")[0] for each in warnings] == ["lost", ALONE]


def test_the_inspection_and_the_start_say_the_same(hearts: Path, tmp_path: Path) -> None:
    config = DataConfig(root=hearts, image_size=32)
    assert inspect(config).warnings == open_store(config, tmp_path / "cache").warnings

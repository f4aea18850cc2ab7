"""What ``python -m trainables.data`` says of a labelled data set whose numbers are known."""

import re
import shlex
import shutil
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from sweep.experiment import load_preset
from tests.trainables.inspection.printed import Run, rows
from trainables.config import DataConfig
from trainables.data.inspection import Inspection, inspect
from trainables.data.inspection_tables import next_command
from trainables.data.slices import open_store

PARTS = ("train", "validation", "test")


def test_the_numbers_are_those_of_the_set(acdc: Path, run: Run) -> None:
    code, printed = run(acdc, "image_size=32")
    assert code == 0
    overview = {name: cells[0] for name, cells in rows(printed).items()}
    assert overview["format"] == "acdc"
    assert overview["channels"] == "1 (MR)"
    assert overview["patients"] == "5"
    assert overview["volumes"] == "10 with a mask, of which 10 could be used"
    assert overview["phases"] == "ED 5, ES 5"
    assert overview["groups"] == "DCM 2, HCM 2, NOR 1"
    assert overview["slices"] == "30, 20 with foreground and 10 without"
    assert overview["slices a volume"] == "3"
    assert overview["size, pixels"] == "12 rows, 10 columns"
    assert overview["pixel, mm"] == "1.25 to 1.5"
    assert overview["image types"] == "float32 5, int16 5"
    assert overview["mask types"] == "uint8 10"
    assert overview["decoded"] == "0.1 MiB at 32 px, once a node"  # 30 * 32 * 32 * (2 + 1) bytes
    assert "no problems found" in printed


def test_intensities_are_those_of_the_files(acdc: Path, run: Run, datasets: ModuleType) -> None:
    values = [scan.images for scan in datasets.scans()]
    lowest, largest = min(each.min() for each in values), [each.max() for each in values]
    expected = f"{lowest} to {max(largest)}; the volumes' largest {min(largest)} to {max(largest)}"
    assert rows(run(acdc)[1])["intensities"] == [expected]


def test_classes_are_counted_by_slice_patient_and_pixel(acdc: Path, run: Run) -> None:
    table = rows(run(acdc)[1])
    assert table["right ventricle"] == ["1", "20", "5", "66.7%"]  # 20 * 6 of 180 pixels
    assert table["myocardium"] == ["2", "10", "5", "22.2%"]  # 10 * 4
    assert table["left ventricle"] == ["3", "10", "5", "11.1%"]  # 10 * 2


def test_the_split_is_counted_by_patient_and_slice(acdc: Path, run: Run, datasets: ModuleType) -> None:
    more = acdc.parent / "more"
    datasets.save_nifti(more / "p77" / "cine.nii.gz", np.random.default_rng(1).integers(0, 99, (5, 12, 10, 4)) * 1.0)
    code, printed = run(acdc, "--unlabelled", more)
    table = rows(printed)
    assert code == 0
    assert table["train"] == ["3", "18", "12", "DCM 1, HCM 1, NOR 1"]
    assert table["validation"] == ["1", "6", "4", "HCM 1"]  # patient002
    assert table["test"] == ["1", "6", "4", "DCM 1"]  # patient001
    assert table["unlabelled"] == ["1", "20", "", "never of validation or test"]
    assert re.search(r"warning: 1 patients of .*more \(p77\) are not among the\s+labelled ones", printed)


def test_the_size_that_is_forecast_is_that_of_the_store(acdc: Path, tmp_path: Path) -> None:
    config = DataConfig(root=acdc, image_size=32)
    store = open_store(config, tmp_path / "cache")
    assert inspect(config).decoded_bytes == store.images.nbytes + store.masks.nbytes == 30 * 32 * 32 * (2 + 1)


def test_an_inspection_finds_what_the_store_finds(acdc: Path, tmp_path: Path) -> None:
    config = DataConfig(root=acdc, image_size=32)
    store, found = open_store(config, tmp_path / "cache"), inspect(config)
    counts = {part: sum(found.parts[each.patient] == part for each in found.facts) * 3 for part in ("train", "test")}
    assert {part: store.summary["num_slices"][part] for part in counts} == counts
    assert found.warnings == store.warnings


def test_patients_that_are_one_are_warned_about_within_a_part(acdc: Path, run: Run) -> None:
    shutil.copy(acdc / "patient003" / "patient003_frame04.nii.gz", acdc / "patient004" / "patient004_frame11.nii.gz")
    code, printed = run(acdc)
    assert code == 0
    text = " ".join(printed.split())
    assert "warning: patients patient003 and patient004 with 3 identical slices" in text
    assert "(cases patient003_frame04 and patient004_frame11)" in text


def test_keys_have_one_meaning_with_and_without_their_section(acdc: Path, run: Run) -> None:
    with_section = run(acdc, "data.image_size=32", "data.exclude=[patient003]")
    without = run(acdc, "image_size=32", "exclude=[patient003]")
    assert with_section == without
    assert rows(without[1])["patients"] == ["4"]


@pytest.mark.parametrize(
    "sizes", [{"longest_side": 64, "image_size": 64}, {"image_size": 32}, {"spacing_mm": 1.5, "pixel_spacing_mm": 1.0}]
)
def test_the_command_that_is_printed_asks_for_the_same_data(
    datasets: ModuleType, tmp_path: Path, sizes: dict[str, float]
) -> None:
    root = tmp_path / "my data (new)"
    rules = datasets.write("folder", root)
    config = DataConfig(root=root, classes={"a": 1, "b": 2, "c": 3}, exclude=("patient003",), **sizes, **rules)
    command = shlex.split(next_command(inspect(config)))
    assert command[:5] == ["python", "-m", "sweep.data_efficiency", "--preset", "small"]
    experiment = load_preset("small", [each for each in command[5:] if "=" in each])
    of_preset = {"validation_slices", "label_draw"}
    assert experiment.data.model_dump(exclude=of_preset) == config.model_dump(exclude=of_preset)
    assert experiment.grid.label_counts[-1] == 2 * 2 * 3  # of 4 patients 2 train, with 2 phases of 3 slices


def test_the_command_counts_patients_where_patients_are_labelled(acdc: Path) -> None:
    command = next_command(inspect(DataConfig(root=acdc, label_unit="patients")))
    assert "data.label_unit=patients " in command
    assert "grid.label_counts=[3] " in command  # of 5 patients 3 train


def test_a_pattern_is_taken_as_it_stands_where_yaml_would_take_it_for_a_list(
    datasets: ModuleType, run: Run, tmp_path: Path
) -> None:
    datasets.write("nnunet", tmp_path / "data")
    for pattern in (r"[a-z]+(\d+)", r"'[a-z]+(\d+)'", r'"[a-z]+(\d+)"', r"[a-z]+[_]?(\d+)"):
        code, printed = run(tmp_path / "data", f"data.patient_pattern={pattern}")
        assert (code, rows(printed)["patients"]) == (0, ["5"]), pattern


# The real ACDC


def types(found: Inspection) -> dict[str, int]:
    names = [facts.dtype for facts in found.facts]
    return {name: names.count(name) for name in names}


def test_the_real_acdc_is_as_its_publication_and_its_files_say(real_acdc: Path) -> None:
    found = inspect(DataConfig(root=real_acdc, longest_side=64, image_size=64))
    assert not found.problems
    assert sum(facts.num_slices for facts in found.facts) == 1902
    assert sum(facts.foreground_slices for facts in found.facts) == 1841
    assert types(found) == {"float32": 128, "int16": 70, "uint8": 2}
    slices = {part: sum(each.num_slices for each in found.facts if found.parts[each.patient] == part) for part in PARTS}
    assert slices == {"train": 1498, "validation": 206, "test": 198}
    assert min(facts.highest for facts in found.facts) == 184
    assert max(facts.highest for facts in found.facts) == 4031
    (warning,) = [warning for warning in found.warnings if "identical" in warning]
    assert "patients patient074 and patient076" in warning


@pytest.mark.parametrize("arguments", [["s3://bucket/set"], ["set", "--unlabelled", "s3://bucket/cines"]])
def test_a_uri_in_the_place_of_a_folder_is_refused_as_one(run: Run, arguments: list[str]) -> None:
    code, printed = run(*arguments)
    assert code == 2
    assert "expected a path on a disk" in printed


def test_a_class_that_a_part_lacks_is_warned_about(run: Run, tmp_path: Path) -> None:
    """Class 2 is in one patient alone, so that another part lacks it; class 3 is named and nowhere drawn."""
    generator = np.random.default_rng(0)
    for name in ("images", "masks"):
        (tmp_path / "set" / name).mkdir(parents=True)
    for number in range(8):
        mask = np.zeros((32, 32), np.uint8)
        mask[5:20] = 1
        mask[25, 10] = 2 * (number == 0)  # a pixel beside 8 * 480
        image = generator.integers(0, 255, (32, 32), np.uint8)
        Image.fromarray(image).save(tmp_path / "set" / "images" / f"{number}.png")
        Image.fromarray(mask).save(tmp_path / "set" / "masks" / f"{number}.png")
    code, printed = run(tmp_path / "set", "classes={organ: 1, lesion: 2, cyst: 3}", "image_size=32")
    assert code == 0
    said = " ".join(printed.split())
    assert "warning: 'cyst' in no mask at all" in said
    part = inspect(DataConfig(root=tmp_path / "set", image_size=32)).parts["0"]
    assert {each for each in PARTS if f"warning: 'lesion' in no slice of {each}" in said} == set(PARTS) - {part}
    assert rows(printed)["lesion"] == ["2", "1", "1", "<0.1%"]
    assert rows(printed)["train"][:2] == ["5", "5"]
    assert "grid.label_counts=[1,5] " in said  # one count alone would tell nothing of the labels needed

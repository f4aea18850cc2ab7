"""What ``python -m trainables.data`` says of a data set whose numbers are known, and the files that it writes."""

import json
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from sweep.experiment import load_preset
from trainables.config import DataConfig
from trainables.data.__main__ import main
from trainables.data.contact_sheet import CAPTION, COLOURS, LEGEND
from trainables.data.inspection import Inspection, inspect
from trainables.data.inspection_tables import next_command
from trainables.data.slices import open_store

PARTS = ("train", "validation", "test")
Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Call the command and return its exit code and what it printed."""

    def call(*arguments: object) -> tuple[int, str]:
        code = main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return code, printed.out + printed.err

    return call


@pytest.fixture
def acdc(datasets: ModuleType, tmp_path: Path) -> Path:
    """10 volumes of 3 slices, of which one shows nothing, one 6 pixels of class 1, one 6, 4 and 2 of classes 1 to 3."""
    datasets.write("acdc", tmp_path / "hearts")
    return tmp_path / "hearts"


def rows(printed: str) -> dict[str, list[str]]:
    """The cells of every row of every table by the first one."""
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in printed.splitlines() if "│" in line]
    return {first: others for first, *others in cells}


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
    assert found.warnings == store.summary["warnings"]


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


# The contact sheet


def test_the_contact_sheet_outlines_each_class_in_its_colour(acdc: Path, run: Run, tmp_path: Path) -> None:
    code, printed = run(acdc, "--picture", tmp_path / "new" / "sheet.png", "image_size=32")
    assert code == 0
    assert "10 slices with outlined masks: " in printed
    with Image.open(tmp_path / "new" / "sheet.png") as image:
        sheet = np.asarray(image)
    zoom = 192 // 32
    first = sheet[LEGEND + CAPTION :][: 32 * zoom, : 32 * zoom]
    top, left = 10, 11  # of 12 x 10 pixels in the middle of 32 x 32
    corners = {1: (2, 3), 2: (5, 1), 3: (9, 7)}  # first row and column of each class in slice 2
    for label, (row, column) in corners.items():
        y, x = (top + row) * zoom, (left + column) * zoom
        assert tuple(first[y, x]) == COLOURS[label - 1]
        assert tuple(first[y - 1, x]) != COLOURS[label - 1]
        assert len(set(first[y + 2, x + 2])) == 1  # grey within
    for colour in COLOURS[:3]:
        assert (sheet[:LEGEND] == colour).all(-1).any()
    assert not any((sheet == colour).all(-1).any() for colour in COLOURS[3:])


def test_names_in_other_scripts_are_drawn(datasets: ModuleType, run: Run, tmp_path: Path) -> None:
    datasets.write("table", tmp_path / "data")
    table = tmp_path / "data" / "cases.csv"
    table.write_text(table.read_text().replace("patient001", "Łukasz 患者"), encoding="utf-8")
    assert run(tmp_path / "data", "--picture", tmp_path / "sheet.png")[0] == 0
    with Image.open(tmp_path / "sheet.png") as image:
        image.verify()


def test_a_damaged_volume_leaves_the_others_on_the_sheet(acdc: Path, run: Run, tmp_path: Path) -> None:
    (acdc / "patient003" / "patient003_frame04.nii.gz").write_bytes(b"")
    code, printed = run(acdc, "--picture", tmp_path / "sheet.png")
    assert code == 1
    assert "9 slices with outlined masks: " in printed
    assert rows(printed)["volumes"] == ["10 with a mask, of which 9 could be used"]


# The split


@pytest.mark.parametrize("name", ["nnunet", "nnunet-channels", "nnunet-png"])
def test_the_written_split_is_one_that_nnunet_reads(name: str, datasets: ModuleType, run: Run, tmp_path: Path) -> None:
    rules = datasets.write(name, tmp_path / "data")
    arguments = [f"{key}={value}" for key, value in rules.items()]
    code, printed = run(tmp_path / "data", *arguments, "--split", tmp_path / "out" / "splits_final.json")
    assert code == 0
    assert "splits_final.json" in printed
    (fold,) = json.loads((tmp_path / "out" / "splits_final.json").read_text())
    cases = {re.sub(r"_\d{4}\.(nii\.gz|png)$", "", path.name) for path in (tmp_path / "data" / "imagesTr").iterdir()}
    assert set().union(*map(set, fold.values())) == cases
    assert len(fold["train"]) + len(fold["val"]) + len(fold["test"]) == len(cases)
    patients = [{case[:10] for case in fold[key]} for key in ("train", "val", "test")]
    assert [len(each) for each in patients] == [3, 1, 1]
    read_back = {"split": "file", "split_file": tmp_path / "out" / "splits_final.json"}
    found = inspect(DataConfig(root=tmp_path / "data", image_size=32, **rules, **read_back))
    assert not found.problems
    names = zip(("train", "validation", "test"), patients, strict=True)
    assert found.parts == {patient: part for part, members in names for patient in members}


# Natural images


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """3 cats and 2 dogs."""
    rng = np.random.default_rng(0)
    for name in ("cat/1.png", "cat/2.jpg", "cat/more/3.png", "dog/1.png", "dog/2.webp"):
        path = tmp_path / "animals" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (20, 24, 3)).astype(np.uint8)).save(path)
    (tmp_path / "animals" / "cat" / "._1.png").write_bytes(b"\0\5")
    return tmp_path / "animals"


@pytest.mark.parametrize("named", [(), ("--natural",), ("--format", "imagefolder")])
def test_natural_images_are_recognised_and_counted_by_class(photographs: Path, run: Run, named: tuple[str]) -> None:
    code, printed = run(photographs, *named)
    assert code == 0
    assert rows(printed) == {"format": ["imagefolder"], "classes": ["2"], "images": ["5, 2 to 3 in a class"]}
    assert "no problems found" in printed
    assert printed.startswith(f"natural images in {photographs}\n")
    assert f"natural.source=folder natural.root={photographs}" in printed


def test_a_broken_natural_image_is_named(photographs: Path, run: Run) -> None:
    content = (photographs / "cat" / "1.png").read_bytes()
    (photographs / "cat" / "1.png").write_bytes(content[: len(content) // 2])
    (photographs / "dog" / "3.png").symlink_to("nowhere")
    code, printed = run(photographs, "--natural")
    assert code == 1
    assert "2 problems: nothing would be trained" in printed
    together = re.sub(r"[\s│]", "", printed)
    assert re.search(r"cat/1\.png.*cannotberead", together)
    assert "dog/3.png" in together


@pytest.mark.parametrize(("damage", "found"), [("dog", "1 subfolders"), (".", "no folder")])
def test_natural_images_without_classes_are_refused(photographs: Path, run: Run, damage: str, found: str) -> None:
    shutil.rmtree(photographs / damage)
    code, printed = run(photographs, "--natural")
    assert code == 1
    assert found in printed


# Unlabelled images


@pytest.fixture
def pool(datasets: ModuleType, tmp_path: Path) -> Path:
    """Two patients with a cine of 3 slices in 4 frames each, and one of them with a volume of 2 slices."""
    rng = np.random.default_rng(0)
    for name, shape in (("p1/cine", (3, 12, 10, 4)), ("p2/cine", (3, 12, 10, 4)), ("p2/late", (2, 12, 10))):
        datasets.save_nifti(tmp_path / "pool" / f"{name}.nii.gz", rng.integers(7, 900, shape).astype(np.int16))
    return tmp_path / "pool"


def test_a_folder_without_masks_is_inspected_as_a_pool(pool: Path, run: Run) -> None:
    code, printed = run(pool)
    assert code == 0
    table = {name: cells[0] for name, cells in rows(printed).items()}
    assert table["format"] == "unlabelled: a pool of images without masks"
    assert table["channels"] == "1 (image)"
    assert table["patients"] == "2, as folders and names tell them"
    assert table["volumes"] == "3, of which 3 could be used"
    assert table["slices"] == "26, all frames of cines among them"  # 2 * 3 * 4 + 2
    assert table["slices a volume"] == "2 to 12"
    assert table["size, pixels"] == "12 rows, 10 columns"
    assert "mask types" not in table
    assert f"next: pretrain on them with data.unlabelled_root={pool}" in printed
    assert run(pool, "--format", "unlabelled") == (code, printed)


def test_a_damaged_file_of_a_pool_and_a_name_to_exclude_that_nothing_has_are_named(pool: Path, run: Run) -> None:
    (pool / "p1" / "cine.nii.gz").write_bytes(b"")
    code, printed = run(pool, "exclude=[p2, p3]")
    assert code == 1
    assert "2 problems: nothing would be trained" in printed
    assert rows(printed)["volumes"] == ["1, of which 0 could be used"]
    together = re.sub(r"[\s│]", "", printed)
    assert "p1/cine.nii.gz" in together
    assert "data.excludewith'p3'" in together


def test_pictures_of_other_channels_than_the_first_are_problems_of_a_pool(photographs: Path, run: Run) -> None:
    Image.fromarray(np.arange(480, dtype=np.uint8).reshape(20, 24) % 251).save(photographs / "cat" / "9.png")
    (photographs / "dog" / "2.webp").unlink()
    code, printed = run(photographs, "--format", "unlabelled")
    assert code == 1
    assert "1 problem: nothing would be trained" in printed
    assert re.search(r"cat/9\.png +│ 1 channels", printed)
    assert rows(printed)["channels"] == ["3 (red, green, blue)"]


def test_what_is_of_no_use_for_images_without_masks_is_said(pool: Path, photographs: Path, run: Run) -> None:
    assert f"warning: --split: of no use for unlabelled images, as which {pool} is" in run(pool, "--split", "x.json")[1]
    printed = run(photographs, "image_size=32", "--unlabelled", pool)[1]
    assert f"warning: --unlabelled, image_size=32: of no use for natural images, as which {photographs} is" in printed
    assert "warning" not in run(pool, "image_size=32")[1]


# Usage


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["spacing=1"], "unknown key 'spacing'; did you mean 'spacing_mm'?"),
        (["data.exclud=[a]"], "unknown key 'exclud'; did you mean 'exclude'?"),
        (["spacing_mm"], "'spacing_mm': expected key=value, such as spacing_mm=1.5"),
        (["spacing_mm=-1"], "spacing_mm: Input should be greater than 0"),
        (
            ["spacing_mm=1", "longest_side=64"],
            "expected one of them, found both; set data.longest_side=null to resample to data.spacing_mm",
        ),
        (["classes={a: 1"], "classes={a: 1: expected a YAML value"),
        (["patient_pattern=patient"], "data.patient_pattern: expected a group that is the patient"),
        (["--format", "dicom"], "format: Input should be"),
        (["--format", "acdc", "--natural"], "--natural and --format acdc: expected one of them, found both"),
        (["format=phantom"], "data.root: format phantom expects no root"),
        (["image_size=33", "split_seed=-1"], "split_seed: Input should be greater than or equal to 0"),
    ],
)
def test_wrong_usage_ends_with_2_and_one_line_for_each_mistake(
    acdc: Path, run: Run, arguments: list[str], message: str
) -> None:
    code, printed = run(acdc, *arguments)
    assert code == 2
    assert printed.startswith("error: ")
    assert message in printed
    assert len(printed.splitlines()) <= len(arguments)


def test_arguments_that_do_not_exist_end_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["root", "--formt", "acdc"]):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 2
    assert "usage: python -m trainables.data" in capsys.readouterr().err


def test_a_file_that_cannot_be_written_ends_with_2(acdc: Path, run: Run) -> None:
    for option in ("--picture", "--split"):
        code, printed = run(acdc, option, acdc / "patient001" / "Info.cfg" / "file")
        assert code == 2
        assert "error: " in printed


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (PermissionError(13, "Permission denied", "x.nii"), 1, "error: [Errno 13] Permission denied: 'x.nii'"),
        (KeyboardInterrupt(), 130, "error: interrupted"),
    ],
)
def test_what_stops_an_inspection_is_one_line(
    acdc: Path, run: Run, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, line: str
) -> None:
    def stop(*_: object) -> None:
        raise error

    monkeypatch.setattr("trainables.data.inspection.inspect", stop)
    ended, printed = run(acdc)
    assert (ended, printed.strip()) == (code, line)


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

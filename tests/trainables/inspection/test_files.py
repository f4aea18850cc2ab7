"""The files that ``python -m trainables.data`` writes."""

import json
import re
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from tests.trainables.inspection.printed import Run, rows
from trainables.config import DataConfig
from trainables.data.contact_sheet import CAPTION, COLOURS, LEGEND
from trainables.data.inspection import inspect


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


@pytest.mark.parametrize("name", ["nnunet", "nnunet-channels", "nnunet-png"])
def test_the_written_split_is_one_that_nnunet_reads(name: str, datasets: ModuleType, run: Run, tmp_path: Path) -> None:
    rules = datasets.write(name, tmp_path / "data")
    arguments = [f"{key}={value}" for key, value in rules.items()]
    code, printed = run(tmp_path / "data", *arguments, "--write-split", tmp_path / "out" / "splits_final.json")
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

"""Whose case it is: a pattern, a table, a folder, or a question."""

import shutil
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image
from trainables_datasets import DRAWN, PIXELS, Written, read

from trainables.config import DataConfig
from trainables.data.readers import read_dataset
from trainables.data.slices import open_store

# Patterns and tables


@pytest.mark.parametrize(
    ("pattern", "phase", "group"),
    [
        (r"(patient\d+)", "ED", "unknown"),  # what the pattern leaves is the phase
        (r"(patient\d+)_(?P<phase>.)", "E", "unknown"),
        (r"(?P<group>pat)ient(?P<patient>\d+)_(?P<phase>E[DS])", "ED", "pat"),
    ],
)
def test_a_pattern_finds_patient_phase_and_group(
    written: dict[str, Written], pattern: str, phase: str, group: str
) -> None:
    config = written["nnunet"].config(patient_pattern=pattern, exclude=tuple(f"{p}_ES" for p in _patients(written)))
    volume = read(config).volumes[1]
    assert volume.patient.removeprefix("patient") == "002"
    assert (volume.phase, volume.group) == (phase, group)


def _patients(written: dict[str, Written]) -> list[str]:
    return sorted({scan.patient for scan in written["nnunet"].truth})


def test_a_table_elsewhere_says_whose_cases_are_whose(
    written: dict[str, Written], datasets: ModuleType, tmp_path: Path
) -> None:
    truth = written["nnunet"].truth
    rows = [(scan.case, f"Müller {scan.patient}", scan.phase, "DCM") for scan in truth[:-1]]
    rows.append((truth[-1].case, "Meier"))  # a row may end early
    datasets.save_table(tmp_path / "plain.csv", ("case", "patient", "phase", "group"), rows)
    (tmp_path / "who.csv").write_text((tmp_path / "plain.csv").read_text(), encoding="utf-8-sig")  # as Excel does
    volumes = read(written["nnunet"].config(cases_csv=tmp_path / "who.csv", patient_pattern=None)).volumes
    found = {(volume.name, volume.patient, volume.phase, volume.group) for volume in volumes}
    assert found == {*rows[:-1], (truth[-1].case, "Meier", "", "unknown")}


def test_a_table_elsewhere_may_name_images_beside_it(written: dict[str, Written], tmp_path: Path) -> None:
    shutil.copytree(written["table"].root, tmp_path / "data")
    (tmp_path / "empty").mkdir()
    config = DataConfig(
        root=tmp_path / "empty", format="folder", cases_csv=tmp_path / "data" / "cases.csv", image_size=32
    )
    found = [(volume.patient, volume.phase, volume.group) for volume in read(config).volumes]
    assert found == [(scan.patient, scan.phase, scan.group) for scan in written["table"].truth]
    before = open_store(config, tmp_path / "cache")
    assert open_store(config, tmp_path / "cache").folder == before.folder
    mask = tmp_path / "data" / "drawn" / "1.png"
    Image.fromarray(np.ones((12, 10), np.uint8)).save(mask)
    assert open_store(config, tmp_path / "cache").data_id != before.data_id  # a file outside the root is watched too


def write_pairs(root: Path, names: Iterable[str]) -> DataConfig:
    """Write a picture and a mask for each name, all different."""
    for number, name in enumerate(names):
        for folder, pixels in (("images", PIXELS[..., 0] ^ number), ("masks", DRAWN)):
            path = root / folder / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
    return DataConfig(root=root, image_size=32)


@pytest.mark.parametrize("above", ["", "site/", "site/2024/"])
def test_without_a_rule_the_first_folder_that_differs_is_the_patient(tmp_path: Path, above: str) -> None:
    config = write_pairs(tmp_path, [f"{above}p{i:02d}/slice{j:02d}" for i in range(3) for j in (9, 10)])
    found = [(volume.patient, volume.phase, volume.cases) for volume in read(config).volumes]
    assert found == [(f"p{i:02d}", "", tuple(f"{above}p{i:02d}/slice{j}" for j in ("09", "10"))) for i in range(3)]


def test_what_follows_a_patients_folder_is_the_phase(
    tmp_path: Path, datasets: ModuleType, written: dict[str, Written]
) -> None:
    for scan in written["nnunet"].truth:
        for folder, array in (("images", scan.images[:, 0]), ("masks", scan.labels)):
            datasets.save_nifti(tmp_path / folder / scan.patient / f"{scan.phase}.nii.gz", array)
    found = [(volume.patient, volume.phase) for volume in read(DataConfig(root=tmp_path)).volumes]
    assert found == [(scan.patient, scan.phase) for scan in written["nnunet"].truth]
    names = [f"p{i}/{phase}/{j}" for i in range(2) for phase in ("ED", "ES") for j in range(2)]
    found = [(volume.patient, volume.phase) for volume in read(write_pairs(tmp_path / "2d", names)).volumes]
    assert found == [("p0", "ED"), ("p0", "ES"), ("p1", "ED"), ("p1", "ES")]


@pytest.mark.parametrize("form", ["img{:03d}", "case_{:03d}", "{}", "{}_training", "site/case-{}", "p{}.v1"])
def test_numbered_images_are_patients_of_their_own(tmp_path: Path, form: str) -> None:
    names = [form.format(number) for number in range(9, 13)]
    assert [volume.patient for volume in read(write_pairs(tmp_path, names)).volumes] == names


@pytest.mark.parametrize(
    ("form", "pattern"),
    [
        ("p{:02d}_{:02d}", "(.+)_[^_]*$"),
        ("p{:02d}-{:02d}", "(.+)-[^-]*$"),
        ("p{:02d} slice{:02d}", "(.+) [^ ]*$"),
        ("p{:02d}.{:02d}", r"(.+)\.[^\.]*$"),
        ("study_p{:02d}_{:02d}", "(.+)_[^_]*$"),
        ("p{:02d}_v{:d}/slice_1", "([^/]+)_"),
        ("site 1/p{:02d}_v{:d}/slice_1", "site 1/([^/]+)_"),
        ("p{:02d}s{:02d}", None),
        ("study_p{:02d}s{:02d}", None),
    ],
)
def test_names_in_doubt_are_refused_with_a_pattern_that_works_for_them(
    tmp_path: Path, form: str, pattern: str | None
) -> None:
    config = write_pairs(tmp_path, [form.format(i, j) for i in range(4) for j in range(3)])
    (problem,) = read_dataset(config).problems
    assert "3 cases that begin with" in problem.found
    if pattern is None:
        assert "write a cases.csv" in problem.remedy
    else:
        assert f"data.patient_pattern='{pattern}'" in problem.remedy
        found = {volume.patient for volume in read(config.model_copy(update={"patient_pattern": pattern})).volumes}
        assert [each[-3:] for each in sorted(found)] == ["p00", "p01", "p02", "p03"]


def test_a_proposed_pattern_names_whom_it_finds_and_visits_have_one_that_keeps_them_together(tmp_path: Path) -> None:
    names = [f"sub-{i:02d}_ses-{j}_slice{k}" for i in range(4) for j in (1, 2) for k in range(3)]
    config = write_pairs(tmp_path, names)
    (problem,) = read_dataset(config).problems
    by_visit, by_patient = "data.patient_pattern='(.+)_[^_]*$'", "data.patient_pattern='(.+)_[^_]*_[^_]*$'"
    assert f"{by_visit} (the group is the patient: sub-00_ses-1, sub-00_ses-2, ... (8 in all))" in problem.remedy
    assert f"{by_patient} (the group is the patient: sub-00, sub-01, ... (4 in all))" in problem.remedy
    found = read(config.model_copy(update={"patient_pattern": "(.+)_[^_]*_[^_]*$"})).volumes
    assert [volume.patient for volume in found] == ["sub-00", "sub-01", "sub-02", "sub-03"]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_table_is_read_as_spreadsheets_save_it(tmp_path: Path, separator: str) -> None:
    """Semicolons where the comma is the decimal point, headings with capitals, names of files for those of cases."""
    config = write_pairs(tmp_path, [f"scan{number}" for number in range(4)])
    rows = [
        ("Case", "Patient", "Group"),
        *((f"scan{i}.PNG", f"P{i // 2}", "a,b" * (separator != ",")) for i in range(4)),
    ]
    (tmp_path / "cases.csv").write_text("\r\n".join(separator.join(row) for row in rows))
    volumes = read(config).volumes
    assert [(volume.patient, len(volume.pieces)) for volume in volumes] == [("P0", 2), ("P1", 2)]
    assert {volume.group for volume in volumes} == {"unknown" if separator == "," else "a,b"}

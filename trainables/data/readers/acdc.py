"""ACDC as distributed: patient folders with ED/ES frames, masks and the full cine.

In: a folder of ``patientXXX`` folders. Out: a Dataset with two labelled volumes a patient and the cine beside them.
Source: Bernard et al., IEEE TMI 2018, doi 10.1109/TMI.2018.2837502, and the files themselves: end-diastole is not
always frame 1 (Info.cfg tells), and the affine claims 1 mm voxels while ``pixdim`` holds the true spacing.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from trainables.config import DataConfig
from trainables.data.cases import UNKNOWN_GROUP, Exclusion, is_image, stem
from trainables.data.dataset import Dataset, Piece, Problem, Volume, in_order, listed
from trainables.data.readers import unlabelled

KIND: Literal["labelled"] = "labelled"
LAYOUT = "folders patient001, patient002, ... with Info.cfg, patient001_frame01.nii.gz and patient001_frame01_gt.nii.gz"
CLASS_NAMES = ("right ventricle", "myocardium", "left ventricle")
ENDINGS = (".nii.gz", ".nii")
PHASES = ("ED", "ES")


def is_at(root: Path) -> bool:
    """A patient's folder with a frame, or with an Info.cfg where not all images are cines without a mask."""
    folders = _patient_folders(root)
    if any(any(folder.glob("*_frame*")) for folder in folders):
        return True
    return any((folder / "Info.cfg").is_file() for folder in folders) and not unlabelled.is_at(root)


def read(root: Path, config: DataConfig) -> Dataset:
    """List the patients in order of name."""
    problems: list[Problem] = []
    exclusion = Exclusion(config.exclude)
    everyone = _patient_folders(root)
    folders = [folder for folder in everyone if not exclusion.leaves_out(folder.name, _frame_names(folder))]
    if not folders:
        inside = listed(sorted(path.name for path in root.iterdir()))
        expected = "folders named patient001, patient002, ..."
        problems.append(Problem(str(root), inside, expected, "point data.root at the folder that holds them"))
    volumes, cines = [], []
    for folder in folders:
        info = _read_info(folder / "Info.cfg", problems)
        if info is None:
            continue
        group = info.get("Group") or UNKNOWN_GROUP
        volumes += _frames(folder, info, group, exclusion, problems)
        _check_masks(folder, exclusion, problems)
        cine = _only_file(folder, f"{folder.name}_4d", problems)
        if cine:
            cines.append(Volume(f"{folder.name}_4d", folder.name, "cine", group, (Piece((cine,)),)))
    cines = [cine for cine in cines if cine.name not in exclusion]
    return Dataset(
        format="acdc",
        root=root,
        class_names=CLASS_NAMES,
        label_values=(0, 1, 2, 3),
        channel_names=("MR",),
        volumes=in_order(volumes),
        unlabelled=in_order(cines),
        problems=tuple(problems),
        excluded=tuple(sorted(exclusion.found)),
        excluded_cases=frozenset(exclusion.cases),
    )


def _patient_folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if re.fullmatch(r"patient\d+", path.name) and path.is_dir())


def _frame_names(folder: Path) -> Iterator[str]:
    """Names of the frames that lie in a folder, whatever Info.cfg says of them."""
    for path in folder.glob(f"{folder.name}_frame*"):
        yield stem(path).removesuffix("_gt")


def _read_info(path: Path, problems: list[Problem]) -> dict[str, str] | None:
    if not path.is_file():
        problems.append(Problem(str(path), "no file", "ACDC's patient file with ED, ES and Group", "copy it again"))
        return None
    lines = path.read_text(errors="replace").splitlines()
    pairs = (line.partition(":") for line in lines if ":" in line)
    return {key.strip(): value.strip() for key, _, value in pairs}


def _frames(
    folder: Path, info: dict[str, str], group: str, exclusion: Exclusion, problems: list[Problem]
) -> list[Volume]:
    volumes = []
    for phase in PHASES:
        value = info.get(phase, "")
        if not value.isdecimal():
            expected, remedy = f"'{phase}: <frame number>'", "correct the line"
            problems.append(Problem(str(folder / "Info.cfg"), f"'{phase}: {value}'", expected, remedy))
            continue
        name = f"{folder.name}_frame{int(value):02d}"
        if name in exclusion:
            continue
        image, mask = (_existing(folder, name, kind, problems) for kind in ("image", "mask"))
        if image and mask:
            volumes.append(Volume(name, folder.name, phase, group, (Piece((image,), mask),)))
    if len({volume.name for volume in volumes}) < len(volumes):
        found, remedy = f"frame {info['ED']} for both ED and ES", "correct the line that is wrong"
        problems.append(Problem(str(folder / "Info.cfg"), found, "two different frames", remedy))
    return volumes


def _check_masks(folder: Path, exclusion: Exclusion, problems: list[Problem]) -> None:
    """Name masks whose frame is not there; a frame of Info.cfg that is missing has been named already."""
    masks = {stem(path).removesuffix("_gt"): path for path in sorted(folder.iterdir()) if _is_mask(path)}
    missing = {Path(problem.where) for problem in problems}
    for name, path in masks.items():
        images = [folder / f"{name}{ending}" for ending in ENDINGS]
        if name not in exclusion and not any(map(os.path.lexists, images)) and missing.isdisjoint(images):
            expected = f"{name}.nii.gz beside it"
            problems.append(
                Problem(str(path), "a mask without an image", expected, "copy the image, or remove the mask")
            )


def _is_mask(path: Path) -> bool:
    return is_image(path) and stem(path).endswith("_gt")


def _existing(folder: Path, name: str, kind: str, problems: list[Problem]) -> Path | None:
    name = f"{name}_gt" if kind == "mask" else name
    path = _only_file(folder, name, problems)
    if path is None:
        remedy = "copy it again, or leave the patient out with data.exclude"
        found = f"no {kind}, though Info.cfg names this frame"
        problems.append(Problem(str(folder / f"{name}.nii.gz"), found, "the file", remedy))
    return path


def _only_file(folder: Path, name: str, problems: list[Problem]) -> Path | None:
    """Return what has the name, even if it is a folder or a broken link: decoding says so."""
    found = [path for ending in ENDINGS if os.path.lexists(path := folder / f"{name}{ending}")]
    if len(found) > 1:
        have = f"a second file of the name {name} (also {found[0].name})"
        problems.append(Problem(str(found[1]), have, "each image once", "remove one of them"))
    return found[0] if found else None

"""Small valid data sets on disk in every format, all written from one source of truth.

In: a folder and scans. Out: files, written with nibabel, pillow and json directly and never with the code under test,
and the DataConfig fields that a person would add for this format. The truth: 5 patients, ED and ES, 3 slices of 12
rows and 10 columns; slice 0 shows nothing, slice 1 six pixels of class 1, slice 2 also four of class 2 and two of 3.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from PIL import Image

from trainables.config import DataConfig
from trainables.data.dataset import Dataset
from trainables.data.decode import Decoded, decode_volume
from trainables.data.readers import read_dataset

PATIENTS = ("patient001", "patient002", "patient003", "patient004", "patient010")
GROUPS = dict(zip(PATIENTS, ("DCM", "HCM", "DCM", "NOR", "HCM"), strict=True))
FRAMES = {"ED": 4, "ES": 11}
SPACING = (1.25, 1.5)  # row, column
THICKNESS = 8.0
CLASS_NAMES = ("ring", "wall", "core")
NUM_SLICES, ROWS, COLUMNS = 3, 12, 10
FIRST_SLICE = 8  # of the numbers in names of pictures: 10 sorts before 9 as text
AFFINE = np.diag([-SPACING[1], -SPACING[0], THICKNESS, 1.0])
PATTERN = r"(?P<patient>patient\d+)_(?P<phase>E[DS])"

PIXELS = np.random.default_rng(0).integers(0, 255, (12, 10, 4)).astype(np.uint8)
DRAWN = np.zeros((12, 10), np.uint8)
DRAWN[2:5, 3:7] = 1
DRAWN[6, 6] = 2

Rules = dict[str, Any]


@dataclass(frozen=True)
class Scan:
    """One patient at one phase: ``images`` (slice, channel, row, column), ``labels`` (slice, row, column)."""

    patient: str
    phase: str
    group: str
    images: np.ndarray
    labels: np.ndarray

    @property
    def case(self) -> str:
        return f"{self.patient}_{self.phase}"


def scans(num_channels: int = 1, highest: int = 900) -> list[Scan]:
    """Return the truth in order of patient and phase; every scan has images of its own."""
    found = []
    for number, patient in enumerate(PATIENTS):
        for phase in FRAMES:
            rng = np.random.default_rng([number, ord(phase[1])])
            labels = np.zeros((NUM_SLICES, ROWS, COLUMNS), np.uint8)
            labels[1:, 2:4, 3:6] = 1
            labels[2, 5:7, 1:3] = 2
            labels[2, 9, 7:9] = 3
            noise = rng.integers(0, highest // 2, (NUM_SLICES, num_channels, ROWS, COLUMNS))
            images = noise + labels[:, None].astype(int) * (highest // 6)
            found.append(Scan(patient, phase, GROUPS[patient], images.astype(np.int16), labels))
    return found


def save_nifti(path: Path, slices: np.ndarray, affine: np.ndarray = AFFINE, zooms: tuple[float, ...] = ()) -> None:
    """Write (slice, row, column[, last]) as NIfTI has it: (column, row, slice[, last])."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(np.moveaxis(slices, (0, 1, 2), (2, 1, 0)), affine)
    if zooms:
        image.header.set_zooms(zooms)
    nibabel.save(image, path)


def save_picture(path: Path, pixels: np.ndarray) -> None:
    """Write (row, column[, colour]) pixels; whole numbers above 255 as 16 bits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    is_deep = pixels.ndim == 2 and pixels.max() > 255
    Image.fromarray(pixels.astype(np.uint16 if is_deep else np.uint8)).save(path)


def write_acdc(root: Path, truth: Sequence[Scan]) -> Rules:
    """Write patient folders with ACDC's traps: another first frame than end-diastole, an affine that claims 1 mm."""
    for scan in truth:
        folder, frame = root / scan.patient, FRAMES[scan.phase]
        dtype = np.float32 if scan.phase == "ES" else np.int16
        name, zooms = f"{scan.patient}_frame{frame:02d}", (SPACING[1], SPACING[0], THICKNESS)
        save_nifti(folder / f"{name}.nii.gz", scan.images[:, 0].astype(dtype), np.eye(4), zooms)
        save_nifti(folder / f"{name}_gt.nii.gz", scan.labels, np.eye(4), zooms)
        lines = {**FRAMES, "Group": scan.group, "Height": 170, "NbFrame": 12, "Weight": 70}
        (folder / "Info.cfg").write_text("".join(f"{key}: {value}\n" for key, value in lines.items()))
    return {}


def write_nnunet(root: Path, truth: Sequence[Scan]) -> Rules:
    """Write nnU-Net's raw format with a NIfTI for each channel."""
    for scan in truth:
        for channel in range(scan.images.shape[1]):
            save_nifti(root / "imagesTr" / f"{scan.case}_{channel:04d}.nii.gz", scan.images[:, channel])
        save_nifti(root / "labelsTr" / f"{scan.case}.nii.gz", scan.labels)
    _describe_nnunet(root, truth[0].images.shape[1], len(truth), ".nii.gz")
    return {"patient_pattern": PATTERN}


def write_nnunet_png(root: Path, truth: Sequence[Scan], ending: str = ".png") -> Rules:
    """Write nnU-Net's raw format for 2D: each slice is a case, and a picture for each channel."""
    for scan in truth:
        for index, (channels, labels) in enumerate(zip(scan.images, scan.labels, strict=True), FIRST_SLICE):
            for channel, pixels in enumerate(channels):
                save_picture(root / "imagesTr" / f"{scan.case}_{index}_{channel:04d}{ending}", pixels)
            save_picture(root / "labelsTr" / f"{scan.case}_{index}{ending}", labels)
    _describe_nnunet(root, truth[0].images.shape[1], len(truth) * NUM_SLICES, ending)
    return {"patient_pattern": PATTERN}


def _describe_nnunet(root: Path, num_channels: int, num_cases: int, ending: str) -> None:
    labels = {"background": 0} | {name: value for value, name in enumerate(CLASS_NAMES, 1)}
    channels = {str(channel): f"contrast {channel}" for channel in range(num_channels)}
    content = {"channel_names": channels, "labels": labels, "numTraining": num_cases, "file_ending": ending}
    (root / "dataset.json").write_text(json.dumps(content))


def write_decathlon(root: Path, truth: Sequence[Scan]) -> Rules:
    """Write the decathlon's format; several modalities are the last axis of a 4D file."""
    entries = []
    for scan in truth:
        image = scan.images[:, 0] if scan.images.shape[1] == 1 else np.moveaxis(scan.images, 1, -1)
        save_nifti(root / "imagesTr" / f"{scan.case}.nii.gz", image)
        save_nifti(root / "labelsTr" / f"{scan.case}.nii.gz", scan.labels)
        names = {"image": f"./imagesTr/{scan.case}.nii.gz", "label": f"./labelsTr/{scan.case}.nii.gz"}
        entries.append(names)
    labels = {"0": "background"} | {str(value): name for value, name in enumerate(CLASS_NAMES, 1)}
    modality = {str(channel): f"contrast {channel}" for channel in range(truth[0].images.shape[1])}
    content = {"modality": modality, "labels": labels, "numTraining": len(entries), "numTest": 0, "test": []}
    (root / "dataset.json").write_text(json.dumps(content | {"training": entries}))
    return {"patient_pattern": PATTERN}


def write_folder(root: Path, truth: Sequence[Scan], ending: str = ".png") -> Rules:
    """Write ``images/`` and ``masks/`` with a picture for each slice, under equal names."""
    for name, pixels, labels in _pictures(truth):
        save_picture(root / "images" / f"{name}{ending}", pixels)
        save_picture(root / "masks" / f"{name}{ending}", labels)
    return {"patient_pattern": PATTERN}


def write_side_by_side(root: Path, truth: Sequence[Scan]) -> Rules:
    """Write ``X.png`` and ``X_mask.png`` into one folder."""
    for name, pixels, labels in _pictures(truth):
        save_picture(root / f"{name}.png", pixels)
        save_picture(root / f"{name}_mask.png", labels)
    return {"patient_pattern": PATTERN}


def write_table(root: Path, truth: Sequence[Scan]) -> Rules:
    """Write pictures under meaningless names, and a ``cases.csv`` that says whose they are."""
    rows = []
    by_name = {f"{scan.case}_{index}": scan for scan in truth for index in range(FIRST_SLICE, FIRST_SLICE + NUM_SLICES)}
    for number, (name, pixels, labels) in enumerate(_pictures(truth)):
        scan, image, mask = by_name[name], f"pixels/{number}.png", f"drawn/{number}.png"
        save_picture(root / image, pixels)
        save_picture(root / mask, labels)
        rows.append((image, mask, scan.patient, scan.phase, scan.group))
    save_table(root / "cases.csv", ("image", "mask", "patient", "phase", "group"), rows)
    return {}


def write_volumes(root: Path) -> Rules:
    """Write cines and volumes without masks, of three patients."""
    rng = np.random.default_rng(1)
    for name, shape in (("p90/cine", (3, 12, 10, 4)), ("p91/deep/late", (2, 12, 10)), ("p92", (2, 12, 10))):
        save_nifti(root / f"{name}.nii.gz", rng.integers(0, 900, shape).astype(np.int16))
    return {}


def write_pictures(root: Path) -> Rules:
    """Write grey pictures without masks, of two patients."""
    for number, name in enumerate(("p90/1", "p90/2", "p90/10", "p91")):
        save_picture(root / f"{name}.png", _noise(number, (ROWS, COLUMNS)))
    return {}


def write_classes(root: Path) -> Rules:
    """Write coloured pictures in a folder for each class, one of them deeper."""
    for number, name in enumerate(("cat/a", "cat/b", "dog/a", "dog/more/b")):
        save_picture(root / f"{name}.png", _noise(number, (30, 40, 3)))
    return {}


def _noise(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 250, shape).astype(np.uint8)


def _pictures(truth: Sequence[Scan]) -> Iterable[tuple[str, np.ndarray, np.ndarray]]:
    """Each slice with its name, (row, column[, colour]) pixels and labels."""
    for scan in truth:
        for index, (channels, labels) in enumerate(zip(scan.images, scan.labels, strict=True), FIRST_SLICE):
            pixels = channels[0] if len(channels) == 1 else np.moveaxis(channels, 0, -1)
            yield f"{scan.case}_{index}", pixels, labels


def save_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a CSV."""
    path.write_text("".join(",".join(row) + "\n" for row in (columns, *rows)))


@dataclass(frozen=True)
class Layout:
    """One way in which a format is laid out: how it is written, and what it keeps of the truth."""

    format: str
    write: Callable[[Path, Sequence[Scan]], Rules]
    class_names: tuple[str, ...] = CLASS_NAMES
    num_channels: int = 1
    highest: int = 900
    has_groups: bool = False
    has_spacing: bool = True

    def truth(self) -> list[Scan]:
        """What the written set holds."""
        found = scans(self.num_channels, self.highest)
        return found if self.has_groups else [replace(scan, group="unknown") for scan in found]


NUMBERED = ("class 1", "class 2", "class 3")
HEART = ("right ventricle", "myocardium", "left ventricle")
LAYOUTS = {
    "acdc": Layout("acdc", write_acdc, HEART, has_groups=True),
    "nnunet": Layout("nnunet", write_nnunet),
    "nnunet-channels": Layout("nnunet", write_nnunet, num_channels=2),
    "nnunet-png": Layout("nnunet", write_nnunet_png, has_spacing=False),
    "decathlon": Layout("decathlon", write_decathlon),
    "decathlon-4d": Layout("decathlon", write_decathlon, num_channels=2),
    "folder": Layout("folder", write_folder, NUMBERED, has_spacing=False),
    "folder-rgb": Layout("folder", write_folder, NUMBERED, num_channels=3, highest=240, has_spacing=False),
    "side-by-side": Layout("folder", write_side_by_side, NUMBERED, has_spacing=False),
    "table": Layout("folder", write_table, NUMBERED, has_groups=True, has_spacing=False),
}


def write(name: str, root: Path) -> Rules:
    """Write the layout of this name, and return what its DataConfig needs beside the root."""
    layout = LAYOUTS[name]
    root.mkdir(parents=True, exist_ok=True)
    return layout.write(root, layout.truth())


@dataclass(frozen=True)
class Sample:
    """A small sample of a format, whatever its kind, and one of the images in it."""

    format: str
    write: Callable[[Path], Rules]
    image: str


SAMPLES = {
    "frames": Sample("acdc", partial(write, "acdc"), "patient003/patient003_frame04.nii.gz"),
    "cases": Sample("nnunet", partial(write, "nnunet"), "imagesTr/patient003_ED_0000.nii.gz"),
    "tasks": Sample("decathlon", partial(write, "decathlon"), "imagesTr/patient003_ED.nii.gz"),
    "plain": Sample("folder", partial(write, "folder"), "images/patient003_ED_9.png"),
    "classes": Sample("imagefolder", write_classes, "dog/more/b.png"),
    "cines": Sample("unlabelled", write_volumes, "p91/deep/late.nii.gz"),
    "pictures": Sample("unlabelled", write_pictures, "p90/10.png"),
}


@dataclass(frozen=True)
class Written:
    """A data set on disk, what it needs, and what it holds."""

    root: Path
    rules: dict[str, Any]
    layout: Any
    truth: list[Any]

    def config(self, **settings: Any) -> DataConfig:
        return DataConfig(**{"root": self.root, "image_size": 32} | self.rules | settings)


def read(config: DataConfig) -> Dataset:
    dataset = read_dataset(config)
    assert not dataset.problems, dataset.problems
    return dataset


def decoded(config: DataConfig, index: int = 0) -> Decoded:
    """The only piece of a volume."""
    dataset = read(config)
    (piece,) = decode_volume(dataset.volumes[index], dataset, config)
    return piece

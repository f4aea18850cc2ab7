"""Reader for ACDC as distributed: patient folders with ED/ES frames, masks and the full cine.

In: a folder of ``patientXXX`` folders. Out: patients with their labelled frames and unlabelled cines, and decoded
volumes as (slice, row, column) arrays. Source: Bernard et al., IEEE TMI 2018, doi 10.1109/TMI.2018.2837502, and the
files
themselves: end-diastole is not always frame 1 (Info.cfg tells), and the affine claims 1 mm voxels while the header's
``pixdim`` holds the true spacing. This is the home of nibabel.
"""

import gzip
import re
import zlib
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import numpy.typing as npt
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError

CLASS_NAMES = ("right ventricle", "myocardium", "left ventricle")

CLAIMED_AFFINE = np.diag([-1.0, -1.0, 1.0, 1.0])  # what ACDC's files say, whatever their spacing
MAX_VOXELS = 2**31
"""A header that claims more voxels than this is taken for damaged before any memory is asked for."""


class DataError(Exception):
    """Input data that cannot be used; the message says what was expected, found, where, and what to do."""


@dataclass(frozen=True)
class Frame:
    """A labelled time point of one patient."""

    phase: str  # ED | ES
    image: Path
    mask: Path


@dataclass(frozen=True)
class Patient:
    """One patient folder. ``number`` is the numeric part of its name, which the paper's split uses."""

    name: str
    number: int
    group: str
    frames: tuple[Frame, ...]
    cine: Path | None


def read_patients(root: Path) -> list[Patient]:
    """List the patients below ``root`` in order of name, checking that every file they need exists.

    Raises DataError for a missing folder, a folder without patients, a damaged Info.cfg or a missing image or mask.
    """
    if not root.is_dir():
        raise DataError(f"data folder {root} does not exist; expected a folder with patient001, patient002, ...")
    folders = sorted(path for path in root.iterdir() if _number(path.name) is not None and path.is_dir())
    if not folders:
        inside = ", ".join(sorted(path.name for path in root.iterdir())[:3]) or "nothing"
        raise DataError(f"{root} holds no ACDC patients: expected folders named patient001, ..., found {inside}")
    return [_read_patient(folder) for folder in folders]


def find_cines(root: Path) -> dict[str, list[Path]]:
    """Map patient name to the NIfTI cines below ``root`` (one subfolder per patient). Raises DataError if none."""
    if not root.is_dir():
        raise DataError(f"unlabelled folder {root} does not exist; expected patientXXX folders with 4D NIfTI files")
    cines = {path.name: sorted(path.glob("*.nii*")) for path in sorted(root.iterdir()) if _number(path.name)}
    cines = {name: [path for path in paths if "_gt" not in path.name] for name, paths in cines.items()}
    if not any(cines.values()):
        raise DataError(f"{root} holds no unlabelled cines: expected patientXXX folders with 4D NIfTI files")
    return cines


def _number(name: str) -> int | None:
    match = re.fullmatch(r"patient(\d+)", name)
    return int(match.group(1)) if match else None


def _read_patient(folder: Path) -> Patient:
    info = _read_info(folder / "Info.cfg")
    frames = []
    for phase in ("ED", "ES"):
        stem = f"{folder.name}_frame{_frame_number(info, phase, folder):02d}"
        frames.append(Frame(phase, _existing(folder, stem), _existing(folder, f"{stem}_gt")))
    cine = [path for path in _candidates(folder, f"{folder.name}_4d") if path.is_file()]
    number = _number(folder.name)
    assert number is not None
    return Patient(folder.name, number, info.get("Group", "unknown"), tuple(frames), cine[0] if cine else None)


def _read_info(path: Path) -> dict[str, str]:
    if not path.is_file():
        raise DataError(f"{path} is missing; expected ACDC's patient file with ED, ES and Group")
    lines = path.read_text(errors="replace").splitlines()
    pairs = (line.partition(":") for line in lines if ":" in line)
    return {key.strip(): value.strip() for key, _, value in pairs}


def _frame_number(info: dict[str, str], phase: str, folder: Path) -> int:
    value = info.get(phase, "")
    if not value.isdigit():
        raise DataError(f"{folder / 'Info.cfg'}: expected '{phase}: <frame number>', found '{phase}: {value}'")
    return int(value)


def _candidates(folder: Path, stem: str) -> list[Path]:
    return [folder / f"{stem}.nii.gz", folder / f"{stem}.nii"]


def _existing(folder: Path, stem: str) -> Path:
    found = [path for path in _candidates(folder, stem) if path.is_file()]
    if not found:
        kind = "mask" if stem.endswith("_gt") else "image"
        raise DataError(f"{kind} {folder / stem}.nii.gz is missing; Info.cfg names this frame")
    return found[0]


def decode(path: Path) -> tuple[npt.NDArray[np.float32], tuple[float, float]]:
    """Decode a 3D or 4D image to float32 slices and its in-plane spacing.

    Returns (slices, (row_mm, column_mm)); slices are (slice, row, column), a cine's frames one after another.
    Raises DataError for unreadable or truncated files, other dimensions, and values that are not finite.
    """
    array, spacing = _load(path)
    if not np.isfinite(array).all():
        raise DataError(f"{path} holds NaN or infinite values; expected finite intensities")
    slices = array.reshape(*array.shape[:2], -1)  # (column, row, slice * frame)
    return np.ascontiguousarray(slices.transpose(2, 1, 0), dtype=np.float32), (spacing[1], spacing[0])


def decode_pair(image: Path, mask: Path) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8], tuple[float, float]]:
    """Decode an image and its mask: (slices, labels, spacing), both (slice, row, column), labels 0 to 3.

    Raises DataError when their shapes differ, or a label is not one of 0, 1, 2, 3.
    """
    slices, spacing = decode(image)
    labels, _ = decode(mask)
    if labels.shape != slices.shape:
        raise DataError(
            f"{mask} has shape {_shape(labels)}, its image {image.name} has {_shape(slices)} "
            "(columns, rows, slices); expected equal shapes"
        )
    values = np.unique(labels)
    wrong = [float(value) for value in values if value not in range(len(CLASS_NAMES) + 1)]
    if wrong:
        raise DataError(f"{mask} holds label values {wrong[:5]}; expected only 0, 1, 2 and 3")
    return slices, labels.astype(np.uint8), spacing


def write_nifti(path: Path, array: npt.NDArray[np.generic], zooms: tuple[float, ...]) -> None:
    """Write NIfTI with ACDC's contradiction of affine and pixdim; equal arrays give equal bytes."""
    image = nibabel.Nifti1Image(array, CLAIMED_AFFINE)
    image.header.set_zooms(zooms)
    path.write_bytes(gzip.compress(image.to_bytes(), compresslevel=1, mtime=0))


def _load(path: Path) -> tuple[npt.NDArray[np.float32], tuple[float, ...]]:
    try:
        image = nibabel.load(path)
        shape = image.shape
        if len(shape) not in (3, 4) or 0 in shape or np.prod(shape, dtype=float) > MAX_VOXELS:
            raise DataError(f"{path} has shape {shape}; expected a 3D volume or a 4D cine below {MAX_VOXELS} voxels")
        spacing = tuple(float(zoom) for zoom in image.header.get_zooms())
        array = np.asarray(image.dataobj, dtype=np.float32)
    except (OSError, EOFError, zlib.error, ValueError, ImageFileError, HeaderDataError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{path} cannot be read as NIfTI ({reason}); is it truncated? Copy it again") from error
    if min(spacing[:2]) <= 0:
        raise DataError(f"{path} has pixel spacing {spacing[:2]} in its header (pixdim); expected millimetres above 0")
    return array, spacing


def _shape(slices: npt.NDArray[np.generic]) -> tuple[int, int, int]:
    num_slices, rows, columns = slices.shape
    return columns, rows, num_slices

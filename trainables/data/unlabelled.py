"""Unlabelled images from another folder, and which of them may be pretrained on.

In: a folder of NIfTI volumes or cines, or of pictures. Out: volumes with a patient each: the subfolder they lie in, or
what ``data.patient_pattern`` finds in their names. No patient of validation or test enters: known ones are told by
their id, unknown ones by the fingerprints of their slices.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from trainables.config import DataConfig
from trainables.data.cases import MASK_ENDING, RASTER_SUFFIXES, files_below, is_image, stem
from trainables.data.dataset import DataError, Dataset, Piece, Problem, Volume, in_order, listed, natural_order

IMAGE_FOLDER = r"(images?(Tr|Ts)?|imgs?)"  # such a folder is no patient
MASK_FOLDER = r"(labels(Tr|Ts)?|masks?|annotations|segmentations)"


def read_unlabelled(root: Path, num_channels: int, config: DataConfig) -> tuple[Volume, ...]:
    """List the volumes below a folder. Raises DataError if it holds no image."""
    if not root.is_dir():
        raise DataError(Problem(str(root), "no folder", "unlabelled images", "correct data.unlabelled_root"))
    files = [path for path in files_below(root) if is_image(path) and not path.is_dir() and not _is_mask(path, root)]
    if not files:
        expected = "NIfTI volumes or cines, PNG or TIF pictures, in folders named by patient"
        raise DataError(Problem(str(root), "no image", expected, "correct data.unlabelled_root"))
    volumes: dict[tuple[str, str], Volume] = {}
    for name, piece in _pieces(sorted(files, key=lambda each: natural_order(str(each))), root, num_channels):
        patient = _patient(name, config)
        is_slice = piece.images[0].name.lower().endswith(RASTER_SUFFIXES)
        key = (patient, "" if is_slice else name)
        before = volumes[key].pieces if key in volumes else ()
        volumes[key] = Volume(name, patient, "unlabelled", "", (*before, piece))
    kept = (v for v in volumes.values() if v.patient not in config.exclude and v.name not in config.exclude)
    return in_order(kept)


def _is_mask(path: Path, root: Path) -> bool:
    folders = path.relative_to(root).parts[:-1]
    return bool(re.search(MASK_ENDING, stem(path), re.IGNORECASE)) or any(
        re.fullmatch(MASK_FOLDER, folder, re.IGNORECASE) for folder in folders
    )


def _pieces(files: Iterable[Path], root: Path, num_channels: int) -> list[tuple[str, Piece]]:
    """Images by name; files that nnU-Net's channel numbers tell to be one image's are one."""
    alike: dict[str, list[Path]] = {}
    for path in files:
        alike.setdefault(re.sub(r"_\d{4}$", "", _name(path, root)), []).append(path)
    pieces: list[tuple[str, Piece]] = []
    for name, paths in alike.items():
        numbers = [stem(path)[-5:] for path in paths]
        if numbers in (["_0000"], [f"_{channel:04d}" for channel in range(num_channels)]):
            pieces.append((name, Piece(tuple(paths))))
        else:
            pieces += [(_name(path, root), Piece((path,))) for path in paths]
    return pieces


def _name(path: Path, root: Path) -> str:
    return path.relative_to(root).with_name(stem(path)).as_posix()


def _patient(name: str, config: DataConfig) -> str:
    *folders, last = name.split("/")
    folders = [folder for folder in folders if not re.fullmatch(IMAGE_FOLDER, folder, re.IGNORECASE)]
    if folders:
        return folders[0]
    match = re.match(config.patient_pattern, last) if config.patient_pattern else None
    if match and match.re.groups:
        return match.groupdict().get("patient") or match.group(1)
    return last


def pool_volumes(dataset: Dataset, parts: Mapping[str, str], config: DataConfig) -> tuple[list[Volume], list[str]]:
    """Unlabelled volumes of patients that are neither in validation nor test, and what to say about the others."""
    elsewhere: tuple[Volume, ...] = ()
    if config.unlabelled_root is not None:
        elsewhere = read_unlabelled(config.unlabelled_root, dataset.num_channels, config)
    own = {path.resolve() for volume in (*dataset.volumes, *dataset.unlabelled) for path in volume.images}
    elsewhere = tuple(volume for volume in elsewhere if own.isdisjoint(path.resolve() for path in volume.images))
    everyone = {volume.patient for volume in dataset.volumes}
    unassigned = everyone - parts.keys()
    held_out = unassigned | {patient for patient, part in parts.items() if part != "train"}
    kept = [volume for volume in (*dataset.unlabelled, *elsewhere) if volume.patient not in held_out]
    warnings = []
    if unassigned:
        warnings.append(f"{len(unassigned)} patients are in no part of {config.split_file} and left out")
    if unknown := {volume.patient for volume in elsewhere} - everyone:
        warnings.append(
            f"{len(unknown)} patients of {config.unlabelled_root} ({listed(sorted(unknown))}) are not among the "
            f"labelled ones: they are pretrained on unless a slice of theirs equals one of validation or test"
        )
    return kept, warnings


def leaking_patients(fingerprints: Mapping[str, Collection[int]], held_out: Mapping[int, str]) -> dict[str, str]:
    """Name the patients that share a slice with a patient of validation or test, and that patient.

    ``fingerprints``: of each unlabelled patient; ``held_out``: the patient of each slice of validation and test.
    """
    found = {}
    for patient, marks in fingerprints.items():
        shared = sorted({held_out[mark] for mark in marks if mark in held_out})
        if shared:
            found[patient] = shared[0]
    return found

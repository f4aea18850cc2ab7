"""Unlabelled images: NIfTI volumes, cines or pictures below a folder, and nothing that is a mask.

In: a folder, and the labelled patients where they are known. Out: volumes with a patient each: the one that the table
of cases names, a labelled one that the pattern, a folder or the file's name tells (``patient_names.py``), else what
``data.patient_pattern`` finds, or the folder. Which of them may be pretrained on is for ``pool.py`` to say.
"""

import re
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Literal

from trainables.config import DataConfig
from trainables.data import raster
from trainables.data.cases import RASTER_SUFFIXES, Exclusion, files_below, is_image, read_table, stem
from trainables.data.dataset import DataError, Dataset, Piece, Problem, Volume, in_order, natural_order
from trainables.data.mask_names import IMAGE_FOLDER, is_mask, speaks_of_masks
from trainables.data.patient_names import KnownPatients

KIND: Literal["unlabelled"] = "unlabelled"
LAYOUT = "NIfTI volumes or cines, PNG or TIF pictures, in folders or under names that tell the patient; no masks"


def is_at(root: Path) -> bool:
    """Images, and nothing that speaks of masks."""
    images = (path for path in files_below(root, must_see_all=False) if is_image(path) and not path.is_dir())
    return any(images) and not speaks_of_masks(root)


def read(root: Path, config: DataConfig) -> Dataset:
    """List the volumes of a folder that is looked at alone: no patient is known, nor how many files an image has.

    Each is an image of its own, with as many channels as the first. Raises DataError if there is none.
    """
    problems: list[Problem] = []
    exclusion = Exclusion(config.exclude)
    volumes = read_volumes(root, 1, config, (), exclusion, problems)
    return Dataset(
        format="unlabelled",
        root=root,
        class_names=(),
        label_values=(0,),
        channel_names=raster.channel_names(path for volume in volumes for path in volume.images),
        volumes=(),
        unlabelled=volumes,
        problems=tuple(problems),
        excluded=tuple(sorted(exclusion.found)),
    )


def read_volumes(
    root: Path,
    num_channels: int,
    config: DataConfig,
    patients: Collection[str],
    exclusion: Exclusion,
    problems: list[Problem],
) -> tuple[Volume, ...]:
    """List the volumes of which it is clear whose they are; ``patients`` are the labelled ones.

    Raises DataError if the folder holds no image; names that tell two patients are problems.
    """
    if not root.is_dir():
        raise DataError(Problem(str(root), "no folder", "unlabelled images", "correct data.unlabelled_root"))
    files = [path for path in files_below(root) if is_image(path) and not path.is_dir() and not is_mask(path, root)]
    if not files:
        expected = "NIfTI volumes or cines, PNG or TIF pictures, in folders named by patient"
        raise DataError(Problem(str(root), "no image", expected, "correct data.unlabelled_root"))
    known, tabled = _known_patients(patients, config), _tabled_patients(config)
    in_doubt: dict[tuple[str, ...], list[Path]] = {}
    volumes: dict[tuple[str, str], Volume] = {}
    for name, piece in _pieces(sorted(files, key=lambda each: natural_order(str(each))), root, num_channels):
        folder, _, last = name.rpartition("/")
        found = tabled.get(name) or tabled.get(last)
        patient, *others = (found,) if found else _patients(name, config, known)
        of_file = (name,) if last.isdecimal() else (name, last)  # a number may be a slice's
        is_excluded = [each in exclusion for each in (*of_file, patient, *others)]  # all are looked up: found
        if any(is_excluded):
            continue
        if others:
            in_doubt.setdefault((patient, *others), []).append(piece.images[0])
            continue
        key = (patient, f"{folder}/" if piece.images[0].name.lower().endswith(RASTER_SUFFIXES) else name)
        before = volumes[key].pieces if key in volumes else ()
        first = volumes[key].name if key in volumes else name
        volumes[key] = Volume(first, patient, "unlabelled", "", (*before, piece))
    problems += [_in_doubt(names, paths) for names, paths in in_doubt.items()]
    return in_order(volumes.values())


def _known_patients(patients: Collection[str], config: DataConfig) -> KnownPatients:
    """Labelled patients, and names to exclude: those with letters and a number are looked for within names, too."""
    telling = {name for name in config.exclude if re.search(r"\d", name) and re.search(r"[^\W\d_]", name)}
    telling = {name for name in telling if "/" not in name}
    return KnownPatients({*patients, *telling}, config.exclude)


def _in_doubt(patients: tuple[str, ...], paths: list[Path]) -> Problem:
    others = f" (so in {len(paths)} files)" if len(paths) > 1 else ""
    found = f"a name that tells {len(patients)} patients, {' and '.join(patients)}{others}"
    expected = "one patient: images of validation and test patients are not pretrained on"
    remedy = "set data.patient_pattern so that its group is the patient, name it in cases.csv, or rename the file"
    return Problem(str(paths[0]), found, expected, remedy)


def _tabled_patients(config: DataConfig) -> dict[str, str]:
    """Patients by the name of a case or image, as the table of cases has them."""
    table = read_table(config, config.root, ()) if config.root else None
    _, rows = table or (None, {})
    images = ((Path(row.get("image", "")), row) for row in rows.values())
    return {row.get("case") or (image.parent / stem(image)).as_posix(): row.get("patient", "") for image, row in images}


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


def _patients(name: str, config: DataConfig, known: KnownPatients) -> list[str]:
    """Whose image it is: a known patient if anything tells one, else what the pattern finds, or the folder it lies in.

    Several where a name tells several known ones and the pattern finds nobody. A folder counts by its whole path, so
    that ``sub-01/anat`` and ``sub-02/anat`` are two patients.
    """
    *folders, last = name.split("/")
    of_file, of_path = (_matched(config.patient_pattern, text) for text in (last, name))
    matched = [match[0] for match in (of_file, of_path) if match]
    told = next(filter(None, map(known.named, matched)), None)
    told = told or known.told_by(name, name.count("/", 0, of_path[1]) + 1 if of_path else 0)
    if len(told) > 1 and matched:
        told = next(filter(None, map(known.told_by, matched)), {matched[0]})
    if told:
        return sorted(told, key=natural_order)
    is_own = not folders or re.fullmatch(IMAGE_FOLDER, folders[-1], re.IGNORECASE)
    return matched[:1] or [last if is_own else "/".join(folders)]


def _matched(pattern: str | None, text: str) -> tuple[str, int] | None:
    """What the pattern's group finds, and where that ends."""
    match = re.match(pattern, text) if pattern else None
    if not match or not match.re.groups:
        return None
    group = "patient" if match.groupdict().get("patient") else 1
    return (match[group], match.end(group)) if match[group] else None

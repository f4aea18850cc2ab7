"""Unlabelled images from another folder, and which of them may be pretrained on.

In: a folder of NIfTI volumes or cines, or of pictures. Out: volumes with a patient each: the one that the table of
cases names, a labelled one that the pattern, a folder or the file's name tells (``patient_names.py``), else what
``data.patient_pattern`` finds, or the folder. No patient of validation or test enters: known ones are told by their id,
unknown ones by the fingerprints of their slices. Masks do not enter either.
"""

import difflib
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from trainables.config import DataConfig
from trainables.data.cases import (
    MASK_ENDING,
    MASK_FOLDERS,
    RASTER_SUFFIXES,
    Exclusion,
    files_below,
    is_image,
    read_table,
    stem,
)
from trainables.data.dataset import DataError, Dataset, Piece, Problem, Volume, in_order, listed, natural_order
from trainables.data.patient_names import KnownPatients

IMAGE_FOLDER = r"(images?(Tr|Ts)?|imgs?)"  # such a folder is no patient


def read_unlabelled(
    root: Path,
    num_channels: int,
    config: DataConfig,
    patients: Collection[str] = (),
    exclusion: Exclusion | None = None,
) -> tuple[Volume, ...]:
    """List the volumes below a folder; ``patients`` are the labelled ones.

    Raises DataError if it holds no image, and for names that tell two patients.
    """
    problems: list[Problem] = []
    volumes = _read(root, num_channels, config, patients, exclusion or Exclusion(config.exclude), problems)
    if problems:
        raise DataError(*problems)
    return volumes


def _read(
    root: Path,
    num_channels: int,
    config: DataConfig,
    patients: Collection[str],
    exclusion: Exclusion,
    problems: list[Problem],
) -> tuple[Volume, ...]:
    """List the volumes of which it is clear whose they are; raises DataError where nothing can be listed."""
    if not root.is_dir():
        raise DataError(Problem(str(root), "no folder", "unlabelled images", "correct data.unlabelled_root"))
    files = [path for path in files_below(root) if is_image(path) and not path.is_dir() and not _is_mask(path, root)]
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
    _, rows = table or (None, [])
    images = ((Path(row.get("image", "")), row) for row in rows)
    return {row.get("case") or (image.parent / stem(image)).as_posix(): row.get("patient", "") for image, row in images}


def _is_mask(path: Path, root: Path) -> bool:
    folders = path.relative_to(root).parts[:-1]
    is_named_so = re.search(MASK_ENDING, stem(path), re.IGNORECASE) is not None
    return is_named_so or any(folder.lower() in MASK_FOLDERS for folder in folders)


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


def pool_volumes(dataset: Dataset, parts: Mapping[str, str], config: DataConfig) -> tuple[list[Volume], list[str]]:
    """Unlabelled volumes of patients that are neither in validation nor test, and what to say about the others.

    Raises DataError for unlabelled images that cannot be listed or that two patients could have, and for a name in
    ``data.exclude`` that nothing has.
    """
    elsewhere, problems = find_unlabelled(dataset, config)
    if problems:
        raise DataError(*problems)
    return admitted(dataset, elsewhere, parts, config)


def find_unlabelled(dataset: Dataset, config: DataConfig) -> tuple[tuple[Volume, ...], list[Problem]]:
    """Volumes of ``data.unlabelled_root``, whosever they are, and everything that is wrong with it and ``exclude``."""
    everyone = {volume.patient for volume in dataset.volumes}
    exclusion = Exclusion(config.exclude, set(dataset.excluded))
    elsewhere: tuple[Volume, ...] = ()
    problems: list[Problem] = []
    if config.unlabelled_root is not None:
        try:
            elsewhere = _read(config.unlabelled_root, dataset.num_channels, config, everyone, exclusion, problems)
        except DataError as error:
            return (), list(error.problems)
    if dataset.volumes:  # else names to exclude may be of what could not be listed
        problems += _unmatched(exclusion, (*dataset.volumes, *dataset.unlabelled, *elsewhere), dataset.root)
    return _without_labelled(elsewhere, dataset), problems


def admitted(
    dataset: Dataset, elsewhere: Iterable[Volume], parts: Mapping[str, str], config: DataConfig
) -> tuple[list[Volume], list[str]]:
    """Leave out whatever is of a patient of validation or test, or of a labelled one in no part; and say so."""
    everyone = {volume.patient for volume in dataset.volumes}
    unassigned = everyone - parts.keys()
    held_out = unassigned | {patient for patient, part in parts.items() if part != "train"}
    kept = [volume for volume in (*dataset.unlabelled, *elsewhere) if volume.patient not in held_out]
    warnings = []
    if unassigned:
        warnings.append(f"{len(unassigned)} patients are in no part of {config.split_file} and left out")
    respelled = {each.name: each.patient for each in elsewhere if each.patient in held_out - {*each.name.split("/")}}
    if respelled:
        pairs = listed(f"{name} = {patient}" for name, patient in respelled.items())
        warnings.append(
            f"{len(respelled)} unlabelled volumes ({pairs}) are of patients of validation or test: left out"
        )
    if unknown := {volume.patient for volume in elsewhere} - everyone:
        warnings.append(
            f"{len(unknown)} patients of {config.unlabelled_root} ({listed(sorted(unknown))}) are not among the "
            f"labelled ones: they are pretrained on unless a slice of theirs equals one of validation or test"
        )
    return kept, warnings


def _without_labelled(elsewhere: Iterable[Volume], dataset: Dataset) -> tuple[Volume, ...]:
    """Leave out masks of labelled cases, and volumes with an image that the data set has already."""
    masks = {piece.mask.resolve() for volume in dataset.volumes for piece in volume.pieces if piece.mask}
    own = {path.resolve() for volume in (*dataset.volumes, *dataset.unlabelled) for path in volume.images}
    kept = []
    for volume in elsewhere:
        pieces = tuple(piece for piece in volume.pieces if masks.isdisjoint(path.resolve() for path in piece.images))
        if pieces and own.isdisjoint(path.resolve() for piece in pieces for path in piece.images):
            kept.append(replace(volume, pieces=pieces))
    return tuple(kept)


def _unmatched(exclusion: Exclusion, volumes: Iterable[Volume], root: Path) -> list[Problem]:
    """Return a problem for each name that is to be left out and that nothing has, with the nearest that there is."""
    volumes = tuple(volumes)
    unmatched = [name for name in exclusion.names if name not in exclusion.found]
    names = {name for each in volumes for name in (*each.cases, each.name, each.patient)} if unmatched else set()
    problems = []
    for name in unmatched:
        nearest = difflib.get_close_matches(name, sorted(names, key=natural_order), 1, 0.5)
        example = f", such as {(nearest or sorted(names))[0]}" if names else ""
        found = f"data.exclude with '{name}', which nothing is called"
        expected = f"the name of a case, patient or unlabelled volume{example}"
        problems.append(Problem(str(root), found, expected, "correct the name, or take it out of data.exclude"))
    return problems


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

"""The unlabelled pool: which images without masks may be pretrained on.

In: a Dataset, its split, and the volumes that ``readers/unlabelled.py`` lists. Out: those of the pool. No patient of
validation or test enters: known ones are told by their id, unknown ones by the fingerprints of their slices. Masks do
not enter either.
"""

import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from trainables.config import DataConfig
from trainables.data.cases import Exclusion
from trainables.data.dataset import DataError, Dataset, Problem, Volume, listed, natural_order
from trainables.data.readers import unlabelled


def find_unlabelled(dataset: Dataset, config: DataConfig) -> tuple[tuple[Volume, ...], list[Problem]]:
    """Volumes of ``data.unlabelled_root``, whosever they are, and everything that is wrong with it and ``exclude``."""
    everyone = {volume.patient for volume in dataset.volumes}
    exclusion = Exclusion(config.exclude, set(dataset.excluded))
    elsewhere: tuple[Volume, ...] = ()
    problems: list[Problem] = []
    if config.unlabelled_root is not None:
        try:
            num_channels, root = dataset.num_channels, config.unlabelled_root
            elsewhere = unlabelled.read_volumes(root, num_channels, config, everyone, exclusion, problems)
        except DataError as error:
            return (), list(error.problems)
    if dataset.volumes or dataset.format == "unlabelled":  # else names to exclude may be of what could not be listed
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


def _without_labelled(elsewhere: Sequence[Volume], dataset: Dataset) -> tuple[Volume, ...]:
    """Leave out masks of labelled cases, and volumes with an image that the data set has already."""
    if not elsewhere:
        return ()
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

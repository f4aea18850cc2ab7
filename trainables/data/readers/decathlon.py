"""The Medical Segmentation Decathlon: ``dataset.json`` lists image and label of each training case.

In: a TaskXX_Name folder. Out: a Dataset. Several modalities are the last axis of a 4D image. Source: Antonelli et al.,
Nature Communications 2022, doi 10.1038/s41467-022-30695-9, and medicaldecathlon.com.
"""

from pathlib import Path
from typing import Any, Literal

from trainables.config import DataConfig
from trainables.data.cases import Exclusion, FoundCase, is_image, stem, to_volumes
from trainables.data.dataset import Dataset, Piece, Problem, natural_order
from trainables.data.readers import descriptor

KIND: Literal["labelled"] = "labelled"
LAYOUT = "dataset.json with modality, labels and training: [{image, label}, ...]; imagesTr; labelsTr"


def is_at(root: Path) -> bool:
    """A dataset.json with a list of training cases."""
    return isinstance(descriptor.peek(root).get("training"), list)


def read(root: Path, config: DataConfig) -> Dataset:
    """List the training cases."""
    problems: list[Problem] = []
    exclusion = Exclusion(config.exclude)
    content = descriptor.load(root)
    modality = descriptor.section(root, content, "modality", dict, problems)
    names, values = descriptor.labels(root, _by_name(root, content, problems), problems)
    entries = descriptor.section(root, content, "training", list, problems)
    cases = [case for entry in entries if (case := _case(root, entry, exclusion, problems))]
    if entries:
        descriptor.check_count(root, content, len(entries), problems)
        _check_listed(root, entries, exclusion, problems)
    return Dataset(
        format="decathlon",
        root=root,
        class_names=names,
        label_values=values,
        channel_names=tuple(str(modality[key]) for key in sorted(modality, key=natural_order)) or ("image",),
        volumes=to_volumes(_without_repeats(cases, problems), config, exclusion, root, problems),
        problems=tuple(problems),
        excluded=tuple(sorted(exclusion.found)),
        excluded_cases=frozenset(exclusion.cases),
        last_axis="channel" if len(modality) > 1 else "time",
    )


def _by_name(root: Path, content: dict[str, Any], problems: list[Problem]) -> dict[str, Any]:
    """Labels as name -> value; this dialect writes them the other way round."""
    found: dict[str, Any] = {}
    for key, name in descriptor.section(root, content, "labels", dict, problems).items():
        text = str(name)
        found[text if text not in found else f"{text} ({key})"] = int(key) if str(key).isdecimal() else key
    return found


def _case(root: Path, entry: Any, exclusion: Exclusion, problems: list[Problem]) -> FoundCase | None:
    where = str(root / descriptor.FILE)
    if not isinstance(entry, dict) or not all(isinstance(entry.get(key), str) for key in ("image", "label")):
        expected = "{image: ./imagesTr/NAME.nii.gz, label: ./labelsTr/NAME.nii.gz}"
        problems.append(Problem(where, f"training case {entry!r}", expected, "correct the entry"))
        return None
    paths = {key: root / entry[key] for key in ("image", "label")}
    for key, path in paths.items() if stem(paths["image"]) not in exclusion else ():
        if not path.is_file():
            remedy = "copy it, or remove the entry"
            if (path.parent / f"{stem(path)}_0000.nii.gz").is_file():
                remedy = "this is nnU-Net v1's form: convert it with nnUNetv2_convert_old_nnUNet_dataset"
            found = f"no {key}, though dataset.json lists it"
            problems.append(Problem(str(path), found, "the file", remedy))
    if not all(path.is_file() for path in paths.values()):
        return None
    return FoundCase(stem(paths["image"]), Piece((paths["image"],), paths["label"]))


def _check_listed(root: Path, entries: list[Any], exclusion: Exclusion, problems: list[Problem]) -> None:
    """Name images and masks that no entry lists, where all entries are such; a mask only where its image is listed."""
    if not all(isinstance(entry, dict) and {"image", "label"} <= entry.keys() for entry in entries):
        return
    listed = {root / str(entry[key]) for entry in entries for key in ("image", "label")}
    images, masks = (_unlisted(root / folder, listed, exclusion) for folder in ("imagesTr", "labelsTr"))
    for path in images:
        found, expected = "an image that dataset.json does not list", "an entry under 'training'"
        problems.append(Problem(str(path), found, expected, "add the entry, or move the image to imagesTs"))
    for path in (path for path in masks if stem(path) not in map(stem, images)):
        found, expected = "a mask that dataset.json does not list", "an entry under 'training', with its image"
        problems.append(Problem(str(path), found, expected, "add image and entry, or remove the mask"))


def _unlisted(folder: Path, listed: set[Path], exclusion: Exclusion) -> list[Path]:
    """Files of a folder that no entry names; those in nnU-Net v1's form have been told of by what is listed."""
    files = sorted(path for path in folder.iterdir() if is_image(path)) if folder.is_dir() else []
    named = {path: path.with_name(path.name.replace("_0000.", ".")) for path in files if path not in listed}
    return [path for path, plain in named.items() if plain not in listed and stem(path) not in exclusion]


def _without_repeats(cases: list[FoundCase], problems: list[Problem]) -> list[FoundCase]:
    kept: dict[str, FoundCase] = {}
    for case in cases:
        if case.name in kept:
            where, found = str(case.piece.images[0]), f"case {case.name} twice in dataset.json"
            problems.append(Problem(where, found, "each case once", "remove the second entry"))
        kept.setdefault(case.name, case)
    return list(kept.values())

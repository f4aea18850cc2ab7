"""The Medical Segmentation Decathlon: ``dataset.json`` lists image and label of each training case.

In: a TaskXX_Name folder. Out: a Dataset. Several modalities are the last axis of a 4D image. Source: Antonelli et al.,
Nature Communications 2022, doi 10.1038/s41467-022-30695-9, and medicaldecathlon.com.
"""

from pathlib import Path
from typing import Any

from trainables.config import DataConfig
from trainables.data.cases import Exclusion, FoundCase, is_image, stem, to_volumes
from trainables.data.dataset import Dataset, Piece, Problem, natural_order
from trainables.data.readers import descriptor

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
        _check_listed(root, cases, len(entries), problems)
    return Dataset(
        format="decathlon",
        root=root,
        class_names=names,
        label_values=values,
        channel_names=tuple(str(modality[key]) for key in sorted(modality, key=natural_order)) or ("image",),
        volumes=to_volumes(_without_repeats(cases, problems), config, exclusion, root, problems),
        problems=tuple(problems),
        excluded=tuple(sorted(exclusion.found)),
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


def _check_listed(root: Path, cases: list[FoundCase], num_entries: int, problems: list[Problem]) -> None:
    """Name images of imagesTr that no entry lists, where all entries could be read."""
    listed_images = {path for case in cases for path in case.piece.images}
    folder = root / "imagesTr"
    if len(cases) < num_entries or not folder.is_dir():
        return
    for path in sorted(path for path in folder.iterdir() if is_image(path) and path not in listed_images):
        found, expected = "an image that dataset.json does not list", "an entry under 'training'"
        problems.append(Problem(str(path), found, expected, "add the entry, or move the image to imagesTs"))


def _without_repeats(cases: list[FoundCase], problems: list[Problem]) -> list[FoundCase]:
    kept: dict[str, FoundCase] = {}
    for case in cases:
        if case.name in kept:
            where, found = str(case.piece.images[0]), f"case {case.name} twice in dataset.json"
            problems.append(Problem(where, found, "each case once", "remove the second entry"))
        kept.setdefault(case.name, case)
    return list(kept.values())

"""nnU-Net v2 raw datasets: ``dataset.json``, ``imagesTr/CASE_0000.ext`` for each channel, ``labelsTr/CASE.ext``.

In: a DatasetXXX_Name folder. Out: a Dataset. NIfTI, and PNG, TIF or BMP for 2D. Source: nnU-Net's
documentation/dataset_format.md (v2). Regions of several labels and the ignore label are refused: nothing here
trains on them as nnU-Net would.
"""

import re
from pathlib import Path
from typing import Any, Literal

from trainables.config import DataConfig
from trainables.data.cases import SUFFIXES, Exclusion, FoundCase, is_image, stem, to_volumes
from trainables.data.dataset import Dataset, Piece, Problem, listed, natural_order
from trainables.data.readers import descriptor

KIND: Literal["labelled"] = "labelled"
LAYOUT = "dataset.json with channel_names, labels and file_ending; imagesTr/CASE_0000.nii.gz; labelsTr/CASE.nii.gz"


def is_at(root: Path) -> bool:
    """A dataset.json of this dialect, or the folders and channel suffixes of one."""
    if (root / descriptor.FILE).is_file() and "training" in descriptor.peek(root):
        return False
    images = root / "imagesTr"
    return images.is_dir() and ((root / descriptor.FILE).is_file() or any(images.glob("*_0000.*")))


def read(root: Path, config: DataConfig) -> Dataset:
    """List the cases of imagesTr and labelsTr."""
    problems: list[Problem] = []
    content = descriptor.load(root)
    channels = descriptor.section(root, content, "channel_names", dict, problems)
    names, values = descriptor.labels(root, descriptor.section(root, content, "labels", dict, problems), problems)
    ending = descriptor.section(root, content, "file_ending", str, problems)
    if ending and ending.lower() not in SUFFIXES:
        remedy = "convert the files"
        problems.append(
            Problem(str(root / descriptor.FILE), f"file_ending {ending}", f"one of {', '.join(SUFFIXES)}", remedy)
        )
    exclusion = Exclusion(config.exclude)
    images, (masks, stray) = _images(root, ending, problems), _masks(root, ending, exclusion, problems)
    if images:
        descriptor.check_count(root, content, len(images), problems)
    images = {name: paths for name, paths in images.items() if name not in exclusion}
    masks = {name: path for name, path in masks.items() if name not in exclusion}
    cases = _cases(root, images, masks, stray, ending, problems) if images and masks else []
    channel_names = _channel_names(root, channels, problems)
    if channel_names:
        cases = [case for case in cases if _has_channels(case, len(channel_names), problems)]
    return Dataset(
        format="nnunet",
        root=root,
        class_names=names,
        label_values=values,
        channel_names=channel_names,
        volumes=to_volumes(cases, config, exclusion, root, problems),
        problems=tuple(problems),
        excluded=tuple(sorted(exclusion.found)),
        excluded_cases=frozenset(exclusion.cases),
    )


def _channel_names(root: Path, channels: dict[str, Any], problems: list[Problem]) -> tuple[str, ...]:
    """Channel names in order of their number."""
    wanted = [str(index) for index in range(len(channels))]
    if sorted(channels, key=natural_order) != wanted:
        where, found = str(root / descriptor.FILE), f"channel_names with the keys {listed(channels)}"
        problems.append(Problem(where, found, f"keys 0 to {len(channels) - 1}", "number the channels from 0"))
        return tuple(str(name) for name in channels.values())
    return tuple(str(channels[index]) for index in wanted)


def _images(root: Path, ending: str, problems: list[Problem]) -> dict[str, dict[int, Path]]:
    """Files of imagesTr by case and channel."""
    folder = root / "imagesTr"
    if not folder.is_dir():
        problems.append(Problem(str(folder), "no folder", "imagesTr with the training images", "copy it again"))
        return {}
    cases: dict[str, dict[int, Path]] = {}
    paths = sorted((path for path in folder.iterdir() if is_image(path)), key=lambda each: natural_order(each.name))
    if not _has_ending(root, paths, ending, problems):
        return {}
    for path in paths:
        match = re.fullmatch(r"(.+)_(\d{4})", path.name.removesuffix(ending)) if path.name.endswith(ending) else None
        if match:
            cases.setdefault(match.group(1), {})[int(match.group(2))] = path
        else:
            expected = f"CASE_0000{ending}, as file_ending says"
            remedy = "rename it, correct file_ending, or move it out of imagesTr"
            problems.append(Problem(str(path), "an image of another name", expected, remedy))
    return cases


def _has_ending(root: Path, paths: list[Path], ending: str, problems: list[Problem]) -> bool:
    """One problem instead of one for each image where file_ending fits none of them."""
    if not ending or any(path.name.endswith(ending) for path in paths):
        return bool(ending)
    found = f"file_ending {ending}, which no image of imagesTr has ({listed(path.name for path in paths)})"
    problems.append(Problem(str(root / descriptor.FILE), found, "the ending of the images", "correct file_ending"))
    return False


def _masks(root: Path, ending: str, exclusion: Exclusion, problems: list[Problem]) -> tuple[dict[str, Path], set[str]]:
    """Masks by case, and the cases that have one of another ending."""
    folder = root / "labelsTr"
    if not folder.is_dir():
        problems.append(Problem(str(folder), "no folder", "labelsTr with the masks", "copy it again"))
        return {}, set()
    paths = sorted(path for path in folder.iterdir() if is_image(path))
    masks = {path.name.removesuffix(ending): path for path in paths if path.name.endswith(ending)}
    others = [path for path in paths if not path.name.endswith(ending) and stem(path) not in exclusion]
    for path in others if masks else ():  # where no mask has the ending, each image lacks its own
        expected = f"{stem(path)}{ending}, as file_ending says"
        also = f" (also {masks[stem(path)].name})" if stem(path) in masks else ""
        remedy = "remove one of them" if also else "convert the mask, or correct file_ending"
        problems.append(Problem(str(path), f"a mask of another ending{also}", expected, remedy))
    return masks, {stem(path) for path in others} if masks else set()


def _cases(
    root: Path,
    images: dict[str, dict[int, Path]],
    masks: dict[str, Path],
    stray: set[str],  # cases whose mask has another ending, of which a problem tells
    ending: str,
    problems: list[Problem],
) -> list[FoundCase]:
    cases = []
    for name, channels in images.items():
        if name not in masks:
            if name in stray:
                continue
            where = str(root / "labelsTr" / f"{name}{ending}")
            remedy = "copy it, or move the image to imagesTs"
            problems.append(Problem(where, "an image without a mask", "the mask of the image", remedy))
            continue
        paths = tuple(channels[number] for number in sorted(channels))
        cases.append(FoundCase(name, Piece(paths, masks[name])))
    for name in sorted(masks.keys() - images.keys(), key=natural_order):
        where, expected = str(masks[name]), f"imagesTr/{name}_0000{ending}"
        problems.append(Problem(where, "a mask without an image", expected, "copy the image, or remove the mask"))
    return cases


def _has_channels(case: FoundCase, number: int, problems: list[Problem]) -> bool:
    """A file for each channel; a picture may hold all its colours in one."""
    found = [int(re.findall(r"_(\d{4})\.", path.name)[-1]) for path in case.piece.images]
    if found == list(range(len(found))) and len(found) in (number, 1):
        return True
    where, have = str(case.piece.images[0]), f"channels {listed(found, 9)} of case {case.name}"
    remedy = "copy the missing files" if len(found) <= number else "remove files, or name their channels"
    problems.append(Problem(where, have, f"0 to {number - 1}, as channel_names says", remedy))
    return False

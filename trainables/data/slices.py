"""The decoded store: every volume decoded once per node, then shared by all processes as memory-mapped arrays.

In: a DataConfig. Out: a SliceStore with normalised square slices, masks and an index. Each volume (a cine counts as
one) is scaled so that its 0.5th and 99.5th percentile become 0 and 1, resampled in the plane to ``spacing_mm`` if
given, cropped or padded about its centre to a square, and stored as float16. No statistic crosses volumes, so none
leaks between patients.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from trainables.config import RECIPE_VERSION, DataConfig, content_hash
from trainables.data import acdc
from trainables.data.acdc import DataError, Patient
from trainables.data.cache import built_once, cache_root
from trainables.data.phantom import write_phantom
from trainables.data.splits import split_patients

STORE_VERSION = 2  # of the files in a store's folder: another version is decoded anew
NUM_CLASSES = len(acdc.CLASS_NAMES) + 1
Scalar = TypeVar("Scalar", bound=np.generic)


@dataclass(frozen=True)
class Volume:
    """Consecutive slices of one patient at one phase, rows ``start`` to ``stop`` of a part's arrays."""

    patient: str
    group: str
    phase: str
    start: int
    stop: int


@dataclass(frozen=True)
class SliceStore:
    """A finished store. ``images`` are (slice, row, column) float16, ``masks`` uint8, both memory-mapped."""

    folder: Path

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The data manifest: counts, classes, groups, preprocessing, warnings and the content hash."""
        content: dict[str, Any] = json.loads((self.folder / "data.json").read_text())
        return content

    @property
    def data_id(self) -> str:
        """Hash of the decoded labelled slices, masks and split. Machines of one kind agree on equal data; where slices
        are resampled, the last bit of a float can differ between kinds of processor, and so can the id.
        """
        return str(self.summary["data_id"])

    @property
    def pool_id(self) -> str:
        """Hash of the decoded unlabelled slices, in the same sense."""
        return str(self.summary["pool_id"])

    def images(self, part: str) -> npt.NDArray[np.float16]:
        """Return the slices of ``train``, ``validation``, ``test`` or the unlabelled ``pool``."""
        array: npt.NDArray[np.float16] = np.load(self.folder / f"{part}-images.npy", mmap_mode="r")
        return array

    def masks(self, part: str) -> npt.NDArray[np.uint8]:
        """Return the masks of a labelled part."""
        array: npt.NDArray[np.uint8] = np.load(self.folder / f"{part}-masks.npy", mmap_mode="r")
        return array

    def volumes(self, part: str) -> list[Volume]:
        """Return the volumes of a labelled part in storage order."""
        return [Volume(**row) for row in json.loads((self.folder / f"{part}-volumes.json").read_text())]

    def patient_of_slice(self, part: str) -> list[str]:
        """Name the patient of each slice of a labelled part."""
        return [volume.patient for volume in self.volumes(part) for _ in range(volume.start, volume.stop)]


def open_store(
    config: DataConfig, cache: Path | None, expected_data: str | None = None, expected_pool: str | None = None
) -> SliceStore:
    """Decode the data if this node has not done so yet, and open the store.

    Raises DataError for any input that cannot be used (every volume is read before anything is trained), and where
    the labelled slices or the pool are not those of the expected id, which was planned with.
    """
    store = _open(config, cache)
    for expected, found in ((expected_data, store.data_id), (expected_pool, store.pool_id)):
        if expected not in (None, found):
            raise DataError(
                f"the data in {config.root or 'the phantom'} have id {found} here, but the run was planned with "
                f"{expected}: files differ or have changed, or the processor is of another kind; run on equal nodes"
            )
    return store


def _open(config: DataConfig, cache: Path | None) -> SliceStore:
    root = cache_root(cache)
    if config.format == "phantom":
        key = f"phantom-{content_hash(config.phantom, RECIPE_VERSION)}"
        training = built_once(root, key, lambda folder: write_phantom(folder / "training", config.phantom)) / "training"
    else:
        assert config.root is not None
        training = config.root.absolute()
    files = [_fingerprint(training), _fingerprint(config.unlabelled_root)]
    key = f"slices-{content_hash(config, files, RECIPE_VERSION, STORE_VERSION)}"
    return SliceStore(built_once(root, key, partial(_build, config, training)))


def _fingerprint(root: Path | None) -> list[tuple[str, int, int]] | None:
    """Name, size and time of every file that would be read: a changed file is decoded again."""
    if root is None or not root.is_dir():
        return None
    files = sorted(path for path in root.glob("*/*") if path.suffix in (".gz", ".nii", ".cfg"))
    return [(str(path.relative_to(root)), path.stat().st_size, path.stat().st_mtime_ns) for path in files]


def _build(config: DataConfig, training: Path, folder: Path) -> None:
    patients = acdc.read_patients(training)
    extra = acdc.find_cines(config.unlabelled_root) if config.unlabelled_root else {}
    warnings = _check_extra(extra, [patient.name for patient in patients], config)
    parts = split_patients([p.name for p in patients], [p.number for p in patients], config)
    summary: dict[str, Any] = {"num_slices": {}, "num_patients": {}, "warnings": warnings}
    lost, total = 0, 0
    for part in ("train", "validation", "test"):
        members = [patient for patient in patients if parts[patient.name] == part]
        outside, foreground = _write_labelled(config, part, members, folder)
        lost, total = lost + outside, total + foreground
        summary["num_patients"][part] = len(members)
        summary["num_slices"][part] = len(np.load(folder / f"{part}-images.npy", mmap_mode="r"))
    train = [patient for patient in patients if parts[patient.name] == "train"]
    summary["num_slices"]["pool"] = _write_pool(config, train, extra, folder)
    summary["groups"] = _count_groups(patients)
    summary["foreground_outside_crop"] = lost / max(total, 1)
    if lost > 0.005 * total:
        summary["warnings"].append(
            f"{lost / total:.1%} of all foreground pixels lie outside the {config.image_size} px crop and are not "
            "scored; enlarge data.image_size or data.spacing_mm"
        )
    _write_summary(config, summary, folder)


def _check_extra(extra: dict[str, list[Path]], names: list[str], config: DataConfig) -> list[str]:
    """Refuse an unlabelled folder of which no patient is known: its split could not be told."""
    unknown = sorted(set(extra) - set(names))
    if extra and len(unknown) == len(extra):
        raise DataError(
            f"{config.unlabelled_root}: none of its {len(extra)} patients ({', '.join(unknown[:3])}, ...) is in "
            f"{config.root}; expected folders of the same names, so that no test patient is pretrained on"
        )
    return (
        [f"{len(unknown)} patients of {config.unlabelled_root} are not in {config.root} and left out"]
        if unknown
        else []
    )


def _count_groups(patients: list[Patient]) -> dict[str, int]:
    groups = sorted(patient.group for patient in patients)
    return {group: groups.count(group) for group in dict.fromkeys(groups)}


def _write_labelled(config: DataConfig, part: str, patients: list[Patient], folder: Path) -> tuple[int, int]:
    """Write one labelled part; return how many foreground pixels the crop lost, and how many there were."""
    images, masks, volumes, lost, total, start = [], [], [], 0, 0, 0
    for patient in patients:
        for frame in patient.frames:
            slices, labels, spacing = acdc.decode_pair(frame.image, frame.mask)
            image, factor = _resample(_scaled(slices, frame.image), spacing, config.spacing_mm)
            mask = _resample_labels(labels, factor)
            cropped = crop_or_pad(mask, config.image_size)
            lost += int(np.count_nonzero(mask)) - int(np.count_nonzero(cropped))
            total += int(np.count_nonzero(mask))
            images.append(crop_or_pad(image, config.image_size).astype(np.float16))
            masks.append(cropped)
            stop = start + len(slices)
            volumes.append(
                {"patient": patient.name, "group": patient.group, "phase": frame.phase} | {"start": start, "stop": stop}
            )
            start = stop
    np.save(folder / f"{part}-images.npy", np.concatenate(images))
    np.save(folder / f"{part}-masks.npy", np.concatenate(masks))
    (folder / f"{part}-volumes.json").write_text(json.dumps(volumes))
    return lost, total


def _write_pool(config: DataConfig, patients: list[Patient], extra: dict[str, list[Path]], folder: Path) -> int:
    """Write the unlabelled slices of the training patients.

    A patient's cines hold its labelled frames already; only a patient without any cine gives its labelled frames.
    """
    images = []
    for path in _pool_files(patients, extra):
        slices, spacing = acdc.decode(path)
        image, _ = _resample(_scaled(slices, path), spacing, config.spacing_mm)
        images.append(crop_or_pad(image, config.image_size).astype(np.float16))
    np.save(folder / "pool-images.npy", np.concatenate(images))
    return sum(len(part) for part in images)


def _pool_files(patients: list[Patient], extra: dict[str, list[Path]]) -> Iterator[Path]:
    for patient in patients:
        if patient.cine:
            yield patient.cine
        elif patient.name in extra:
            yield from extra[patient.name]
            yield from (frame.image for frame in patient.frames)  # an extra cine may be a crop of the whole
        else:
            yield from (frame.image for frame in patient.frames)


def _scaled(slices: npt.NDArray[np.float32], path: Path) -> npt.NDArray[np.float32]:
    low, high = np.percentile(slices, (0.5, 99.5))
    if high <= low:
        raise DataError(f"{path} has no contrast: its 0.5th and 99.5th percentiles are both {low:g}; is it empty?")
    scaled: npt.NDArray[np.float32] = np.clip((slices - low) / (high - low), -0.5, 2.0).astype(np.float32)
    return scaled


def _resample(
    slices: npt.NDArray[np.float32], spacing: tuple[float, float], wanted: float | None
) -> tuple[npt.NDArray[np.float32], tuple[int, int]]:
    """Resample in the plane with an anti-aliased bilinear filter; return the slices and their new size."""
    rows, columns = slices.shape[1:]
    if wanted is None:
        return slices, (rows, columns)
    size = (max(1, round(rows * spacing[0] / wanted)), max(1, round(columns * spacing[1] / wanted)))
    resized = F.interpolate(torch.from_numpy(slices)[:, None], size, mode="bilinear", antialias=True)
    return resized[:, 0].numpy(), size


def _resample_labels(labels: npt.NDArray[np.uint8], size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Resample each label's indicator like an image and take the strongest, so that edges stay where they are."""
    if labels.shape[1:] == size:
        return labels
    indicators = (
        F.one_hot(torch.from_numpy(labels).long(), NUM_CLASSES).movedim(-1, 1).float()
    )  # (slice, class, row, column)
    return F.interpolate(indicators, size, mode="bilinear", antialias=True).argmax(1).to(torch.uint8).numpy()


def crop_or_pad(slices: npt.NDArray[Scalar], size: int) -> npt.NDArray[Scalar]:
    """Crop or zero-pad (slice, row, column) about its centre to (slice, size, size)."""
    result = np.zeros((len(slices), size, size), dtype=slices.dtype)
    taken, placed = [], []
    for length in slices.shape[1:]:
        kept = min(length, size)
        first, target = (length - kept) // 2, (size - kept) // 2
        taken.append(slice(first, first + kept))
        placed.append(slice(target, target + kept))
    result[:, placed[0], placed[1]] = slices[:, taken[0], taken[1]]
    return result


def _write_summary(config: DataConfig, summary: dict[str, Any], folder: Path) -> None:
    files = sorted([*folder.glob("*.npy"), *folder.glob("*.json")])
    summary["data_id"] = _hash_files([path for path in files if not path.name.startswith("pool")])
    summary["pool_id"] = _hash_files([path for path in files if path.name.startswith("pool")])
    summary |= {"format": config.format, "class_names": list(acdc.CLASS_NAMES), "image_size": config.image_size}
    summary |= {"spacing_mm": config.spacing_mm, "split": config.split}
    (folder / "data.json").write_text(json.dumps(summary, indent=2) + "\n")


def _hash_files(paths: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.name.encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]

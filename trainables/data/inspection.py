"""Look at a data set as a whole before anything is spent on it: what is there, and everything that is wrong.

In: a DataConfig. Out: an Inspection with the facts of every volume and every problem, where the store would stop. It
decodes all files as the store does, and keeps none of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from trainables.config import DataConfig
from trainables.data.dataset import DataError, Dataset, Problem, Volume
from trainables.data.decoded import Prepared, VolumeFacts, for_each_volume, measure_constants, prepare
from trainables.data.duplicates import across_parts
from trainables.data.manifest import Manifest, Marked
from trainables.data.parallel import Progress
from trainables.data.pool import admitted, find_unlabelled
from trainables.data.preprocess import Constants
from trainables.data.readers import kind_at, read_dataset, unlabelled
from trainables.data.slices import locate
from trainables.data.splits import PARTS, Part, split_patients

FIRST_LOOK = {"longest_side": 64, "image_size": 64}
"""The sizes of the preset small: what an inspection looks at where none is given."""

ALONE = {"format": "unlabelled", "unlabelled_root": None}
"""Settings of an unlabelled folder that is looked at without labelled images."""

BYTES_PER_PIXEL = {"image": 2, "mask": 1}


@dataclass(frozen=True)
class Example:
    """One slice for the contact sheet: image (row, column) of its first channel, mask, and whose it is."""

    image: npt.NDArray[np.float16]
    mask: npt.NDArray[np.uint8]
    caption: str


@dataclass
class Inspection:
    """What was found. ``facts`` are of the labelled volumes that could be decoded, ``unlabelled`` of the others."""

    config: DataConfig  # with format, root and split settled
    given: DataConfig  # as asked for
    dataset: Dataset | None = None
    parts: dict[str, Part] = field(default_factory=dict)
    facts: list[VolumeFacts] = field(default_factory=list)
    unlabelled: list[VolumeFacts] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    examples: list[Example] = field(default_factory=list)

    @property
    def is_pool(self) -> bool:
        """Whether a folder of unlabelled images was looked at alone."""
        return self.dataset is not None and self.dataset.format == unlabelled.KIND

    @cached_property
    def decoded_bytes(self) -> int:
        """What the decoded store takes on disk, and in memory where it is all read."""
        if self.dataset is None:
            return 0
        pixels = self.config.image_size**2
        labelled = sum(facts.num_slices for facts in self.facts)
        everything = labelled + sum(facts.num_slices for facts in self.unlabelled)
        images = everything * pixels * self.dataset.num_channels * BYTES_PER_PIXEL["image"]
        return images + labelled * pixels * BYTES_PER_PIXEL["mask"]


def inspect(
    config: DataConfig, cache: Path | None = None, num_examples: int = 0, progress: Progress | None = None
) -> Inspection:
    """Read and decode everything, and gather what would be refused instead of raising it.

    Of a folder of unlabelled images everything is looked at, though a store takes it as ``data.unlabelled_root`` alone.
    """
    found = Inspection(config, config)
    try:
        is_pool = kind_at(config) == "unlabelled"
        found.config = config = locate(config.model_copy(update=ALONE) if is_pool else config, cache)
        assert config.root is not None  # located
        found.dataset = dataset = unlabelled.read(config.root, config) if is_pool else read_dataset(config)
    except DataError as error:
        found.problems += _problems(error, config)
        return found
    found.problems += dataset.problems
    extra = _arrange(found, dataset)
    constants = _constants(found, dataset, progress)
    marks = _decode(found, dataset, [*dataset.volumes, *extra], constants, num_examples, progress)
    if found.parts and found.facts:
        _judge(found, dataset, constants, marks)
    found.problems = list(dict.fromkeys(found.problems))  # constants of the training split decode a volume once more
    return found


def _problems(error: DataError, config: DataConfig) -> Sequence[Problem]:
    where = str(config.root or "the data")
    return error.problems or [Problem(where, str(error), "data that can be used", "see docs/your-data.md")]


def _arrange(found: Inspection, dataset: Dataset) -> list[Volume]:
    """Split the patients and choose the pool; without a split everything unlabelled is looked at."""
    if dataset.volumes:  # without any, the reader has said why
        try:
            found.parts = split_patients(dataset.volumes, found.config, dataset.excluded_cases)
        except DataError as error:
            found.problems += _problems(error, found.config)
    elsewhere, problems = find_unlabelled(dataset, found.config)
    found.problems += problems
    if not found.parts:
        return [*dataset.unlabelled, *elsewhere]
    extra, found.warnings = admitted(dataset, elsewhere, found.parts, found.config)
    return extra


def _constants(found: Inspection, dataset: Dataset, progress: Progress | None) -> Constants | None:
    """Measure what the training split scales by; where that fails, volumes are looked at with their own."""
    train = [volume for volume in dataset.volumes if found.parts.get(volume.patient) == "train"]
    try:
        return measure_constants(train, dataset, found.config, progress) if train else None
    except DataError as error:
        found.problems += _problems(error, found.config)
        return None


def _decode(
    found: Inspection,
    dataset: Dataset,
    volumes: Sequence[Volume],
    constants: Constants | None,
    num_examples: int,
    progress: Progress | None,
) -> list[npt.NDArray[np.uint64]]:
    """Decode every volume; return the fingerprints of those that could be, the labelled ones first."""
    num_labelled = len(dataset.volumes)
    shown = set(np.linspace(0, num_labelled - 1, min(num_examples, num_labelled)).round().astype(int).tolist())
    marks = []
    results = for_each_volume(lambda volume: prepare(volume, dataset, found.config, constants), volumes, progress)
    for index, result in enumerate(results):
        if isinstance(result, DataError):
            found.problems += _problems(result, found.config)
            continue
        marks.append(result.fingerprints)
        (found.facts if index < num_labelled else found.unlabelled).append(result.facts)
        if index in shown:
            found.examples.append(_example(result))
    return marks


def _example(prepared: Prepared) -> Example:
    """The slice of a volume that shows most foreground."""
    assert prepared.masks is not None
    index = int(np.argmax(np.count_nonzero(prepared.masks, axis=(1, 2))))
    facts = prepared.facts
    caption = ", ".join(filter(None, (facts.patient, facts.phase, f"slice {index}")))
    return Example(prepared.images[index, 0], prepared.masks[index], caption)


def _judge(
    found: Inspection, dataset: Dataset, constants: Constants | None, marks: list[npt.NDArray[np.uint64]]
) -> None:
    """Hold the fingerprints against the split, as the store does with its own.

    Where volumes are missing, only patients that the split tears apart are told of: no other volume can mend them.
    """
    decoded = [Marked(*each) for each in zip([*found.facts, *found.unlabelled], marks, strict=True)]
    used = [each for each in decoded[: len(found.facts)] if each.facts.patient in found.parts]
    labelled = sorted(used, key=lambda each: PARTS.index(found.parts[each.facts.patient]))
    manifest = Manifest(found.config, dataset, found.parts, labelled, decoded[len(found.facts) :], constants)
    if found.problems:
        found.problems += across_parts(manifest.repeated, found.parts, dataset.root)
        return
    found.problems += manifest.problems()
    found.warnings += [*manifest.warnings(), *manifest.of_parts()]

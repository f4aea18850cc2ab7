"""What a finished build says of its data: ids, counts, rows of each part, and what deserves a warning.

In: a Dataset, its split, and the facts and fingerprints of every volume. Out: the content of ``data.json`` and
``index.json``. Ids hash the images as decoded and what is then done to them, so they depend neither on the file format
nor on the processor that resamples.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from trainables.config import RECIPE_VERSION, DataConfig, content_hash
from trainables.data.dataset import Dataset, Problem, listed
from trainables.data.decoded import VolumeFacts
from trainables.data.duplicates import SharedSlices, across_parts, shared_slices
from trainables.data.part_warnings import KEEP_CLASS, part_warnings
from trainables.data.pool import leaking_patients
from trainables.data.preprocess import Constants
from trainables.data.splits import PARTS, Part

LOST_SHARE = 0.005
"""A crop that loses more of the foreground than this is warned about."""


@dataclass(frozen=True)
class Marked:
    """A decoded volume: what was found in it, the fingerprints of its slices, and the key under which it is stored."""

    facts: VolumeFacts
    marks: npt.NDArray[np.uint64]
    key: str = ""


@dataclass(frozen=True)
class Manifest:
    """What a finished build says of itself. ``unlabelled``: those that may enter the pool, by all that names tell."""

    config: DataConfig
    dataset: Dataset
    parts: Mapping[str, Part]
    labelled: Sequence[Marked]  # in order of their parts
    unlabelled: Sequence[Marked]
    constants: Constants | None

    def of_part(self, part: str) -> list[Marked]:
        return [each for each in self.labelled if self.parts[each.facts.patient] == part]

    def index(self) -> dict[str, Any]:
        """Which volumes make up each labelled part, and the keys of those of the pool."""
        volumes = {part: [_indexed(each) for each in self.of_part(part)] for part in PARTS}
        return {"volumes": volumes, "pool": [each.key for each in self.pool()]}

    @cached_property
    def repeated(self) -> list[SharedSlices]:
        """Pairs of labelled patients that share a slice."""
        return shared_slices((each.facts.patient, each.facts.name, each.marks) for each in self.labelled)

    def problems(self) -> list[Problem]:
        """What shows when everything is decoded: patients that the split tears apart, parts without a structure."""
        found = across_parts(self.repeated, self.parts, self.dataset.root)
        for part in ("train", "test"):
            what, remedy = f"no foreground in any slice of {part}", "correct the masks, or change data.split"
            volumes = [each.facts for each in self.of_part(part)]
            if any(each.foreground_slices for each in volumes):
                what, remedy = f"{what} once {self._prepared()}", KEEP_CLASS
            if not any(any(each.kept_slices) for each in volumes):
                found.append(Problem(str(self.dataset.root), what, "some in training and test", remedy))
        return found

    def _prepared(self) -> str:
        """What is done to slices before they are stored, in the settings' words."""
        keys = [key for key in ("spacing_mm", "longest_side") if getattr(self.config, key) is not None]
        resampled = [f"resampled (data.{key}={getattr(self.config, key):g}) and" for key in keys]
        return " ".join([*resampled, f"cropped (data.image_size={self.config.image_size})"])

    @cached_property
    def leaking(self) -> dict[str, str]:
        """Unlabelled patients that share a slice with validation or test, and with whom."""
        held_out = {
            int(mark): each.facts.patient
            for part in ("validation", "test")
            for each in self.of_part(part)
            for mark in each.marks
            if mark
        }
        marks: dict[str, set[int]] = {}
        for each in self.unlabelled:
            marks.setdefault(each.facts.patient, set()).update(int(mark) for mark in each.marks)
        return leaking_patients(marks, held_out)

    def pool(self) -> list[Marked]:
        """The pool's volumes: training frames, but of patients whose own cine holds them, and what is unlabelled."""
        covered = {volume.patient for volume in self.dataset.unlabelled}
        frames = [each for each in self.of_part("train") if each.facts.patient not in covered]
        return frames + [each for each in self.unlabelled if each.facts.patient not in self.leaking]

    def summary(self, warnings: list[str]) -> dict[str, Any]:
        labelled = [each.facts for each in self.labelled]
        ordered = sorted(labelled, key=lambda facts: (facts.patient, facts.phase))
        content = content_hash([[each.patient, each.phase, each.images_id, each.labels_id] for each in ordered])
        steps, num_classes = self._preprocessing(), len(self.dataset.class_names)
        people = [[part, [[each.facts.patient, each.facts.phase] for each in self.of_part(part)]] for part in PARTS]
        members = self._members()
        pool_content = [[facts.images_id, self._resampled_from(facts)] for facts in members["pool"]]
        spacing = [self._resampled_from(facts) for facts in labelled]
        return {
            "format": self.dataset.format,
            "content_id": content,
            "data_id": content_hash(content, people, spacing, steps, num_classes, RECIPE_VERSION),
            "pool_id": content_hash(pool_content, steps, RECIPE_VERSION),
            "class_names": list(self.dataset.class_names),
            "channel_names": list(self.dataset.channel_names),
            "num_patients": {part: len({each.patient for each in found}) for part, found in members.items()},
            "num_slices": {part: sum(each.num_slices for each in found) for part, found in members.items()},
            "groups": self._groups(),
            "preprocessing": steps,
            "split": self.config.split,
            "foreground_outside_crop": self._lost_share(),
            "warnings": warnings + self.warnings(),
        }

    def _members(self) -> dict[str, list[VolumeFacts]]:
        """The volumes of each part and of the pool."""
        members = {**{str(part): self.of_part(part) for part in PARTS}, "pool": self.pool()}
        return {part: [each.facts for each in found] for part, found in members.items()}

    def _resampled_from(self, facts: VolumeFacts) -> tuple[float, float] | None:
        """The spacing of a volume where it decides how large the volume becomes."""
        return facts.spacing_mm if self.config.spacing_mm is not None else None

    def _preprocessing(self) -> dict[str, Any]:
        keys = ("slice_axis", "spacing_mm", "pixel_spacing_mm", "longest_side", "image_size", "intensity")
        steps: dict[str, Any] = {key: getattr(self.config, key) for key in keys}
        return steps | {"constants": self.constants}

    def _groups(self) -> dict[str, int]:
        groups = sorted({each.facts.patient: each.facts.group for each in self.labelled}.values())
        return {group: groups.count(group) for group in dict.fromkeys(groups)}

    def _lost_share(self) -> float:
        total = sum(sum(each.facts.class_pixels) for each in self.labelled)
        return sum(each.facts.pixels_outside for each in self.labelled) / max(total, 1)

    def of_parts(self) -> list[str]:
        """What the parts cannot tell; the cache keeps what it follows from, so it is told anew at every start."""
        volumes = {str(part): [each.facts for each in self.of_part(part)] for part in PARTS}
        return part_warnings(volumes, self.dataset.class_names, self.config.split)

    def warnings(self) -> list[str]:
        """What is known once all is decoded, but for ``of_parts``."""
        found = []
        if self._lost_share() > LOST_SHARE:
            found.append(
                f"{self._lost_share():.1%} of all foreground pixels lie outside the {self.config.image_size} px crop "
                "and are not scored; enlarge data.image_size or data.spacing_mm, or set data.longest_side"
            )
        found += [f"{pair} count as two and are one; data.exclude leaves one out" for pair in self.repeated]
        if self.leaking:
            pairs = listed(f"{patient} = {other}" for patient, other in sorted(self.leaking.items()))
            found.append(
                f"{len(self.leaking)} unlabelled patients share slices with patients of validation or test ({pairs}) "
                "and are left out of the pool"
            )
        return found


def _indexed(each: Marked) -> dict[str, Any]:
    facts = each.facts
    names = {"name": facts.name, "patient": facts.patient, "group": facts.group, "phase": facts.phase}
    return {"key": each.key} | names | {"num_slices": facts.num_slices, "spacing_mm": facts.stored_mm}

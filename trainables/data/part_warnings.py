"""What the parts of a split cannot tell: classes that one lacks or loses, and a test set of a single patient.

In: the facts of the volumes of each part, which the cache keeps. Out: warnings, at every start: a split that an earlier
version stored would otherwise say only what that version knew to look for.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from trainables.data.dataset import listed
from trainables.data.decoded import VolumeFacts
from trainables.data.splits import PARTS, Part

SPREAD_CLASS = {"fractions": "change data.split_seed, or divide the patients by hand with data.split=file"}
DIVIDE_ELSE = "divide the patients by hand with data.split=file, or draw them with data.split=fractions"
KEEP_CLASS = (
    "change data.spacing_mm or data.longest_side (too coarse loses what is small, too fine crops it away), or enlarge "
    "data.image_size"
)
CONSEQUENCES: dict[Part, str] = {
    "test": "so nothing tells how well that is segmented, only what is taken for it by mistake",
    "validation": "so validation curves, and when they reach a target, tell nothing of it",
    "train": "so it cannot be learned",
}
MORE_TESTED = {"fractions": "raise data.test_fraction"}
DIVIDE = "choose more test patients with data.split=file, or with data.split=fractions and data.test_fraction"


def part_warnings(volumes: Mapping[str, Sequence[VolumeFacts]], class_names: Sequence[str], split: str) -> list[str]:
    """Return what is to be said of the labelled ``volumes`` of each part; ``split`` is how they were divided."""
    return [*_unseen(volumes, class_names, SPREAD_CLASS.get(split, DIVIDE_ELSE)), *_single(volumes["test"], split)]


def _unseen(volumes: Mapping[str, Sequence[VolumeFacts]], class_names: Sequence[str], spread: str) -> list[str]:
    """Classes that no patient of a part has, or whose masks lose them; a part without any is a problem of its own.

    ``spread`` says how to divide the patients otherwise.
    """
    num_classes = len(class_names)
    drawn = {part: _sums([each.class_slices for each in volumes[part]], num_classes) for part in PARTS}
    kept = {part: _sums([each.kept_slices for each in volumes[part]], num_classes) for part in PARTS}
    everywhere = np.sum(list(drawn.values()), axis=0)
    found = [(everywhere == 0, "in no mask at all; correct the classes or the masks")]
    for part, consequence in CONSEQUENCES.items():
        if drawn[part].any():
            absent = (drawn[part] == 0) & (everywhere > 0)
            found.append((absent, f"in no slice of {part}, {consequence}; {spread}"))
        lost = (drawn[part] > 0) & (kept[part] == 0)
        found.append((lost, f"in no slice of {part} once resampled and cropped, {consequence}; {KEEP_CLASS}"))
    quoted = [f"'{name}'" for name in class_names]
    return [
        f"{listed(quoted[index] for index in np.flatnonzero(is_so))} {words}" for is_so, words in found if is_so.any()
    ]


def _sums(slices: Sequence[tuple[int, ...]], num_classes: int) -> npt.NDArray[np.int64]:
    """How many slices of all volumes show each class."""
    return np.array(np.array(slices, np.int64).reshape(-1, num_classes).sum(axis=0), np.int64)


def _single(test: Sequence[VolumeFacts], split: str) -> list[str]:
    patients = {each.patient for each in test}
    if len(patients) != 1:
        return []
    return [
        f"test is a single patient ({patients.pop()}), so that no interval covers how others would be segmented, and "
        f"that patient alone decides which arm is best; {MORE_TESTED.get(split, DIVIDE)}"
    ]

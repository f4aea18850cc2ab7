"""What a reader finds: patients, their volumes, and every problem, before a pixel is decoded.

In: nothing. Out: the plain records that readers fill and the store decodes, and the error that every bad input becomes.
A volume is what is scaled and scored as one: a 3D image, a cine, or the 2D slices of one patient and phase.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

MAX_LISTED = 20
FRACTIONS = "fractions are what smooth resampling leaves: take the nearest neighbour, or a threshold"


@dataclass(frozen=True)
class Problem:
    """One reason why data cannot be used: where it is, what was found, what was expected, what to do."""

    where: str
    found: str
    expected: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.where}: found {self.found}; expected {self.expected}; {self.remedy}"


class DataError(Exception):
    """Input data that cannot be used. ``problems`` are its reasons, each with its place; the message lists them."""

    def __init__(self, *problems: Problem | str) -> None:
        self.problems = tuple(problem for problem in problems if isinstance(problem, Problem))
        super().__init__(_listing(problems))


def _listing(problems: Sequence[Problem | str]) -> str:
    if len(problems) == 1:
        return str(problems[0])
    lines = [f"{len(problems)} problems in the data:", *(f"  {problem}" for problem in problems[:MAX_LISTED])]
    if len(problems) > MAX_LISTED:
        lines.append(f"  and {len(problems) - MAX_LISTED} more; python -m trainables.data ROOT lists them all")
    return "\n".join(lines)


@dataclass(frozen=True)
class Piece:
    """Files that are decoded together: an image (a file for each channel, or one with all) and its mask, if any."""

    images: tuple[Path, ...]
    mask: Path | None = None


@dataclass(frozen=True)
class Volume:
    """Consecutive slices of one patient at one phase. ``name`` is the case's in its own format.

    ``merged`` names the cases of 2D slices that make up a volume together.
    """

    name: str
    patient: str
    phase: str
    group: str
    pieces: tuple[Piece, ...]
    merged: tuple[str, ...] = ()

    @property
    def cases(self) -> tuple[str, ...]:
        """The names that the format has for the volume, as split files list them."""
        return self.merged or (self.name,)

    @property
    def images(self) -> tuple[Path, ...]:
        """Every image file of the volume."""
        return tuple(path for piece in self.pieces for path in piece.images)

    @property
    def where(self) -> str:
        """The file by which a message names the volume."""
        return str(self.images[0])

    def channel_at(self, channel: int) -> str:
        """The file by which a message names a channel: its own, where the channels have one each."""
        files = self.pieces[0].images
        return str(files[channel] if len(files) > 1 else files[0])


@dataclass(frozen=True)
class Dataset:
    """What lies in a folder. ``label_values[k]`` is what masks hold for class k, ``class_names[k - 1]`` its name."""

    format: str
    root: Path
    class_names: tuple[str, ...]
    label_values: tuple[int, ...]
    channel_names: tuple[str, ...]
    volumes: tuple[Volume, ...]  # with masks, in order of patient and phase
    unlabelled: tuple[Volume, ...] = ()
    problems: tuple[Problem, ...] = ()
    last_axis: Literal["time", "channel"] = "time"  # of a 4D file
    excluded: tuple[str, ...] = ()  # the names of data.exclude that something had
    excluded_cases: frozenset[str] = frozenset()  # those of the patients and volumes among them
    label_remedy: str = "correct the mask"  # what to do about a value that stands for no class

    @property
    def num_classes(self) -> int:
        """Classes with the background."""
        return len(self.class_names) + 1

    @property
    def num_channels(self) -> int:
        """Channels of each image."""
        return len(self.channel_names)


def natural_order(name: str) -> tuple[Any, ...]:
    """Sort key under which slice 10 comes after slice 9; plain order where names have no numbers."""
    parts = re.split(r"(\d+)", name)
    return tuple((int(part), part) if index % 2 else part for index, part in enumerate(parts))


def in_order(volumes: Iterable[Volume]) -> tuple[Volume, ...]:
    """Sort by patient, phase and name: the order of the store, whatever the format."""
    return tuple(sorted(volumes, key=lambda v: tuple(map(natural_order, (v.patient, v.phase, v.name)))))


def listed(names: Iterable[object], most: int = 3) -> str:
    """Name the first few of many."""
    every = [str(name) for name in names]
    return ", ".join(every[:most]) + (f", ... ({len(every)} in all)" if len(every) > most else "") or "nothing"

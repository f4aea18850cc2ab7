"""Example segmentations: which test slices, and whose predictions on them, a report shows at a label count.

In: Findings, whose results hold a few test slices that were fixed before any training (``trainables.examples`` says by
which rule). Out: an ExampleSheet with the best, the median and the worst of these slices.

Nothing is picked by eye: slices are ranked by their mean Dice over all arms and seeds at that label count, and the seed
that is shown is the first at which most arms have finished.
"""

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.findings import Findings
from analysis.loading.replicates import pair_names
from analysis.scores.overlap import dice

Pixels = NDArray[np.uint8]  # (row, column)

SLICE = ["data_id", "patient", "phase", "slice_index"]
RANKS = {1: ("only",), 2: ("best", "worst")}


@dataclass(frozen=True)
class Segmentation:
    """A predicted mask and its mean Dice over the structures that are there or predicted."""

    mask: Pixels
    dice: float


@dataclass(frozen=True)
class ExampleSlice:
    """A test slice with its truth, its rank among the fixed slices, and the prediction of each variant that has one."""

    rank: str  # best | median | worst | only
    patient: str
    phase: str
    slice_index: int
    mean_dice: float  # over all variants and seeds
    image: Pixels
    truth: Pixels
    predictions: Mapping[str, Segmentation]


@dataclass(frozen=True)
class ExampleSheet:
    """What is shown at one label count."""

    label_count: int
    seed: str
    num_slices: int  # fixed ones, that the shown are ranked among
    slices: tuple[ExampleSlice, ...]


@dataclass(frozen=True)
class _Example:
    """One prediction of one cell, unpacked."""

    label_count: int
    seed: str
    variant: str
    place: tuple[str, str, int]
    image: Pixels
    truth: Pixels
    found: Segmentation


def example_sheets(findings: Findings) -> list[ExampleSheet]:
    """Return the sheets at the fewest and the most labels; none where no cell left examples."""
    examples = _examples(findings)
    counts = sorted({each.label_count for each in examples})
    seeds = sorted({each.seed for each in examples})
    return [_sheet(count, seeds, [each for each in examples if each.label_count == count]) for count in counts]


def _examples(findings: Findings) -> list[_Example]:
    """Unpack what the headline variants left at the fewest and most labels; what is damaged is left out."""
    results = findings.results
    if results.examples.empty or results.example_slices.empty:
        return []
    cells = results.cells[["cell_id", "data_id", "variant", "label_count"]].assign(seed=pair_names(results.cells))
    cells = cells[cells["variant"].isin(findings.headline) & cells["cell_id"].isin(results.examples["cell_id"])]
    cells = cells[cells["label_count"].isin({cells["label_count"].min(), cells["label_count"].max()})]
    rows = cells.merge(results.examples, on="cell_id").merge(results.example_slices, on=SLICE)
    found = (_example(row) for row in rows.to_dict("records"))
    return [each for each in found if each]


def _example(row: Mapping[Any, Any]) -> _Example | None:
    image, truth, mask = (unpacked(row[name]) for name in ("image", "truth", "prediction"))
    if image is None or truth is None or mask is None or not image.shape == truth.shape == mask.shape:
        return None
    place = str(row["patient"]), str(row["phase"]), int(row["slice_index"])
    found = Segmentation(mask, foreground_dice(mask, truth))
    return _Example(int(row["label_count"]), str(row["seed"]), str(row["variant"]), place, image, truth, found)


def unpacked(packed: bytes) -> Pixels | None:
    """Return the square of pixels that the contract packs, None where it is damaged."""
    try:
        pixels = np.frombuffer(zlib.decompress(packed), dtype=np.uint8)
    except zlib.error:
        return None
    size = math.isqrt(len(pixels))
    return pixels.reshape(size, size) if size and size * size == len(pixels) else None


def foreground_dice(prediction: Pixels, truth: Pixels) -> float:
    """Return the mean Dice over the structures that are there or predicted, NaN where there are none."""
    classes = [each for each in np.union1d(prediction, truth) if each]
    hits = [np.sum((prediction == each) & (truth == each)) for each in classes]
    extra = [np.sum((prediction == each) & (truth != each)) for each in classes]
    missed = [np.sum((prediction != each) & (truth == each)) for each in classes]
    return float(dice(hits, extra, missed).mean()) if classes else float("nan")


def _sheet(label_count: int, seeds: Sequence[str], examples: Sequence[_Example]) -> ExampleSheet:
    by_place: dict[tuple[str, str, int], list[_Example]] = {}
    for each in examples:
        by_place.setdefault(each.place, []).append(each)
    means = {place: float(np.mean([each.found.dice for each in own])) for place, own in by_place.items()}
    order = sorted(means, key=lambda place: (-means[place], place))
    seed = max(seeds, key=lambda name: len({each.variant for each in examples if each.seed == name}))
    ranks = RANKS.get(len(order), ("best", "median", "worst"))
    places = order if len(order) < 3 else [order[0], order[len(order) // 2], order[-1]]
    slices = [_slice(rank, means[place], seed, by_place[place]) for rank, place in zip(ranks, places, strict=True)]
    return ExampleSheet(label_count, seed, len(order), tuple(slices))


def _slice(rank: str, mean_dice: float, seed: str, own: Sequence[_Example]) -> ExampleSlice:
    predictions = {each.variant: each.found for each in own if each.seed == seed}
    return ExampleSlice(rank, *own[0].place, mean_dice, own[0].image, own[0].truth, predictions)

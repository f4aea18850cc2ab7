"""An open question, the planned cells that it rests on, and the settings that run these with more seeds.

In: Findings. Out: OpenQuestion; seeds that the plan has for it; MoreSeeds, key=value pairs for the sweep and how many
cells they add. Seeds keep the plan's order: the grid deals pretraining seeds to the subsets by position, so that
another order would train other encoders for cells that are there.
"""

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.findings import Findings
from analysis.intervals.uncertainty import Floats
from analysis.loading.planned_seeds import Seed, seeds_by_point
from analysis.loading.replicates import are_subsets

Rung = tuple[str, int]  # an arm and its pretraining epochs


@dataclass(frozen=True)
class OpenQuestion:
    """A contrast of log errors (seed, patient) whose interval does not decide, and the cells that it rests on."""

    words: str
    about: str  # arms | labels | epochs
    contrast: Floats
    goal: float  # the half-width that settles it
    variants: tuple[str, ...]  # that the contrast is of
    label_counts: tuple[int, ...]
    with_epochs: bool = False  # whether the numbers of epochs below an arm's last are part of it
    num_compared: int = 1  # tests that its own is adjusted for; 1 where a small difference is an answer

    @property
    def size(self) -> float:
        """The size of the difference seen; NaN where no seed has it."""
        known = self.contrast[~np.isnan(self.contrast).any(axis=1)]
        return abs(float(known.mean())) if len(known) else np.nan

    @property
    def is_small(self) -> bool:
        """Return whether the difference seen is below the goal, which is then the margin of interest."""
        return self.size < self.goal


@dataclass(frozen=True)
class MoreSeeds:
    """The sweep's settings for a question, and how many cells they add to those that are planned."""

    settings: str
    num_cells: int


def planned_seeds(findings: Findings, question: OpenQuestion) -> set[Seed] | set[int]:
    """Return the seeds that the plan has for everything that the question compares: pairs of subset and training, or
    subsets where these are the replicates.
    """
    pairs = _planned_sets(findings, question)
    if are_subsets(findings.results.cells):
        return _common([{subset for subset, _ in seeds} for seeds in pairs])
    return _common(pairs)


def _common(sets: list[set[Any]]) -> set[Any]:
    return set.intersection(*sets) if sets else set()


def is_waiting(findings: Findings, question: OpenQuestion) -> bool:
    """Return whether planned cells of the question are missing."""
    missing = seeds_by_point(findings.results.missing)
    return any((*rung, count) in missing for rung in _rungs(findings, question) for count in question.label_counts)


def more_seeds(findings: Findings, question: OpenQuestion, num_seeds: int) -> MoreSeeds:
    """Return the settings that run the question's cells with a number of seeds, each another subset.

    Several training seeds of a subset are no replicates of their own (``replicates``), so they do not count as more.

    The arms that the question's arms start from come along, since they are what 0 pretraining epochs would be, and the
    reference, which a sweep does not go without.
    """
    grid = findings.results.settings("grid")
    num_train_seeds = len(grid.get("train_seeds") or [0])
    runs = _pretraining_seeds(findings)
    seeds = _subset_seeds(findings, question, num_seeds, runs)
    rows = findings.variants[findings.variants["variant"].isin(question.variants)]
    arms = list(dict.fromkeys([*rows["base_arm"], *rows["arm"], *_reference_arm(findings)]))
    counts = list(question.label_counts)
    pairs = {"arms": arms, "label_counts": counts, "subset_seeds": seeds}
    if len(runs) > 1:
        pairs["pretraining_seeds"] = runs
    pairs["intermediate_label_counts"] = counts if question.with_epochs else []
    text = " ".join(f"grid.{key}=[{','.join(map(str, values))}]" for key, values in pairs.items())
    text += " grid.intermediate_subset_seeds=null"  # those of a preset need not be among these seeds
    num_cells = 0
    for rung, count in itertools.product(_planned_rungs(findings, arms, question.with_epochs), counts):
        there = Counter(subset for subset, _ in findings.planned_seeds.get((*rung, count), ()))
        num_cells += sum(max(0, num_train_seeds - there[seed]) for seed in seeds)
    return MoreSeeds(text, num_cells)


def _subset_seeds(findings: Findings, question: OpenQuestion, num_subsets: int, runs: list[int]) -> list[int]:
    """Return subset seeds at whose positions the grid deals the pretraining seeds that the plan has for them.

    First come those that the question has in whole, then those that it has in part, those planned elsewhere, new ones.
    """
    dealt, ordered = _dealt(findings), _plan_order(findings)
    sets = _planned_sets(findings, question)
    whole = {subset for subset, _ in _common(sets)}
    part = {subset for seeds in sets for subset, _ in seeds}
    known = sorted(ordered, key=lambda seed: (seed not in whole, seed not in part))  # stable: the plan's order
    new = (seed for seed in itertools.count() if seed not in ordered)
    seeds: list[int] = []
    while len(seeds) < num_subsets or not whole <= set(seeds):
        run = runs[len(seeds) % len(runs)]
        fitting = (seed for seed in known if dealt.get(seed, run) in (run, None))
        seed = next(fitting, None)
        seeds.append(next(new) if seed is None else seed)
        known = [each for each in known if each != seed]
    return seeds


def _pretraining_seeds(findings: Findings) -> list[int]:
    """Return the pretraining seeds that the grid deals to the subsets in turn."""
    configured = findings.results.settings("grid").get("pretraining_seeds")
    return [int(seed) for seed in configured or dict.fromkeys(_pretrained(findings)["pretraining_seed"])] or [0]


def _dealt(findings: Findings) -> dict[int, int | None]:
    """Return the pretraining seed that each planned subset has; None where the grid deals it no longer."""
    rows, runs = _pretrained(findings), _pretraining_seeds(findings)
    pairs = zip(rows["subset_seed"].astype(int), rows["pretraining_seed"].astype(int), strict=True)
    return {subset: run if run in runs else None for subset, run in pairs}


def _plan_order(findings: Findings) -> list[int]:
    """Return all planned subset seeds as the experiment lists them; those that it no longer lists come last."""
    listed = findings.results.settings("grid").get("subset_seeds") or []
    there = list(dict.fromkeys(map(int, findings.planned["subset_seed"])))
    return [*(seed for seed in listed if seed in there), *(seed for seed in there if seed not in listed)]


def _pretrained(findings: Findings) -> pd.DataFrame:
    return findings.planned[findings.planned["pretraining_chain"] != ""]


def _planned_sets(findings: Findings, question: OpenQuestion) -> list[set[Seed]]:
    """Return the planned seeds of everything that the question compares."""
    points = itertools.product(_rungs(findings, question), question.label_counts)
    return [findings.planned_seeds.get((*rung, count), set()) for rung, count in points]


def _rungs(findings: Findings, question: OpenQuestion) -> list[Rung]:
    """Return arm and pretraining epochs of each variant that the question compares."""
    rows = findings.variants[findings.variants["variant"].isin(question.variants)]
    return [(str(arm), int(epochs)) for arm, epochs in zip(rows["arm"], rows["pretraining_epochs"], strict=True)]


def _planned_rungs(findings: Findings, arms: list[str], with_epochs: bool) -> Iterator[Rung]:
    """Yield the epochs of each arm that is planned: all of them, or its last alone."""
    for arm in arms:
        numbers = sorted({number for other, number, _ in findings.planned_seeds if other == arm})
        epochs = [number for number in numbers if number] or numbers  # a 0 beside others is of a plan before these
        yield from ((arm, number) for number in (epochs if with_epochs else epochs[-1:]))


def _reference_arm(findings: Findings) -> list[str]:
    """Return the arm that the sweep's report is configured to compare with, where it is planned or run at all."""
    arm = findings.results.options.reference_arm
    return [arm] if arm in {*findings.results.planned["arm"].unique(), *findings.variants["arm"]} else []

"""Compare two experiments where they ran the same: python -m analysis.compare A B [--output DIR]

In: two results folders, of two data sets, recipes or network sizes. Out: comparison.md, comparison.csv: error of every
arm that both have at every label count that both have, their difference with interval, and what the two were
configured differently; arms.csv: speed-up, labels needed and law of every arm in each of them. Exit status 1 and one
line on standard error where nothing is common.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.compare_arms import arms_note, arms_table, shown
from analysis.comparisons.comparison import holm
from analysis.comparisons.unpaired import independent_difference, paired_contrast
from analysis.counted import number
from analysis.findings import Findings, find
from analysis.intervals.uncertainty import Floats
from analysis.loading.load import ExperimentResults, load_results
from analysis.loading.replicates import are_subsets
from analysis.loading.selection import ReportError
from analysis.scores.error_curve import ErrorCurve
from analysis.tables.readable import escaped, plain
from trainables.results import write_text
from trainables.results.programs import DONE, EXIT_CODES, program

NOT_OF_NUMBERS = ("name", "compute", "report", "grid")  # sections that change which cells there are, or none of them
BUT_OF_NUMBERS = ("compute.pretraining_workers", "grid.train_seeds", "grid.pretraining_seeds")  # in these sections
CONTENT = ("content_id", "data_id", "pool_id")  # of data.json: images and masks, with their split; unlabelled images
PATHS = {"data.root": "data_id", "data.unlabelled_root": "pool_id"}  # say nothing where the content is known


@dataclass(frozen=True)
class Comparison:
    """One row for each arm and label count that both have, the count of differences in words, and all as Markdown."""

    names: str  # both experiments, and where they are
    table: pd.DataFrame
    arms: pd.DataFrame  # two rows for each common variant, see ``compare_arms``
    summary: str
    markdown: str


@dataclass(frozen=True)
class Side:
    """One experiment's errors."""

    results: ExperimentResults
    counts: list[int]
    seeds: list[str]
    curves: Mapping[str, ErrorCurve]
    patients: tuple[str, ...]  # of the errors; empty where these are of whole cells

    def logs(self, variant: str, count: int) -> Floats:
        """Return (seed, patient) log errors at a label count."""
        return self.curves[variant].logs.values[:, :, self.counts.index(count)]


def compare(first: Path, second: Path) -> Comparison:
    """Compare two results folders. Raises ReportError where nothing is common."""
    findings = find(load_results(first)), find(load_results(second))
    sides = _side(findings[0]), _side(findings[1])
    _check_common(*sides)
    table = _table(*sides)
    arms = arms_table(*findings)
    words = _markdown(*sides, table, [escaped(arms_note(*findings)), plain(shown(arms)).markdown()])
    return Comparison(_names(*sides), table, arms, _counted(table, sides[0].results.options.confidence), words)


@program
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m analysis.compare", description="Compare two sweeps.", epilog=EXIT_CODES
    )
    parser.add_argument("first", type=Path, help="a results folder")
    parser.add_argument("second", type=Path, help="another results folder")
    parser.add_argument("--output", type=Path, default=Path("comparison"), help="where to write (default: comparison)")
    chosen = parser.parse_args(arguments)
    found = compare(chosen.first, chosen.second)
    _check_output(chosen.output, found.names)
    write_text(chosen.output / "comparison.md", found.markdown)
    found.table.to_csv(chosen.output / "comparison.csv", index=False)
    found.arms.to_csv(chosen.output / "arms.csv", index=False)
    print(f"{found.summary}\nComparison: {(chosen.output / 'comparison.md').absolute()}")
    return DONE


def _check_output(output: Path, names: str) -> None:
    """Refuse to write over the comparison of two other experiments; that of the same two is made anew."""
    page = output / "comparison.md"
    if page.exists() and not any(each in page.read_text() for each in (escaped(names), names)):
        expected = f"expected none, or one of {names}"
        raise ReportError(f"{page} holds another comparison; {expected}; choose another folder with --output")


def _names(first: Side, second: Side) -> str:
    sides = zip(("first", "second"), (first.results, second.results), strict=True)
    return "; ".join(f"{which}: {results.name} ({results.root})" for which, results in sides)


def _side(findings: Findings) -> Side:
    counts = [int(count) for count in findings.label_counts]
    patients = findings.cell_errors.patients
    return Side(findings.results, counts, list(findings.seeds), findings.curves, patients)


def _check_common(first: Side, second: Side) -> None:
    units = first.results.label_unit, second.results.label_unit
    if units[0] != units[1]:
        raise ReportError(f"nothing to compare: labels are counted in {units[0]} and in {units[1]}")
    if not list(_common(first, second)):
        sides = [f"{s.results.root} has {', '.join(s.curves)} at {s.counts} {units[0]}" for s in (first, second)]
        raise ReportError(f"nothing to compare: expected an arm and a label count that both have; {'; '.join(sides)}")


def _common(first: Side, second: Side) -> Iterator[tuple[str, int]]:
    """Yield variants and label counts that have a result on both sides."""
    for variant in first.curves:
        for count in first.counts:
            if variant in second.curves and count in second.counts:
                both = first.logs(variant, count), second.logs(variant, count)
                if all((~np.isnan(logs)).all(axis=1).any() for logs in both):
                    yield variant, count


def _table(first: Side, second: Side) -> pd.DataFrame:
    rows = []
    for variant, count in _common(first, second):
        one, other, is_paired = _compared(first, second, variant, count)
        method = paired_contrast if is_paired else independent_difference
        found = method(one, other, first.results.options.confidence)
        ratio = found.estimate.exponential()
        means = [float(np.exp(values[~np.isnan(values).any(axis=1)].mean())) for values in (one, other)]
        interval = (ratio.value, ratio.low, ratio.high, ratio.num_seeds)
        rows.append((variant, count, *means, *interval, found.method, found.p_value))
    columns = ["variant", "label_count", "first_error", "second_error", "ratio", "low", "high", "num_seeds"]
    table = pd.DataFrame(rows, columns=[*columns, "method", "p_value"])
    return table.assign(holm_p_value=holm(list(table["p_value"])))


def _compared(first: Side, second: Side, variant: str, count: int) -> tuple[Floats, Floats, bool]:
    """Return the log errors (seed, patient) of both sides that a row rests on, and whether they are paired.

    They are where both sides have the same seeds and patients, at two seeds or more: then of these seeds alone.
    """
    one, other = first.logs(variant, count), second.logs(variant, count)
    if not are_paired(first.results, second.results) or first.patients != second.patients:
        return one, other, False
    names = _seed_names(first, second)
    shared = [seed for seed in names[0] if seed in names[1]]
    ours, theirs = (
        values[[own.index(seed) for seed in shared]] for own, values in zip(names, (one, other), strict=True)
    )
    known = ~np.isnan(ours + theirs).any(axis=1)
    return (ours[known], theirs[known], True) if known.sum() > 1 else (one, other, False)


def _seed_names(first: Side, second: Side) -> tuple[list[str], list[str]]:
    """Return names of both sides' seeds that are equal where the labelled images are.

    Where the seeds of one side alone are subsets, so are the other's, if each has a single training there.
    """
    if are_subsets(first.results.cells) == are_subsets(second.results.cells):
        return first.seeds, second.seeds
    subsets = [[seed.partition("/")[0] for seed in side.seeds] for side in (first, second)]
    if any(len(set(names)) < len(names) for names in subsets):
        return [], []
    return subsets[0], subsets[1]


def are_paired(first: ExperimentResults, second: ExperimentResults) -> bool:
    """Return whether both tested the same patients of the same data, so that equal seeds labelled equal images.

    The content of the data is compared by its id: patients of two data sets may well bear the same names.
    """
    patients = [set(results.cases["patient"]) for results in (first, second)]
    contents = [results.data.get("content_id") for results in (first, second)]
    return bool(patients[0]) and patients[0] == patients[1] and contents[0] is not None and contents[0] == contents[1]


def _markdown(first: Side, second: Side, table: pd.DataFrame, arms: list[str]) -> str:
    paired = int((table["method"] == "paired").sum())
    how = f"{paired} of {len(table)} ratios are paired over the seeds and test patients that both share"
    level = f"{100 * first.results.options.confidence:g}%"
    changed = [
        f"- `{key}`: {escaped(' / '.join('not set' if value is None else str(value) for value in values))}"
        for key, *values in differing(first.results, second.results)
    ]
    parts = [
        f"# {escaped(f'{first.results.name} and {second.results.name}')}",
        "Errors are 1 - mean foreground Dice on the test patients, geometric means over seeds; "
        f"{escaped(_names(first, second))}. A ratio is second over first: below 1 the second is better. Intervals are "
        f"{level} t intervals over seeds and test patients; {how}, the others are of independent means.",
        _counted(table, first.results.options.confidence),
        plain(table).markdown(),
        "## Convergence, labels needed and laws",
        *arms,
        "## What differs",
        "\n".join(changed) or "Nothing that changes numbers is configured differently.",
    ]
    return "\n\n".join(parts) + "\n"


def _counted(table: pd.DataFrame, confidence: float) -> str:
    told = table[(table["holm_p_value"] < 1 - confidence) & table["low"].notna()]
    lower = int((told["ratio"] < 1).sum())
    return (
        f"Of {number(len(table), 'comparison')} the second has a lower error in {lower} and a higher one in "
        f"{len(told) - lower}, adjusted for all; {len(table) - len(told)} without a significant difference."
    )


def differing(first: ExperimentResults, second: ExperimentResults) -> list[tuple[str, Any, Any]]:
    """List what the two experiments do not share and what changes numbers: settings, by dotted key, and data by id."""
    sides = [_of_numbers(results) for results in (first, second)]
    keys = sorted({*sides[0], *sides[1]})
    known = {key for key in CONTENT if all(results.data.get(key) for results in (first, second))}
    keys = [key for key in keys if PATHS.get(key) not in known]
    return [(key, sides[0].get(key), sides[1].get(key)) for key in keys if sides[0].get(key) != sides[1].get(key)]


def _of_numbers(results: ExperimentResults) -> dict[str, Any]:
    """Return the settings that change numbers, by dotted key, and the ids of the data."""
    settings = {
        key: value
        for key, value in _leaves(results.config).items()
        if key in BUT_OF_NUMBERS or key.partition(".")[0] not in NOT_OF_NUMBERS
    }
    return settings | {key: results.data[key] for key in CONTENT if key in results.data}


def _leaves(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= _leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


if __name__ == "__main__":
    sys.exit(main())

"""More seeds only where an answer is open: python -m analysis.next_run RESULTS [--looks K] [--all-label-counts]

In: the results of a sweep. Out, on standard output: the settings that would settle its first open question, for the
sweep's own command; in words, on standard error, what is open and why the loop ends. Exit codes: 0 there is more to
run, 1 error, 2 usage, 3 nothing to run: all is settled, no number of seeds would settle it, or the looks are used up.

In a shell, the whole procedure::

    while settings=$(python -m analysis.next_run RESULTS); do
      python -m sweep.data_efficiency --preset NAME --results RESULTS $settings
    done

Rule: a look is one plan that has been run to its end, the first sweep included. At each of at most K looks a difference
is taken as told where its interval at the level 1 - alpha / K leaves out zero (alpha = 1 - ``report.confidence``), so
that over all looks together a comparison of equal arms is called different in at most alpha of the sweeps (Bonferroni;
O'Brien & Fleming 1979 spend it more cleverly, but need the looks equally spaced). In the simulation of its test, looks
with 3, 6, 12 and 24 seeds at 95 % call equal arms different in 13 % of 2,000 sweeps, and in 3.8 % with the division.
The report itself goes on to show single intervals.

Which of two arms is better is not asked at label counts beyond the plateau that both have reached (``plateau``), unless
``--all-label-counts`` is given; what is left out is said.
"""

import argparse
import dataclasses
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis.findings import Findings, find
from analysis.loading.load import ExperimentResults, load_results
from analysis.planning.advice import describe, nothing_open
from analysis.planning.next_steps import NextStep, next_steps
from analysis.planning.plateau import Plateau, plateau
from trainables.results import read_table
from trainables.results.programs import DONE, EXIT_CODES, program

NOTHING = 3  # to run: an exit code
LOOKS = 4


@dataclass(frozen=True)
class NextRun:
    """What to run, or why nothing: ``settings`` are empty then."""

    settings: str
    reason: str


def next_run(results: ExperimentResults, looks: int = LOOKS, all_label_counts: bool = False) -> NextRun:
    """Return the settings that would settle the first open question of a sweep that was looked at before or not.

    ``all_label_counts``: whether questions beyond the plateau are asked, too.
    """
    if len(results.missing):
        return NextRun("", f"{len(results.missing)} planned cells are missing; run the sweep to its end first")
    used = looks_used(results)
    if used >= looks:
        return NextRun("", f"look {used} of {looks}: the looks are used up; what is open stays open (--looks)")
    alpha = (1 - results.options.confidence) / looks
    options = dataclasses.replace(results.options, confidence=1 - alpha)
    findings = find(dataclasses.replace(results, options=options))
    found = next_steps(findings)
    passed = {} if all_label_counts else _beyond_plateau(findings, found)
    steps = [step for number, step in enumerate(found) if number not in passed]
    runs = [step for step in steps if step.num_cells]
    level, left_out = f"look {used} of {looks}, each at {100 * (1 - alpha):.4g}%", _left_out(found, passed, results)
    if not runs:
        why = "No other question is open." if passed and not steps else _why_nothing(findings, steps)
        return NextRun("", f"{level}: {why}{left_out}")
    return NextRun(runs[0].settings, f"{level}: {runs[0].question.words} {describe(runs[0])}{left_out}")


def _beyond_plateau(findings: Findings, steps: Sequence[NextStep]) -> dict[int, Plateau]:
    """Return the positions of steps that ask which arm is better beyond the plateau of both, each with its plateau."""
    passed = {}
    for number, step in enumerate(steps):
        found = plateau(findings, step.question.variants) if step.question.about == "arms" else None
        if found and found.is_passed_by(step.question.label_counts):
            passed[number] = found
    return passed


def _left_out(steps: Sequence[NextStep], passed: Mapping[int, Plateau], results: ExperimentResults) -> str:
    """Say which questions were left out, and by which rule; nothing where none was."""
    if not passed:
        return ""
    each = [
        f"{', '.join(map(str, steps[number].question.label_counts))} ({' and '.join(steps[number].question.variants)}: "
        f"from {found.starts_at} on)"
        for number, found in passed.items()
    ]
    first = next(iter(passed.values()))
    return (
        f" Left out as beyond the plateau, where both arms are within {100 * first.margin:g}% of their own error with "
        f"{first.most_labels} labelled {results.label_unit}: {'; '.join(each)}. --all-label-counts asks there, too."
    )


def looks_used(results: ExperimentResults) -> int:
    """Return how many plans of this protocol have been made, the first one included; 1 where none came with it."""
    planned, _ = read_table(results.root, "planned", ["plan_number", "protocol_id"])
    protocol = results.cells["protocol_id"].iloc[0]
    return max(1, len({row["plan_number"] for row in planned.to_pylist() if row["protocol_id"] == protocol}))


def _why_nothing(findings: Findings, steps: Sequence[NextStep]) -> str:
    if not steps:
        return nothing_open(findings)
    return " ".join(f"{step.question.words} {describe(step)}" for step in steps)


@program
def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, print what to run and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m analysis.next_run",
        description="Print the sweep's settings that would settle what is open.",
        epilog=f"{EXIT_CODES}, 3 nothing to run",
    )
    parser.add_argument("results", type=Path, metavar="RESULTS")
    parser.add_argument("--looks", type=_looks, default=LOOKS, metavar="K", help=f"at most so many (default {LOOKS})")
    beyond = "ask which arm is better at label counts beyond the plateau, too"
    parser.add_argument("--all-label-counts", action="store_true", help=beyond)
    options = parser.parse_args(arguments)
    found = next_run(load_results(options.results), options.looks, options.all_label_counts)
    print(found.reason, file=sys.stderr)
    if not found.settings:
        return NOTHING
    print(found.settings)
    return DONE


def _looks(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, found {text!r}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())

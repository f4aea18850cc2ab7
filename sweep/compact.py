"""Merge the many small files of a results folder into few large ones: python -m sweep.compact RESULTS

In: a results folder, running or stopped. Out: the same rows in one file for each of ``cells``, ``curves``,
``cases`` and ``examples``; one line a table. It may run beside a sweep and be killed at any moment
(``trainables.results.compaction``). A run that leaves many files does so at its end of its own accord.
Exit codes: 0 compacted, or nothing to do; 1 error; 2 usage.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from sweep.exit_codes import DONE
from trainables.results import Compacted, compact, is_compacted
from trainables.results.programs import EXIT_CODES, program

COMPACTED_FROM = 1000  # cells in files of their own at the end of a run


def describe(table: Compacted) -> str:
    """Say what became of a table in one line."""
    if table.path is None:
        return f"{table.table}: nothing to merge; {table.num_cells} cells in compacted files"
    size = table.path.stat().st_size / 2**20
    return f"{table.table}: {table.num_files} files of {table.num_cells} cells -> {table.path.name}, {size:.1f} MiB"


def compact_many(results: Path, say: Callable[[str], None]) -> None:
    """Merge the files of many finished cells, which are read many times as fast then; nothing depends on it."""
    singles = sum(not is_compacted("cells", path.name) for path in (results / "cells").glob("*.parquet"))
    if singles < COMPACTED_FROM:
        return
    try:
        tables = compact(results)
    except (Exception, KeyboardInterrupt) as error:  # said, and whatever it was, the run before it has ended well
        say(f"warning: the cells' files were not merged: {str(error) or type(error).__name__}")
        return
    for problem in (problem for table in tables for problem in table.problems):
        say(f"left as it is: {problem}")
    say(f"merged the cells' files ({sum(table.num_files for table in tables):,}), as python -m sweep.compact does")


@program
def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, compact and return the exit code."""
    about = (__doc__ or "").partition(":")[0]
    parser = argparse.ArgumentParser(prog="python -m sweep.compact", description=about, epilog=EXIT_CODES)
    parser.add_argument("results", type=Path, metavar="RESULTS")
    options = parser.parse_args(arguments)
    for table in compact(options.results):
        print(describe(table))
        for problem in table.problems:
            print(f"left as it is: {problem}", file=sys.stderr)
    return DONE


if __name__ == "__main__":
    sys.exit(main())

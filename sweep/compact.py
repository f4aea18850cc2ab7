"""Merge the many small files of a results folder into few large ones: python -m sweep.compact RESULTS

In: a results folder, running or stopped. Out: the same rows in one file for each of ``cells``, ``curves``,
``cases`` and ``examples``; one line a table. It may run beside a sweep and be killed at any moment
(``trainables.results.compaction``).
Exit codes: 0 compacted, or nothing to do; 1 error; 2 usage.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from trainables.results import Compacted, ResultsError, compact

DONE, ERROR = 0, 1


def describe(table: Compacted) -> str:
    """Say what became of a table in one line."""
    if table.path is None:
        return f"{table.table}: nothing to merge; {table.num_cells} cells in compacted files"
    size = table.path.stat().st_size / 2**20
    return f"{table.table}: {table.num_files} files of {table.num_cells} cells -> {table.path.name}, {size:.1f} MiB"


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, compact and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m sweep.compact", description=(__doc__ or "").partition(":")[0])
    parser.add_argument("results", type=Path, metavar="RESULTS")
    options = parser.parse_args(arguments)
    try:
        tables = compact(options.results)
    except (ResultsError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return ERROR
    for table in tables:
        print(describe(table))
        for problem in table.problems:
            print(f"left as it is: {problem}", file=sys.stderr)
    return DONE


if __name__ == "__main__":
    sys.exit(main())

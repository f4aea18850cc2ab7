"""Keep a report up to date while its sweep runs: python -m analysis.report RESULTS --watch [SECONDS]

In: a results folder that grows. Out: the report again whenever something changed, until every planned cell has finished
or Ctrl-C. Meanwhile the page asks its browser to load it anew; the last page does not.
"""

import time
from collections.abc import Callable
from pathlib import Path

from analysis.page import without_reload
from analysis.selection import ReportError
from trainables.results import SCHEMAS, write_text

State = dict[str, tuple[int, int]]


def watch(
    results: Path,
    write: Callable[[int | None], tuple[Path, int]],
    seconds: int,
    say: Callable[[str], None],
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Write a report at once and after every change; ``write`` takes seconds and returns page and missing cells.

    A folder without finished cells is waited for. What comes in while a report is made is met by the next look.
    """
    before: State | None = None
    page: Path | None = None
    try:
        while True:
            now = state(results)
            if now != before:
                page, missing = _write(write, seconds, say)
                before = now
                if page is not None and missing == 0:
                    break
            sleep(seconds)
    except KeyboardInterrupt:
        say("Stopped watching.")
    if page is not None:
        write_text(page, without_reload(page.read_text()))


def state(results: Path) -> State:
    """Return the number of files of every table and the time of the latest: what a change alters."""
    found = {}
    for table in SCHEMAS:
        times = [path.stat().st_mtime_ns for path in (results / table).glob("[!.]*.parquet") if path.exists()]
        found[table] = (len(times), max(times, default=0))
    return found


def _write(
    write: Callable[[int | None], tuple[Path, int]], seconds: int, say: Callable[[str], None]
) -> tuple[Path | None, int]:
    try:
        page, missing = write(seconds)
    except ReportError as error:
        say(f"Waiting: {error}")
        return None, 0
    left = f"{missing} cell{'s' if missing != 1 else ''} to come" if missing else "All planned cells are there"
    say(f"{left}. Report: {page}")
    return page, missing

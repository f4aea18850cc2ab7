"""Keep a report up to date while its sweep runs: python -m analysis.report RESULTS --watch [SECONDS]

In: a results folder that grows. Out: the report again whenever something changed, until every planned cell has
finished, no run is left to make those that failed, or Ctrl-C. Meanwhile the page asks its browser to load it anew; the
last page does not.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from analysis.loading.selection import NothingFinishedError
from analysis.page.html_page import without_reload
from trainables.results import SCHEMAS, is_held, write_text

State = dict[str, tuple[int, int]]


@dataclass(frozen=True)
class Written:
    """A report that was made, and the planned cells that it lacks."""

    page: Path
    num_missing: int
    num_given_up: int = 0  # of these, cells that failed

    @property
    def is_complete(self) -> bool:
        """Return whether every planned cell is there."""
        return self.num_missing == 0

    @property
    def is_given_up(self) -> bool:
        """Return whether of the missing cells none is still to come from the run at work."""
        return self.num_given_up == self.num_missing


def watch(
    results: Path,
    write: Callable[[int | None], Written],
    seconds: int,
    say: Callable[[str], None],
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Write a report at once and after every change, until the last planned cell is there; ``write`` takes seconds.

    A folder without finished cells is waited for; every other ReportError ends it. What comes in while a report is made
    is met by the next look. Where all that is missing has failed, it ends with the run that holds the folder.
    """
    before: State | None = None
    report: Written | None = None
    try:
        while True:
            is_running = is_held(results)  # before the look: what the run wrote last is then seen
            now = state(results)
            if now != before:
                report, before = _write(write, seconds, say), now
            if report is not None and (report.is_complete or (report.is_given_up and not is_running)):
                break
            sleep(seconds)
        if not report.is_complete:
            lost = f"{_cells(report.num_missing)} failed or {'were' if report.num_missing != 1 else 'was'} lost"
            say(f"No run is at work; {lost}: run the sweep again to try anew.")
    except KeyboardInterrupt:
        say("Stopped watching.")
    if report is not None:
        write_text(report.page, without_reload(report.page.read_text()))


def state(results: Path) -> State:
    """Return the number of files of every table and the time of the latest: what a change alters."""
    found = {}
    for table in SCHEMAS:
        times = [time for path in (results / table).glob("[!.]*.parquet") if (time := _changed_at(path)) is not None]
        found[table] = (len(times), max(times, default=0))
    return found


def _changed_at(path: Path) -> int | None:
    """Return when a file was written; None where compaction has removed it since it was listed."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return None


def _write(write: Callable[[int | None], Written], seconds: int, say: Callable[[str], None]) -> Written | None:
    try:
        report = write(seconds)
    except NothingFinishedError as error:
        say(f"Waiting: {error}")
        return None
    left = "All planned cells are there" if report.is_complete else f"{_cells(report.num_missing)} to come"
    say(f"{left}. Report: {report.page}")
    return report


def _cells(number: int) -> str:
    return f"{number} cell{'s' if number != 1 else ''}"

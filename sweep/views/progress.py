"""What a person sees while it runs: on a terminal a live table, in a log one line every half minute.

In: a Scoreboard. Out: text on a console; every half minute, and at the end, also whatever else ``reports`` do with a
moment of the run.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live

from sweep.state.counts import Counts
from sweep.state.scoreboard import Scoreboard
from sweep.views.live_view import Money, live_view
from sweep.wording import amount, duration

LOG_SECONDS = 30.0
LIVE_SECONDS = 0.5

Report = Callable[[Counts], None]


def status_line(counts: Counts, price: float | None = None) -> str:
    """Describe a moment of a run in one line."""
    num_stages = counts.stages_done + counts.stages_failed + counts.stages_left + len(counts.stages_running)
    cells = counts.cells_done + counts.cells_failed + counts.cells_left + counts.cells_running
    parts = [f"{duration(counts.seconds)}"]
    if num_stages:
        training = ", ".join(each.words for each in counts.stages_running)
        running = f", training {training}" if training else ""
        failed = f", {counts.stages_failed} failed" if counts.stages_failed else ""
        parts.append(f"pretraining stages {counts.stages_done}/{num_stages}{running}{failed}")
    failed = f", {counts.cells_failed} failed" if counts.cells_failed else ""
    parts.append(f"cells {counts.cells_done}/{cells}, {counts.cells_running} running{failed}")
    if counts.seconds_left is not None and counts.cells_left + counts.cells_running:
        parts.append(f"about {duration(counts.seconds_left)} left")
    if price is not None:
        parts.append(f"cost {amount(price * counts.device_seconds / 3600)}")
    return " | ".join(parts)


@contextmanager
def shown(
    board: Scoreboard, console: Console, money: Money | None = None, reports: Sequence[Report] = ()
) -> Iterator[None]:
    """Show the run's state until the body ends."""
    stop = threading.Event()
    show = _show_live if console.is_terminal else _show_lines
    threads = [
        threading.Thread(target=show, args=(board, console, money or Money(), stop), daemon=True),
        threading.Thread(target=_report, args=(board, reports, stop), daemon=True),
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _show_live(board: Scoreboard, console: Console, money: Money, stop: threading.Event) -> None:
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while not stop.wait(LIVE_SECONDS):
            live.update(live_view(board.counts(), money), refresh=True)


def _show_lines(board: Scoreboard, console: Console, money: Money, stop: threading.Event) -> None:
    while not stop.wait(LOG_SECONDS):
        console.print(status_line(board.counts(), money.price), highlight=False, soft_wrap=True)


def _report(board: Scoreboard, reports: Sequence[Report], stop: threading.Event) -> None:
    """Report every half minute, whatever the reports themselves take, and a last time at the end."""
    due = time.monotonic() + LOG_SECONDS
    is_last = not reports
    while not is_last:
        is_last = stop.wait(max(0.0, due - time.monotonic()))
        due += LOG_SECONDS
        for report in reports:
            report(board.counts())

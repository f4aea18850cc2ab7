"""What a person sees while it runs, and at the end.

In: a Scoreboard. Out: on a terminal one live line; in a log one line every half minute; a closing table. Nothing
else is printed.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from sweep.plan import Plan
from sweep.scoreboard import Counts, Scoreboard
from trainables.results import finished_cells

LOG_SECONDS = 30.0


def duration(seconds: float) -> str:
    """Write seconds as 42 s, 7 min 5 s or 3 h 20 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def status_line(counts: Counts, seconds_left: float | None) -> str:
    """Describe a moment of a run in one line."""
    num_stages = counts.stages_done + counts.stages_failed + counts.stages_left + len(counts.stages_running)
    cells = counts.cells_done + counts.cells_failed + counts.cells_left + counts.cells_running
    parts = [f"{duration(counts.seconds)}"]
    if num_stages:
        running = f", training {', '.join(counts.stages_running)}" if counts.stages_running else ""
        failed = f", {counts.stages_failed} failed" if counts.stages_failed else ""
        parts.append(f"pretraining stages {counts.stages_done}/{num_stages}{running}{failed}")
    failed = f", {counts.cells_failed} failed" if counts.cells_failed else ""
    parts.append(f"cells {counts.cells_done}/{cells}, {counts.cells_running} running{failed}")
    if seconds_left is not None and counts.cells_left + counts.cells_running:
        parts.append(f"about {duration(seconds_left)} left")
    return " | ".join(parts)


@contextmanager
def shown(board: Scoreboard, console: Console) -> Iterator[None]:
    """Show the run's state until the body ends."""
    stop = threading.Event()
    thread = threading.Thread(target=_show, args=(board, console, stop), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _show(board: Scoreboard, console: Console, stop: threading.Event) -> None:
    def line() -> str:
        return status_line(board.counts(), board.seconds_left())

    if console.is_terminal:
        with Live(console=console, refresh_per_second=2, transient=True) as live:
            while not stop.wait(0.5):
                live.update(Text(line()))
    else:
        while not stop.wait(LOG_SECONDS):
            console.print(line(), highlight=False, soft_wrap=True)


def closing_table(plan: Plan, board: Scoreboard, failed: dict[str, str]) -> Table:
    """Return a table of finished and failed cells by arm; ``failed`` maps cell ids to reasons."""
    counts = board.counts()
    table = Table(title=f"{counts.cells_done} cells in {duration(counts.seconds)}", title_justify="left")
    table.add_column("arm")
    for name in ("cells", "finished", "failed", "not run"):
        table.add_column(name, justify="right")
    finished = finished_cells(plan.cells[0].job.results)
    for arm in dict.fromkeys(cell.point.arm for cell in plan.cells):
        ids = [cell.job.cell_id for cell in plan.cells if cell.point.arm == arm]
        num_finished = sum(each in finished for each in ids)
        num_failed = sum(each in failed and each not in finished for each in ids)
        table.add_row(arm, *map(str, (len(ids), num_finished, num_failed, len(ids) - num_finished - num_failed)))
    return table

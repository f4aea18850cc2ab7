"""A bar while files are decoded. In: a console. Out: what ``decoded`` and ``natural`` report their progress to.

How wide tables are away from a terminal stands here, too.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from trainables.data.parallel import Progress as Report

LOG_WIDTH = 160  # columns


@contextmanager
def counted(what: str, console: Console) -> Iterator[Report]:
    """Show how many volumes or images are done of how many, until the body ends; in a log nothing is printed."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)

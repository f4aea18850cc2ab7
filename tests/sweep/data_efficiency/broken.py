"""Cells that fail as often as they are asked to."""

from benchmarks.scheduling import commit_made_up
from trainables.jobs import CellJob


class Broken:
    """Takes the place of a cell's work; fails by ``error`` for label counts and tries that are asked to."""

    def __init__(self, error: Exception, label_count: int = 2, tries: int = 99) -> None:
        self.error, self.label_count, self.tries, self.calls = error, label_count, tries, 0

    def __call__(self, job: CellJob) -> None:
        if job.axes["label_count"] == self.label_count:
            self.calls += 1
            if self.calls <= self.tries:
                raise self.error
        commit_made_up(job)

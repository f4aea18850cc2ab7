"""How many cells the next trial takes.

A trial must last longer than a worker process takes to start. Tune gives a finished trial's worker to the next
waiting trial and cancels the worker that was starting for it, so with shorter trials new workers never come up
(measured: cells of 3.5 s ran one after another on two free cores). Short cells therefore go out several to a trial.
Once all workers are up, each takes a part of its fair share of what is left, so that trials grow shorter towards the
end and no worker has the last cells alone: guided self-scheduling (Polychronopoulos & Kuck 1987), with half its share,
since cells and workers are not equally fast. Ray is not imported.

In: the seconds of finished trials and their workers. Out: numbers of cells.
"""

import math

TRIAL_SECONDS = 20.0
"""How long a trial should last: several times what a worker with torch takes to start (4 to 10 s)."""
LEAST_SECONDS = 0.25  # many times what Tune takes between two trials of a worker (10 to 20 ms)
PART = 0.5  # of a fair share, which one worker takes once all are up


class TrialSizes:
    """What is known of the cells' length and of the workers that are up."""

    def __init__(self) -> None:
        self._cell_seconds = TRIAL_SECONDS
        self._up: set[tuple[str, int]] = set()

    def trial_ended(self, cell_seconds: float, host: str, pid: int) -> None:
        """Note how long a cell of a trial took, and that the trial's worker waits for another one."""
        self._cell_seconds = max(cell_seconds, 0.01)
        self._up.add((host, pid))

    def workers_may_have_gone(self) -> None:
        """Note that a worker is lost or idle, and Tune keeps one idle one at most: each must show itself anew."""
        self._up.clear()

    def next_size(self, ready: int, allowed: int) -> int:
        """Return how many of the cells that are ready the next of so many workers takes."""
        fair_share = ready / allowed
        if len(self._up) < allowed:
            return math.ceil(min(TRIAL_SECONDS / self._cell_seconds, fair_share))
        least = min(LEAST_SECONDS / self._cell_seconds, fair_share)
        return math.ceil(min(TRIAL_SECONDS / self._cell_seconds, max(PART * fair_share, least)))

"""How long work takes on a share of a cluster, from the seconds of its stages and cells.

In: the stages and cells still to do, and the room for them. Out: seconds until the last has ended. The model is the
launcher's own order: stages on as many lanes as run at once, each once the encoder it starts from is there, of several
the one that ``start_key`` puts first; cells on the room that stages leave. Cells flow rather than start one by one, so
the answer is off by a cell or so at the end.
"""

import heapq
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

Encoder = tuple[str, int]  # a stage and the epoch after which it is kept


@dataclass(frozen=True)
class Room:
    """What runs at once, in units of one cell: cells on the whole cluster, what a stage takes, stages at once.

    ``stage_start_seconds``: from the start of a stage to its first step.
    """

    slots: int
    stage: int
    parallel_stages: int
    stage_start_seconds: float = 0.0

    def cells_allowed(self, stages_pending: int) -> int:
        """Return how many cells may run beside the stages that are still to come."""
        return max(0, self.slots - self.stage * min(self.parallel_stages, stages_pending))


@dataclass(frozen=True)
class StageWork:
    """A stage still to train: its seconds left, and when after its start each kept encoder is there."""

    stage_id: str
    parent: Encoder | None  # none: it can start at once
    seconds: float
    kept_after: Mapping[int, float]  # epoch -> seconds
    is_running: bool = False
    replicate: int = 0  # the position of its pretraining seed among the plan's


def stage_work(
    stage_id: str,
    parent: Encoder | None,
    kept_epochs: Iterable[int],
    epochs_done: int,
    epoch_seconds: float,
    is_running: bool,
    replicate: int,
) -> StageWork:
    """Return what is left of a stage with so many epochs behind it, if an epoch takes so long."""
    kept = {epoch: max(0.0, (epoch - epochs_done) * epoch_seconds) for epoch in kept_epochs}
    return StageWork(stage_id, parent, max(kept.values()), kept, is_running, replicate)


def replicates(seeds: Mapping[str, int]) -> dict[str, int]:
    """Return each stage's replicate from its pretraining seed: seeds count in the order of the plan's stages."""
    order = list(dict.fromkeys(seeds.values()))
    return {stage_id: order.index(seed) for stage_id, seed in seeds.items()}


@dataclass(frozen=True)
class Work:
    """Everything still to do: cells by the encoder that they start from, in cells; part of one may be done."""

    stages: Sequence[StageWork]  # each after the one it starts from
    cells: Mapping[Encoder | None, float]
    cell_seconds: float


def longest_behind(stages: Sequence[StageWork]) -> dict[str, float]:
    """Return the seconds from each stage's start to the end of all that follows from it, on unlimited room.

    ``stages``: each after the one it starts from.
    """
    behind: dict[str, float] = {}
    of_children: dict[str, list[tuple[int, float]]] = {}  # the epoch that each starts from, and what is behind it
    for stage in reversed(stages):
        later = (stage.kept_after.get(epoch, 0.0) + seconds for epoch, seconds in of_children.get(stage.stage_id, ()))
        behind[stage.stage_id] = max([stage.seconds, *later])
        if stage.parent:
            of_children.setdefault(stage.parent[0], []).append((stage.parent[1], behind[stage.stage_id]))
    return behind


def start_key(stage: StageWork, behind: Mapping[str, float]) -> tuple[int, float]:
    """Return what orders stages that can start: a replicate before the next, in it the longest chain behind first.

    A long chain that starts late is what a run waits for at its end; a run that is stopped should hold whole
    replicates. Source: critical-path list scheduling, Graham 1969.
    """
    return stage.replicate, -behind[stage.stage_id]


def wall_seconds(work: Work, room: Room) -> float:
    """Return the seconds until all of the work is done."""
    kept, ends = _stage_times(work.stages, room)
    arrivals = sorted((kept.get(source, 0.0) if source else 0.0, count) for source, count in work.cells.items())
    return max([_cells_end(arrivals, sorted(ends), work.cell_seconds, room), *ends])


def _stage_times(stages: Sequence[StageWork], room: Room) -> tuple[dict[Encoder, float], list[float]]:
    """Return when each encoder is there, and when each stage ends."""
    kept: dict[Encoder, float] = {}
    own = {stage.stage_id for stage in stages}
    ends: list[float] = []
    lanes = [0.0] * room.parallel_stages
    behind = longest_behind(stages)
    pending = sorted(stages, key=lambda stage: (not stage.is_running, *start_key(stage, behind)))

    def can_start(stage: StageWork) -> float:
        if stage.parent is None or stage.parent[0] not in own:
            return 0.0
        return kept.get(stage.parent, math.inf)

    while pending:
        free = heapq.heappop(lanes)
        stage = min(pending, key=lambda each: max(free, can_start(each)))  # the first of those that start earliest
        pending.remove(stage)
        start = max(free, can_start(stage)) + (0.0 if stage.is_running else room.stage_start_seconds)
        kept |= {(stage.stage_id, epoch): start + seconds for epoch, seconds in stage.kept_after.items()}
        ends.append(start + stage.seconds)
        heapq.heappush(lanes, ends[-1])
    return kept, ends


def _cells_end(arrivals: list[tuple[float, float]], ends: list[float], cell_seconds: float, room: Room) -> float:
    """Return when the last cell ends; ``arrivals`` are times and numbers of cells that can then start."""
    if not arrivals:
        return 0.0
    times = sorted({0.0, *(time for time, _ in arrivals), *ends})
    backlog, end = 0.0, 0.0
    for time, following in zip(times, [*times[1:], math.inf], strict=True):
        backlog += sum(count for arrival, count in arrivals if arrival == time)
        if not backlog:
            continue
        allowed = room.cells_allowed(sum(each > time for each in ends))
        at_once = min(allowed, math.ceil(backlog))
        needed = cell_seconds * max(backlog / at_once, min(backlog, 1.0)) if at_once else math.inf
        if needed <= following - time:
            backlog, end = 0.0, time + needed
        else:
            backlog -= (following - time) * at_once / cell_seconds
    return end

"""How long an experiment still takes, told from its results folder.

In: the cells asked for, which of them are finished, the epochs behind its stages, what the latest run knows. Out:
seconds, or None where something is unknown. While stages are still to train the cells' pace tells nothing of them, so
that stages and cells are laid on what runs at once (``time_left``). Failed cells count as still to run.
"""

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sweep.costs.latest_run import LatestRun
from sweep.costs.time_left import Encoder, StageWork, Work, replicates, stage_work, wall_seconds
from trainables.results import stages_of

Row = Mapping[str, Any]


def chain(planned: Row) -> list[Encoder]:
    """Return the stages behind a cell, each with the epoch that the next starts from."""
    return stages_of(planned["pretraining_chain"])


def seconds_left(
    missing: Sequence[Row], cell_seconds: Sequence[float], epochs: Iterable[Row], run: LatestRun, pace: float | None
) -> float | None:
    """Return the seconds until the missing cells are finished, as from now and with nothing of them under way.

    ``cell_seconds`` are those of the latest finished cells, ``pace`` is in cells a second; both come before what was
    expected of a cell. ``epochs``: rows with ``stage_id`` and ``seconds``.
    """
    seconds: dict[str, list[float]] = {}
    for row in epochs:
        seconds.setdefault(row["stage_id"], []).append(row["seconds"])
    stages = _stages(missing, seconds, run)
    if not stages:
        return len(missing) / pace if pace else None
    cell = statistics.median(cell_seconds) if cell_seconds else run.cell_seconds
    if cell is None or run.room is None or None in stages:
        return None
    untrained = [each for each in stages if each]
    to_come = {(stage.stage_id, epoch) for stage in untrained for epoch in stage.kept_after}
    sources = [next(iter(chain(row)[-1:]), None) for row in missing]
    cells = Counter(source if source in to_come else None for source in sources)
    return wall_seconds(Work(untrained, cells, cell), run.room)


def _stages(missing: Iterable[Row], seconds: Mapping[str, list[float]], run: LatestRun) -> list[StageWork | None]:
    """Return the stages that the missing cells wait for, parents first; None for one of unknown length."""
    parents: dict[str, Encoder | None] = {}
    needed: dict[str, set[int]] = {}
    seeds: dict[str, int] = {}
    for row in missing:
        parent: Encoder | None = None  # that is still to come
        for stage_id, epoch in chain(row):
            if is_left := epoch > len(seconds.get(stage_id, ())):
                parents[stage_id] = parent
                needed.setdefault(stage_id, set()).add(epoch)
                seeds.setdefault(stage_id, row["pretraining_seed"])
            parent = (stage_id, epoch) if is_left else None
    found: list[StageWork | None] = []
    replicate = replicates(seeds)
    for key, parent in parents.items():
        own = seconds.get(key, [])
        each = statistics.median(own) if own else run.epoch_seconds.get(key)
        is_running = bool(own)
        work = (
            None if each is None else stage_work(key, parent, needed[key], len(own), each, is_running, replicate[key])
        )
        found.append(work)
    return found

"""Which pretraining stages wait, run, are done or have failed in this run, and which encoders are there.

In: a Plan, what an epoch of its stages should take, and the starts and ends of its stages. Out: the next stage that can
start, the state behind each cell, and epochs. Of several stages that can start ``time_left.start_key`` says which comes
first. Not thread-safe by itself.
"""

import math
import time
from collections.abc import Mapping

from sweep.costs.time_left import Encoder, StageWork, longest_behind, replicates, stage_work, start_key
from sweep.plan import Plan, PlannedStage, Source
from trainables.encoder_store import epochs_done

LOOK_SECONDS = 1.0
WAITING, RUNNING, DONE, FAILED = "waiting", "running", "done", "failed"


class StageStates:
    """The stages of a run by id, each with its state.

    ``epoch_seconds``: of every stage; where they lack one, epochs of all stages count as equally long.
    """

    def __init__(self, plan: Plan, epoch_seconds: Mapping[str, float] | None = None) -> None:
        self.stages = {stage.stage_id: stage for stage in plan.stages}
        self._state = dict.fromkeys(self.stages, WAITING)
        self._epochs_before: dict[str, int] = {}  # of a stage, when this run got hold of it
        self._looked: dict[str, float] = {}  # when each encoder was last looked for; infinite once it was there
        self._replicate = replicates({stage.stage_id: stage.job.seed for stage in plan.stages})
        self._order = self._start_order(epoch_seconds or {})

    def in_state(self, *states: str) -> list[str]:
        """Return the ids of the stages in one of these states, in the plan's order."""
        return [key for key, state in self._state.items() if state in states]

    def start_next(self) -> PlannedStage | None:
        """Return a stage whose parent is done and mark it as running; none if nothing can start now."""
        for key in self._order:
            if self._state[key] != WAITING:
                continue
            parent = self.behind(self.stages[key].source)
            if parent == FAILED:
                self._state[key] = FAILED
            elif parent == DONE:
                self._state[key] = RUNNING
                return self.stages[key]
        return None

    def _start_order(self, epoch_seconds: Mapping[str, float]) -> list[str]:
        is_known = all(epoch_seconds.get(key) for key in self.stages)
        stages = [self.work(key, epoch_seconds[key] if is_known else 1.0) for key in self.stages]
        behind = longest_behind(stages)
        return [stage.stage_id for stage in sorted(stages, key=lambda stage: start_key(stage, behind))]

    def work(self, key: str, epoch_seconds: float) -> StageWork:
        """Return what is left of a stage that is not done, if an epoch takes so long."""
        stage, done = self.stages[key], self.epochs_done(key)
        parent = None if self.behind(stage.source) == DONE else encoder_of(stage.source)
        is_running = self._state[key] == RUNNING
        kept = stage.config.kept_epochs
        return stage_work(key, parent, kept, done, epoch_seconds, is_running, self._replicate[key])

    def hold(self, key: str) -> None:
        """Note that this run trains a stage from now on: no other experiment does any more."""
        self._epochs_before[key] = self.epochs_done(key)

    def end(self, key: str, succeeded: bool) -> None:
        """Mark a stage as done or failed; what depends on a failed one has failed, too."""
        self._state[key] = DONE if succeeded else FAILED
        for other in self.stages.values():  # in order: parents first
            if self._state[other.stage_id] == WAITING and self.behind(other.source) == FAILED:
                self._state[other.stage_id] = FAILED

    def stop(self, key: str) -> None:
        """Mark a stage as waiting for another run."""
        self._state[key] = WAITING
        self._epochs_before.pop(key, None)

    def epochs_done(self, key: str) -> int:
        """Return how many epochs a stage has behind it, or would go on from."""
        stage = self.stages[key]
        return epochs_done(stage.job.encoders, key, stage.config.kept_epochs)

    def epochs_here(self, key: str) -> int:
        """Return how many epochs a running stage has behind it in this run; 0 where this run does not train it."""
        if self._state[key] != RUNNING or key not in self._epochs_before:
            return 0
        return max(0, self.epochs_done(key) - self._epochs_before[key])

    def behind(self, source: Source) -> str:
        """Return ``done`` where the source's encoder is there already, though its stage may go on or have failed."""
        if source.stage is None or source.stage.stage_id not in self._state:
            return DONE  # nothing to train in this run
        return DONE if self._is_there(source) else self._state[source.stage.stage_id]

    def _is_there(self, source: Source) -> bool:
        """Whether an encoder exists; each is looked for once a second at most, whoever asks."""
        now = time.monotonic()
        if now - self._looked.get(source.weights, -math.inf) > LOOK_SECONDS:
            self._looked[source.weights] = math.inf if source.exists else now
        return self._looked[source.weights] == math.inf


def encoder_of(source: Source) -> Encoder:
    """Return a source as the stage and epoch after which it is there; only for one that is trained."""
    assert source.stage is not None
    return source.stage.stage_id, source.epoch

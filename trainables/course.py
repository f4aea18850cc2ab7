"""The course of a cell's training: its learning rate at each step, and where it ends.

In: a FinetuneConfig, and validation scores as they come. Out: a factor of the peak rate, the last step. Without
``stop`` every cell trains for ``steps`` under a cosine. With it the rate stays at its peak until patience runs out, and
then falls to 0 within a share of the budget: the cell that ends early is annealed as one that does not. Source of the
schedule: ``schedule``; patience and min_delta as in the EarlyStopping callbacks of Keras and Lightning.
"""

import math

from trainables.config import FinetuneConfig
from trainables.schedule import warmup_cooldown, warmup_cosine


class Patience:
    """Counts evaluations in a row that are no more than ``min_delta`` above the best before.

    A rise by less leaves the best that others are compared with as it is. The rule is that of
    ``analysis.early_stopping``.
    """

    def __init__(self, evaluations: int, min_delta: float) -> None:
        self._evaluations, self._min_delta = evaluations, min_delta
        self._best, self._waited = -math.inf, 0

    def runs_out(self, score: float) -> bool:
        """Take the next score; return whether it is the last that is waited for."""
        is_better = score > self._best + self._min_delta
        self._best, self._waited = (score, 0) if is_better else (self._best, self._waited + 1)
        return self._waited >= self._evaluations


class Course:
    """The rate of a cell at each step, and ``end``, its number of steps: the budget, or fewer once scores say so.

    Scores before the end of the warm-up do not count: where the rate is still small, one that stands still says
    nothing. Nor do those of a cooldown, which goes on whatever they are.
    """

    def __init__(self, config: FinetuneConfig) -> None:
        self.config, self.end = config, config.steps
        self._warmup_steps = config.warmup_fraction * config.steps
        if config.stop:
            self._patience = Patience(config.stop.patience, config.stop.min_delta)
            self._cooldown_steps = _rounded_up(config.stop.cooldown_fraction * config.steps)

    def factor(self, step: int) -> float:
        """Return the factor of the peak learning rate for the 0-based ``step``."""
        if self.config.stop is None:
            return warmup_cosine(step, self.config.steps, self._warmup_steps)
        return warmup_cooldown(step, self.end, self._warmup_steps, self._cooldown_steps)

    def see(self, step: int, val_dice: float | None) -> None:
        """Take the validation score after ``step`` steps; where patience runs out, the cooldown begins at once."""
        if self.config.stop is None or val_dice is None:
            return
        if self._counts(step) and self._patience.runs_out(val_dice):
            self.end = step + self._cooldown_steps

    def _counts(self, step: int) -> bool:
        return self._warmup_steps <= step < self.end - self._cooldown_steps

    @property
    def num_counted(self) -> int:
        """How many validations count up to the budget, with ``stop``; the first of them is a rise in any case."""
        return sum(map(self._counts, range(0, self.config.steps, self.config.evaluate_every)))


def _rounded_up(steps: float) -> int:
    """Return whole steps, 1 at least; 7 % of 100 are 7, though their product is a little more in floating point."""
    return max(1, math.ceil(round(steps, 9)))

"""What a training step costs in floating-point operations.

In: a stage's first step, while it is taken. Out: the operations of any number of steps, which all have as many. Counted
are matrix products and convolutions of networks, forward and backward; a multiplication with its addition is two. Not
counted are those that make views (``left_out``), nor norms, activations, losses without products and the optimiser,
which move memory rather than compute. Nothing is counted of a compiled network, which cannot be looked into.
"""

import contextlib
import warnings
from collections.abc import Iterator

from torch.utils.flop_counter import FlopCounterMode

STRIDES = "Grad strides do not match bucket view strides"
"""What DistributedDataParallel warns of in a counted step alone. Whoever watches operations keeps autograd from adding
the gradients of two views in place, and a sum made anew has other strides along axes of length 1, as those of 1x1
convolutions in channels-last memory: the same values in the same places.
"""


class StepFlops:
    """The floating-point operations of one worker's step, counted once."""

    def __init__(self, is_compiled: bool) -> None:
        self._is_compiled = is_compiled
        self._step: int | None = None
        self._counter: FlopCounterMode | None = None
        self._left_out = 0

    @contextlib.contextmanager
    def counted(self) -> Iterator[None]:
        """Count the body if it is the first step. Counting changes no number."""
        if self._is_compiled or self._step is not None:
            yield
            return
        with warnings.catch_warnings(), FlopCounterMode(display=False) as counter:
            warnings.filterwarnings("ignore", STRIDES)
            self._counter = counter
            yield
        self._step, self._counter = counter.get_total_flops() - self._left_out, None

    @contextlib.contextmanager
    def left_out(self) -> Iterator[None]:
        """Count nothing of the body, which lies in a step."""
        before = self._counter.get_total_flops() if self._counter else 0
        yield
        self._left_out += self._counter.get_total_flops() - before if self._counter else 0

    def of_steps(self, num_steps: int, num_workers: int) -> float | None:
        """Return the operations of ``num_steps`` on all workers; none where they cannot be counted."""
        return None if self._step is None else float(self._step) * num_steps * num_workers

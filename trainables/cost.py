"""What a training step costs in floating-point operations.

In: a stage's first step, while it is taken. Out: the operations of any number of steps, which all have as many. Counted
are matrix products and convolutions, forward and backward, those that resize views included; a multiplication with its
addition is two. Not counted are norms, activations, losses without products and the optimiser, which move memory rather
than compute. Nothing is counted of a compiled network, which cannot be looked into.
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

    @contextlib.contextmanager
    def counted(self) -> Iterator[None]:
        """Count the body if it is the first step. Counting changes no number."""
        if self._is_compiled or self._step is not None:
            yield
            return
        with warnings.catch_warnings(), FlopCounterMode(display=False) as counter:
            warnings.filterwarnings("ignore", STRIDES)
            yield
        self._step = counter.get_total_flops()

    def of_steps(self, num_steps: int, num_workers: int) -> float | None:
        """Return the operations of ``num_steps`` on all workers; none where they cannot be counted."""
        return None if self._step is None else float(self._step) * num_steps * num_workers

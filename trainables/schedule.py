"""Learning rate over steps: linear warm-up, then a cosine to zero, or a constant with a cooldown to zero.

Sources: Loshchilov & Hutter 2017 (cosine); Hu et al. 2024, arXiv:2404.06395 (warm-up, stable, decay); Hägele et al.
2024, arXiv:2405.18392, who found, in language models, that such a schedule is about as good as a cosine, and a cooldown
by 1 - sqrt better than a linear one.
"""

import math


def warmup_cosine(step: int, num_steps: int, warmup_steps: float) -> float:
    """Return the factor of the peak learning rate for the 0-based ``step``; above 0 at every step."""
    if step < warmup_steps:
        return _warmup(step, warmup_steps)
    progress = (step - warmup_steps) / max(num_steps - warmup_steps, 1)
    return 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


def warmup_cooldown(step: int, num_steps: int, warmup_steps: float, cooldown_steps: int) -> float:
    """Return the factor of the peak rate where it is constant but for warm-up and the last ``cooldown_steps``.

    It is below 1 from the cooldown's first step on, above 0 at its last, and would be 0 at the step after that.
    """
    cooled = step + 1 - (num_steps - cooldown_steps)
    if cooled > 0:
        return 1 - math.sqrt(min(cooled / (cooldown_steps + 1), 1.0))
    return _warmup(step, warmup_steps) if step < warmup_steps else 1.0


def _warmup(step: int, warmup_steps: float) -> float:
    return (step + 1) / (warmup_steps + 1)

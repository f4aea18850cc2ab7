"""Learning rate over steps: linear warm-up, then a cosine to zero (Loshchilov & Hutter 2017)."""

import math


def warmup_cosine(step: int, num_steps: int, warmup_steps: float) -> float:
    """Return the factor of the peak learning rate for the 0-based ``step``; above 0 at every step."""
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1)
    progress = (step - warmup_steps) / max(num_steps - warmup_steps, 1)
    return 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))

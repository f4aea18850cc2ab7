"""LARS without waiting for the GPU: SGD with momentum whose steps are scaled weight by weight.

In: parameter groups, of which those without weight decay are left to plain SGD. Out: parameters moved. lightly's
implementation asks of each weight whether its norms are 0, and waits for the answer; here a norm of 0 chooses a factor
on the device. Equal to lightly's bit for bit on a CPU, and loads its states.
Source: You, Gitman & Ginsburg 2017 (arXiv 1708.03888), equation 6; groups without weight decay as in BYOL's appendix C.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

TINY = 1e-8  # added to the denominator, as lightly does


class LARS(torch.optim.Optimizer):
    """Move each weight by ``learning rate x trust x |w| / (|g| + decay |w|) x (g + decay w)``, with momentum.

    Where a weight or its gradient is 0 everywhere, it moves by its gradient.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], lr: float, momentum: float, trust_coefficient: float) -> None:
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": 0.0, "trust_coefficient": trust_coefficient}
        super().__init__(groups, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take one step; what ``closure`` returns, if it is given."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            if weights:
                self._move(weights, [weight.grad for weight in weights], group)
        return loss

    def _move(self, weights: list[Tensor], steps: list[Tensor], group: dict[str, Any]) -> None:
        """Move some of a group's weights, whose steps are their gradients yet."""
        if group["weight_decay"]:
            factors = _factors(weights, steps, group["weight_decay"], group["trust_coefficient"])
            decayed = torch._foreach_add(steps, weights, alpha=group["weight_decay"])
            steps = list(torch._foreach_mul(decayed, factors))
        if group["momentum"]:
            steps = self._with_momentum(weights, steps, group["momentum"])
        torch._foreach_add_(weights, steps, alpha=-group["lr"])

    def _with_momentum(self, weights: list[Tensor], steps: list[Tensor], momentum: float) -> list[Tensor]:
        """Return the running sums of the steps, which begin with the first."""
        for weight, step in zip(weights, steps, strict=True):
            if "momentum_buffer" not in self.state[weight]:
                self.state[weight]["momentum_buffer"] = torch.zeros_like(step)
        sums = [self.state[weight]["momentum_buffer"] for weight in weights]
        torch._foreach_mul_(sums, momentum)
        torch._foreach_add_(sums, steps)
        return sums


def _factors(weights: list[Tensor], gradients: list[Tensor], decay: float, trust: float) -> list[Tensor]:
    """Return by what each weight's step is multiplied."""
    own, found = (torch.stack(torch._foreach_norm(each)) for each in (weights, gradients))
    ratio = own / (found + own * decay + TINY) * trust
    ratio = torch.where(own > 0, ratio, 1.0)  # a weight of 0 decays by nothing, so its gradient is left
    return list(torch.where(found > 0, ratio, 0.0).unbind())  # and without a gradient nothing moves

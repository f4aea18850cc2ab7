"""One optimiser step of a pretraining stage: learning rate, mixed precision, accumulated gradients, clipping.

In: a network, the stage's config and a device. Out: parameters moved. Source: warm-up and cosine as in Loshchilov &
Hutter 2017; linear scaling of the rate with the batch Goyal et al. 2017, square root Krizhevsky 2014; loss scaling
Micikevicius et al. 2018.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

from trainables.config import StageConfig
from trainables.objectives.optimizer import build_optimizer
from trainables.schedule import warmup_cosine

SCALED_FROM = 256  # the batch that learning rates of the literature are stated for
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def peak_learning_rate(stage: StageConfig, batch_size: int) -> float:
    """Return the learning rate after warm-up: the stage's own, scaled with the batch where asked."""
    exponent = {"none": 0.0, "sqrt": 0.5, "linear": 1.0}[stage.learning_rate_scaling]
    return stage.learning_rate * math.pow(batch_size / SCALED_FROM, exponent)


class Optimisation:
    """The optimiser with what surrounds it; its state is part of a stage's checkpoint."""

    def __init__(
        self, network: nn.Module, stage: StageConfig, batch_size: int, steps_per_epoch: int, device: torch.device
    ) -> None:
        self._network, self._stage, self._device = network, stage, device
        self._optimizer = build_optimizer(network, stage)
        self._scaler = torch.amp.GradScaler(device.type, enabled=stage.precision == "fp16")
        self._peak = peak_learning_rate(stage, batch_size)
        self.num_steps = stage.epochs * steps_per_epoch
        self._warmup_steps = stage.warmup_epochs * steps_per_epoch

    @property
    def learning_rate(self) -> float:
        """The learning rate of the latest step."""
        return float(self._optimizer.param_groups[0]["lr"])

    def autocast(self) -> torch.autocast:
        """Return the context of a forward pass in the stage's precision."""
        precision = self._stage.precision
        return torch.autocast(self._device.type, DTYPES[precision], enabled=precision != "fp32")

    def begin(self, step: int) -> None:
        """Set the learning rate of the 0-based ``step`` and forget the gradients of the one before."""
        for group in self._optimizer.param_groups:
            group["lr"] = self._peak * warmup_cosine(step, self.num_steps, self._warmup_steps)
        self._optimizer.zero_grad(set_to_none=True)

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of a loss."""
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]

    def step(self) -> None:
        """Move the parameters; with fp16 a step whose gradients overflow is left out."""
        if self._stage.gradient_clip is not None:
            self._scaler.unscale_(self._optimizer)
            nn.utils.clip_grad_norm_(self._network.parameters(), self._stage.gradient_clip)
        self._scaler.step(self._optimizer)
        self._scaler.update()

    def state_dict(self) -> dict[str, Any]:
        """Return what the next step depends on."""
        return {"optimizer": self._optimizer.state_dict(), "scaler": self._scaler.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self._optimizer.load_state_dict(state["optimizer"])
        self._scaler.load_state_dict(state["scaler"])

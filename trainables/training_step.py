"""One optimiser step of fine-tuning: forward, loss, gradients, clipping, Adam. On a GPU captured once and replayed.

In: a network, a recipe, batches that lie on the device. Out: parameters moved, the batch's loss. Small networks keep
a GPU waiting for Python: a CUDA graph asks for all kernels of a step at once. Replaying runs the kernels that were
captured, so it changes no number. Source: torch.cuda.graphs; as it asks for, the first steps are taken as usual, on the
stream that is captured.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from trainables.config import FinetuneConfig
from trainables.failures import first_line
from trainables.models.segmenter import jaccard_loss

Step = Callable[[Tensor, Tensor], Tensor]

WARMUP_STEPS = 3  # before the capture: libraries choose and allocate in them


class CaptureError(RuntimeError):
    """A step that cannot be captured as a CUDA graph."""


class TrainingStep:
    """The network's optimiser and what a step does. Nothing is waited for; all batches have one shape."""

    def __init__(self, network: torch.nn.Module, config: FinetuneConfig, device: torch.device, graphs: bool) -> None:
        self._network, self._config, self._device = network, config, device
        self._parameters = list(network.parameters())  # once: walking a network takes as long as a small convolution
        self._criterion = jaccard_loss()
        self._graph = _StepGraph(device) if graphs and device.type == "cuda" else None
        is_cuda = device.type == "cuda"
        rate = torch.tensor(config.learning_rate, device=device) if is_cuda else config.learning_rate
        self._optimizer = torch.optim.Adam(self._parameters, lr=rate, fused=True, capturable=is_cuda)

    def set_learning_rate(self, rate: float) -> None:
        """Set the learning rate of the next step; of a captured step it is a number on the device."""
        for group in self._optimizer.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate

    def __call__(self, images: Tensor, masks: Tensor) -> Tensor:
        """Take one step on images (batch, channel, row, column) and masks (batch, row, column); return the loss.

        The loss holds until the next step. Raises CaptureError, and torch.OutOfMemoryError as a plain step does.
        """
        return self._take(images, masks) if self._graph is None else self._graph.run(self._take, images, masks)

    def release(self) -> None:
        """Give the memory of gradients and of a captured step back to others on the GPU; no step follows."""
        self._forget_gradients()
        if self._graph is not None:
            self._graph = None
            torch.cuda.empty_cache()

    def _forget_gradients(self) -> None:
        for parameter in self._parameters:  # as the optimiser's zero_grad, without what it does around it
            parameter.grad = None

    def _take(self, images: Tensor, masks: Tensor) -> Tensor:
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._config.precision == "bf16"):
            logits = self._network(images)
        loss = self._criterion(logits.float(), masks)
        self._forget_gradients()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._parameters, self._config.gradient_clip)
        self._optimizer.step()
        return loss.detach()


class _StepGraph:
    """A step that is run as it is for a while, then captured, then replayed on the same memory."""

    def __init__(self, device: torch.device) -> None:
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._graph: torch.cuda.CUDAGraph | None = None
        self._steps = 0
        self._batch: tuple[Tensor, Tensor]
        self._loss: Tensor

    def run(self, step: Step, images: Tensor, masks: Tensor) -> Tensor:
        """Run one step on the batch, which is copied to where the captured step looks for it."""
        caller = torch.cuda.current_stream()
        if self._steps == 0:
            self._batch = images.clone(), masks.clone()
        else:
            for kept, new in zip(self._batch, (images, masks), strict=True):
                kept.copy_(new)
        self._steps += 1
        self._stream.wait_stream(caller)
        if self._steps <= WARMUP_STEPS:
            with torch.cuda.stream(self._stream):
                self._loss = step(*self._batch)
        else:
            if self._graph is None:
                self._capture(step)
            assert self._graph is not None
            with torch.cuda.stream(self._stream):
                self._graph.replay()
        caller.wait_stream(self._stream)
        return self._loss

    def _capture(self, step: Step) -> None:
        graph = torch.cuda.CUDAGraph()
        try:
            # what other threads of this process ask of the GPU is none of the step's business
            with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
                self._loss = step(*self._batch)
        except RuntimeError as error:
            for cause in (error, error.__context__):  # the end of a capture may fail for what failed inside it
                if isinstance(cause, torch.OutOfMemoryError):
                    raise cause from None
            raise CaptureError(
                f"the training step cannot be captured as a CUDA graph ({first_line(error)}); "
                "set compute.cuda_graphs=false"
            ) from error
        self._graph = graph

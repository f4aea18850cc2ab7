"""A step that cannot be captured says what to do, and one that finds no memory says that, as a plain step does."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor

from trainables import training_step
from trainables.training_step import CaptureError


@pytest.fixture
def capturing(monkeypatch: pytest.MonkeyPatch) -> training_step._StepGraph:
    """A graph that captures nothing: there is no GPU."""

    @contextmanager
    def graph(*_: Any, **__: Any) -> Iterator[None]:
        try:
            yield
        finally:
            end_of_capture()

    monkeypatch.setattr(torch.cuda, "graph", graph)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", object)
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: None)
    found = training_step._StepGraph(torch.device("cuda"))
    found._batch = torch.zeros(1), torch.zeros(1)
    return found


def end_of_capture() -> None:
    """Succeeds unless a test makes it fail."""


def failing(error: Exception) -> training_step.Step:
    def step(images: Tensor, masks: Tensor) -> Tensor:
        raise error

    return step


def test_a_step_that_cannot_be_captured_names_the_setting(capturing: training_step._StepGraph) -> None:
    with pytest.raises(CaptureError, match=r"\(operation not permitted\); set compute\.cuda_graphs=false"):
        capturing._capture(failing(RuntimeError("operation not permitted\nmore lines")))


@pytest.mark.parametrize("end_fails", [False, True])
def test_a_lack_of_memory_stays_one_so_that_fewer_cells_share_the_gpu(
    end_fails: bool, capturing: training_step._StepGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails() -> None:
        raise RuntimeError("the capture was invalidated")

    if end_fails:
        monkeypatch.setitem(globals(), "end_of_capture", fails)
    with pytest.raises(torch.OutOfMemoryError, match="tried to allocate"):
        capturing._capture(failing(torch.OutOfMemoryError("tried to allocate 2 GiB")))

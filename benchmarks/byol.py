"""The BYOL stages that the pretraining benchmarks measure, and one step of theirs without anything around it.

In: an encoder, an image size and a batch. Out: a StageJob on procedural images, and a step on a batch that is ready.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from trainables.config import ComputeConfig, DataConfig, ModelConfig, NaturalConfig, StageConfig
from trainables.data.batches import random_view
from trainables.data.natural import open_natural
from trainables.jobs import StageJob
from trainables.objectives import build_objective
from trainables.objectives.optimizer import build_optimizer
from trainables.placement import network_to_device
from trainables.processes import this_worker
from trainables.results import open_results
from trainables.stage_samples import load_samples
from trainables.weights import build_encoder


@dataclass(frozen=True)
class Setting:
    """What is trained: ``steps`` of ``batch_size`` images make an epoch."""

    encoder: str
    image_size: int
    batch_size: int
    steps: int

    def __str__(self) -> str:
        return f"{self.encoder} at {self.image_size} px, batch {self.batch_size}, {self.steps} steps an epoch"


def stage_job(setting: Setting, folder: Path, threads: int, device: str = "auto", **stage: Any) -> StageJob:
    """Return a stage, having rendered its images; ``stage`` changes its recipe."""
    natural = NaturalConfig(num_images=setting.batch_size * setting.steps, image_size=setting.image_size)
    cache, results = folder / "cache", open_results(folder / "results")
    recipe = {"objective": "byol", "data": "natural", "epochs": 1, "batch_size": setting.batch_size, **stage}
    return StageJob(
        results=results,
        encoders=results / "encoders",
        stage_id=f"{setting.encoder}-{setting.image_size}-{time.monotonic_ns()}",
        name="byol",
        initial="random",
        weights_id="random",
        initial_name="random",
        seed=0,
        stage=StageConfig.model_validate(recipe),
        model=ModelConfig.model_validate({"encoder": setting.encoder}),
        data=DataConfig(),
        natural=natural,
        source_id=open_natural(natural, cache).data_id,
        compute=ComputeConfig.model_validate({"cache": cache, "threads": threads, "device": device}),
    )


class BareStep:
    """Forward, loss, backward, optimiser and moving copy on views that lie ready on the device."""

    def __init__(self, job: StageJob) -> None:
        self.device, stage = this_worker(job.compute).device, job.stage
        samples, _ = load_samples(job, self.device)
        self.objective = build_objective(build_encoder(job.model, "random", 3, 0), stage, 0)
        network_to_device(self.objective, self.device)
        self._optimizer = build_optimizer(self.objective.trained, stage)
        generator, first = torch.Generator().manual_seed(0), torch.arange(stage.batch_size)
        self._views = [random_view(samples, first, stage.views, generator) for _ in range(2)]
        self._is_half = stage.precision == "bf16"

    def __call__(self) -> None:
        """Take one step."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._is_half):
            loss = self.objective(self._views, None).loss
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._optimizer.step()
        self.objective.after_step(0, 1000)


@dataclass(frozen=True)
class Seconds:
    """Of the clock, and of this process's own work: other work on the machine weighs little in the second."""

    wall: float
    own: float

    @staticmethod
    def now() -> "Seconds":
        """Read both clocks, after what was started on a GPU has ended."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return Seconds(time.perf_counter(), time.process_time())

    @property
    def counted(self) -> float:
        """The process's own on a CPU, the clock's where a GPU does the work."""
        return self.wall if torch.cuda.is_available() else self.own

    def __sub__(self, earlier: "Seconds") -> "Seconds":
        return Seconds(self.wall - earlier.wall, self.own - earlier.own)


def timed(run: Callable[[], object], times: int = 1) -> Seconds:
    """Return what ``times`` calls take together."""
    started = Seconds.now()
    for _ in range(times):
        run()
    return Seconds.now() - started

"""One pretraining stage: a plain PyTorch loop that runs in one process, or in several under torch.distributed.

In: a StageJob. Out: the encoder after every kept epoch (safetensors) and a row per epoch in the ``pretraining``
table. After each epoch the state is saved, so a killed stage goes on from its last epoch and ends with the same
weights: views and order are drawn from generators seeded by stage and epoch, never from a stream that a restart
would lose.
"""

import contextlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from trainables.config import content_hash
from trainables.data.batches import Samples, epoch_batches, from_natural, from_slices, random_view
from trainables.data.natural import open_natural
from trainables.data.slices import open_store
from trainables.encoder_store import adopt_epochs, are_kept, encoder_path, record_epochs
from trainables.jobs import StageJob
from trainables.objectives import Batch, Objective, build_objective, options_of
from trainables.objectives.optimizer import build_optimizer
from trainables.processes import (
    Worker,
    mean_over_siblings,
    seeded,
    synchronise_norms,
    this_worker,
    wait_for_siblings,
    wrap,
)
from trainables.results import clear_failure, replacing
from trainables.schedule import warmup_cosine
from trainables.weights import build_encoder, check_unchanged, initial_weights, save_encoder, stage_card

Report = Callable[[dict[str, Any]], None]


class PretrainingError(Exception):
    """A stage that cannot go on; the message says where it stopped and what to try."""


def run_stage(job: StageJob, report: Report = lambda row: None) -> None:
    """Train a stage from its last saved epoch to its end; ``report`` receives each epoch's row in every process.

    Raises PretrainingError when the loss is no longer finite.
    """
    worker = this_worker(job.compute)
    if are_kept(job.encoders, job.stage_id, job.stage.kept_epochs):  # by another experiment since this one was planned
        if worker.is_first:
            adopt_epochs(job.results, job.encoders, job.stage_id)
        return
    check_unchanged(job.initial, job.weights_id)
    samples, num_classes = _load_samples(job, worker.device)
    loop = _Loop(job, worker, samples, num_classes)
    loop.resume()
    for epoch in range(loop.epochs_done + 1, job.stage.epochs + 1):
        row = loop.train_epoch(epoch)
        if worker.is_first:
            # before the encoder that marks the stage as done
            record_epochs(job.results, job.encoders, job.stage_id, loop.rows)
            if epoch in job.stage.kept_epochs:
                loop.keep_encoder(epoch)
            loop.save(epoch)
        report(row)
    wait_for_siblings(worker)
    if worker.is_first:
        clear_failure(job.results, job.stage_id)
        loop.state_path.unlink(missing_ok=True)


def _load_samples(job: StageJob, device: torch.device) -> tuple[Samples, int]:
    if job.stage.data == "natural":
        natural = open_natural(job.natural, job.compute.cache, job.source_id)
        return from_natural(natural.images(), natural.labels(), device), natural.num_classes
    store = open_store(job.data, job.compute.cache, expected_pool=job.source_id)
    return from_slices(store.images, None, store.rows("pool"), device), 0


@dataclass(frozen=True)
class CollapseMeasures:
    """``std``: of l2-normalised features, times sqrt(dimension), 1 when spread evenly, 0 when all are one point.
    ``effective_rank``: exponential of the entropy of the centred features' singular values (Roy & Vetterli 2007)."""

    std: float
    effective_rank: float


def measure_collapse(features: Tensor) -> CollapseMeasures:
    """Measure how far (sample, feature) features are from collapse; the batch size bounds the rank."""
    features = features.double()
    unit = torch.nn.functional.normalize(features, dim=1)
    std = float(unit.std(0, correction=0).mean() * math.sqrt(features.shape[1]))
    share = torch.linalg.svdvals(features - features.mean(0))
    share = share / share.sum().clamp(min=1e-12)
    entropy = -(share * share.clamp(min=1e-12).log()).sum()
    return CollapseMeasures(std, float(entropy.exp()))


class _Loop:
    """The state of a stage in training."""

    def __init__(self, job: StageJob, worker: Worker, samples: Samples, num_classes: int) -> None:
        self.job, self.worker, self.samples = job, worker, samples
        self.image_size = samples.images.shape[-1]
        self.rows: list[dict[str, Any]] = []
        self.epochs_done = 0
        self.state_path = encoder_path(job.encoders, job.stage_id, 0).with_name("resume.pt")
        seed = int(content_hash(job.seed, job.stage_id)[:12], 16)
        encoder = build_encoder(job.model, job.initial, samples.images.shape[1], seed)
        self.initial = initial_weights(job)  # told now: the file may be gone when the first encoder is kept
        with seeded(seed + 1):
            self.objective: Objective = build_objective(encoder, job.stage, num_classes)
        self.objective.to(worker.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        synchronise_norms(self.objective, worker)
        self.objective.trained = wrap(self.objective.trained, worker)
        self.optimizer = build_optimizer(self.objective.trained, job.stage)
        batch = min(job.stage.batch_size, len(samples))
        try:
            options_of(job.stage).check_batch(Batch(batch, worker.world_size, self.image_size))
        except ValueError as error:
            raise PretrainingError(f"stage {job.name}: {error}") from error
        self.steps_per_epoch = len(samples) // batch

    def train_epoch(self, epoch: int) -> dict[str, Any]:
        """Train one epoch and return its row."""
        started, stage = time.perf_counter(), self.job.stage
        generator = torch.Generator().manual_seed(int(content_hash(self.job.seed, self.job.stage_id, epoch)[:12], 16))
        self.objective.train()
        total, num_samples = torch.zeros((), device=self.worker.device), 0
        batches = epoch_batches(len(self.samples), stage.batch_size, generator)
        for index, indices in enumerate(batches):
            step = (epoch - 1) * self.steps_per_epoch + index
            loss, features = self._train_step(indices, step, generator)
            total += loss
            num_samples += len(indices)
        mean_loss = float(mean_over_siblings(total, self.worker)) / self.steps_per_epoch
        if not math.isfinite(mean_loss):
            raise PretrainingError(
                f"stage {self.job.name}: the loss is {mean_loss} in epoch {epoch}; lower learning_rate "
                f"({stage.learning_rate:g}) or lengthen warmup_epochs ({stage.warmup_epochs:g})"
            )
        self.epochs_done = epoch
        row = self._row(epoch, mean_loss, measure_collapse(features), num_samples, time.perf_counter() - started)
        self.rows.append(row)
        return row

    def _train_step(self, indices: Tensor, step: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        stage, worker = self.job.stage, self.worker
        num_steps = stage.epochs * self.steps_per_epoch
        factor = warmup_cosine(step, num_steps, stage.warmup_epochs * self.steps_per_epoch)
        for group in self.optimizer.param_groups:
            group["lr"] = stage.learning_rate * factor
        share = slice(worker.rank, None, worker.world_size)
        views = [
            random_view(self.samples, indices, view.recipe, generator, share, view.size)
            for view in self.objective.views(stage, self.image_size)
        ]
        targets = None if self.samples.targets is None else self.samples.take_targets(indices[share])
        with _precision(stage.precision, worker.device):
            result = self.objective(views, targets)
        self.optimizer.zero_grad(set_to_none=True)
        result.loss.backward()
        self.optimizer.step()
        self.objective.after_step(step, num_steps)
        return result.loss.detach(), result.features

    def _row(
        self, epoch: int, loss: float, collapse: CollapseMeasures, num_samples: int, seconds: float
    ) -> dict[str, Any]:
        job = self.job
        return {
            "stage_id": job.stage_id,
            "stage": job.name,
            "objective": job.stage.objective,
            "data": job.stage.data,
            "initial_weights": job.initial_name,
            "pretraining_seed": job.seed,
            "epoch": epoch,
            "loss": loss,
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            "feature_std": collapse.std,
            "effective_rank": collapse.effective_rank,
            "samples": num_samples,
            "seconds": seconds,
            "num_workers": self.worker.world_size,
        }

    def keep_encoder(self, epoch: int) -> None:
        """Save the encoder of this epoch; one that exists stays, since finished cells started from it."""
        job = self.job
        if encoder_path(job.encoders, job.stage_id, epoch).is_file():
            return
        card = stage_card(job, self.initial, epoch, self.samples.images.shape[1])
        save_encoder(encoder_path(job.encoders, job.stage_id, epoch), self.objective.kept_encoder().state_dict(), card)

    def save(self, epoch: int) -> None:
        """Save everything that the next epoch starts from, atomically."""
        own = {key: value for key, value in self.objective.state_dict().items() if not key.startswith("trained.")}
        state = {
            "epoch": epoch,
            "objective": own,
            "optimizer": self.optimizer.state_dict(),
            "rows": self.rows,
        }
        with replacing(self.state_path) as temporary, temporary.open("wb") as file:
            torch.save(state, file)

    def resume(self) -> None:
        """Load the last saved epoch, if there is one that can be read; otherwise start from the beginning."""
        with contextlib.suppress(FileNotFoundError, RuntimeError, EOFError, UnpicklingError):
            state = torch.load(self.state_path, map_location=self.worker.device, weights_only=True)
            passed = [epoch for epoch in self.job.stage.kept_epochs if epoch <= state["epoch"]]
            if not are_kept(self.job.encoders, self.job.stage_id, passed):
                return  # an epoch that is wanted now was passed without keeping it
            self.objective.load_state_dict(state["objective"], strict=False)
            self.optimizer.load_state_dict(state["optimizer"])
            self.epochs_done, self.rows = state["epoch"], state["rows"]


def _precision(precision: str, device: torch.device) -> torch.autocast:
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")

"""One pretraining stage: a plain PyTorch loop that runs in one process, or in several under torch.distributed.

In: a StageJob. Out: the encoder after every kept epoch (safetensors) and a row per epoch in the ``pretraining``
table. The state is saved after an epoch, as often as that takes little of the time, so a killed stage goes on from its
latest state and ends with the same weights: views and order are drawn from generators seeded by stage and epoch, never
from a stream that a restart would lose.
"""

import math
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn

from trainables.collapse import CollapseMeasures, CollapseWatch, LatestFeatures, measure_collapse
from trainables.config import seed_of
from trainables.cost import StepFlops
from trainables.data.batches import Samples, epoch_batches, random_view
from trainables.data.slices import open_store
from trainables.encoder_store import adopt_epochs, are_kept, clear_state, encoder_path, record_epochs, resume_path
from trainables.jobs import StageJob
from trainables.models.encoder import Encoder
from trainables.objectives import Objective, Step, build_objective, check_batches, check_half_on_cpu, keeps_decoder
from trainables.optimisation import Optimisation
from trainables.placement import network_to_device
from trainables.probe import probe
from trainables.processes import (
    Worker,
    all_gather_rows,
    barrier,
    broadcast_from_first,
    gradients_shared,
    mean_over_siblings,
    seeded,
    synchronise_norms,
    this_worker,
    wrap,
)
from trainables.results import clear_failure
from trainables.resume_file import read_state, write_state
from trainables.stage_samples import load_samples
from trainables.weights import build_encoder, check_unchanged, initial_weights, load_decoder, save_encoder, stage_card

Report = Callable[[dict[str, Any]], None]


class PretrainingError(Exception):
    """A stage that cannot go on; the message says where it stopped and what to try."""


def run_stage(job: StageJob, report: Report = lambda row: None) -> None:
    """Train a stage from its last saved epoch to its end; ``report`` receives each epoch's row in every process.

    Raises PretrainingError when the loss is no longer finite or the features have collapsed.
    """
    worker = this_worker(job.compute)
    # by another experiment since this one was planned, or by a run that died before it had cleared up
    if broadcast_from_first(are_kept(job.encoders, job.stage_id, job.stage.kept_epochs), worker):
        _finish(job, worker)
        return
    check_unchanged(job.initial, job.weights_id)
    samples, num_classes = load_samples(job, worker.device)
    loop = _Loop(job, worker, samples, num_classes)
    loop.resume()
    for epoch in range(loop.epochs_done + 1, job.stage.epochs + 1):
        row = loop.train_epoch(epoch)
        if worker.is_first:
            # before the encoder that marks the stage as done
            record_epochs(job.results, job.encoders, job.stage_id, loop.rows)
            if epoch in job.stage.kept_epochs:
                loop.keep_encoder(epoch)
            if epoch < job.stage.epochs and loop.saving_pays():
                loop.save(epoch)
        try:
            report(row)
        except BaseException:  # the report ends the stage, as the serial launcher's does where its time is used up
            if worker.is_first and loop.epoch_saved < epoch < job.stage.epochs:
                with suppress(OSError):
                    loop.save(epoch)
            raise
    barrier(worker)
    _finish(job, worker)


def _finish(job: StageJob, worker: Worker) -> None:
    """Leave a stage's encoders and rows, and nothing else of it."""
    if not worker.is_first:
        return
    adopt_epochs(job.results, job.encoders, job.stage_id)
    clear_failure(job.results, job.stage_id)
    clear_state(job.encoders, job.stage_id)


def _check_stage(job: StageJob, worker: Worker, batch_size: int, image_size: int) -> None:
    """Refuse what this device or number of workers cannot do, before anything is built."""
    if job.stage.precision == "fp16" and worker.device.type == "cpu":
        raise PretrainingError(f"stage {job.name}: precision fp16 expects a GPU, found a CPU; use bf16 or fp32")
    try:
        check_batches(job.stage, batch_size, worker.world_size, image_size)
        if worker.device.type == "cpu":
            check_half_on_cpu(job.stage, image_size)
    except ValueError as error:
        raise PretrainingError(f"stage {job.name}: {error}") from error


def _initial_decoder(job: StageJob, encoder: Encoder) -> nn.Module | None:
    """Return the decoder that a method pretrains, with what the initial weights hold of one; None for most methods."""
    if not keeps_decoder(job.stage):
        return None
    from trainables.models.segmenter import build_decoder

    decoder = build_decoder(encoder, job.model)
    load_decoder(decoder, job.initial)
    return decoder


def _is_finite(network: nn.Module) -> bool:
    """Return whether every weight and statistic of a network is a number; waits for the device once.

    A sum is not finite where one of its terms is not, and takes less time than to look at each.
    """
    sums = [each.sum() for each in network.state_dict().values() if each.is_floating_point()]
    return bool(torch.stack(sums).isfinite().all())


class _Loop:
    """The state of a stage in training."""

    def __init__(self, job: StageJob, worker: Worker, samples: Samples, num_classes: int) -> None:
        self.job, self.worker, self.samples = job, worker, samples
        self.rows: list[dict[str, Any]] = []
        self.epochs_done, self.watch = 0, CollapseWatch()
        self.state_path = resume_path(job.encoders, job.stage_id)
        batch, image_size = min(job.stage.batch_size, len(samples)), samples.images.shape[-1]
        self.batch_size, self.steps_per_epoch = batch, len(samples) // batch
        _check_stage(job, worker, batch, image_size)
        seed = seed_of(job.seed, job.stage_id)
        encoder = build_encoder(job.model, job.initial, samples.images.shape[1], seed)
        self.initial = initial_weights(job)  # told now: the file may be gone when the first encoder is kept
        with seeded(seed + 1):
            decoder = _initial_decoder(job, encoder)
            self.objective: Objective = build_objective(encoder, job.stage, num_classes, decoder)
        network_to_device(self.objective, worker.device)
        synchronise_norms(self.objective, worker)
        trained = torch.compile(self.objective.trained) if job.stage.compile else self.objective.trained
        self.objective.trained = wrap(trained, worker)  # type: ignore[arg-type]
        self.views = self.objective.views(job.stage, image_size)
        self.optimisation = Optimisation(self.objective.trained, job.stage, batch, self.steps_per_epoch, worker.device)
        self.flops = StepFlops(job.stage.compile)
        self.epoch_saved, self._saved_at, self._save_seconds = 0, time.perf_counter(), 0.0

    def train_epoch(self, epoch: int) -> dict[str, Any]:
        """Train one epoch and return its row."""
        started, stage = time.perf_counter(), self.job.stage
        generator = torch.Generator().manual_seed(seed_of(self.job.seed, self.job.stage_id, epoch))
        self.objective.train()
        total, num_samples, latest = torch.zeros((), device=self.worker.device), 0, LatestFeatures()
        for index, indices in enumerate(epoch_batches(len(self.samples), stage.batch_size, generator)):
            step = (epoch - 1) * self.steps_per_epoch + index
            with self.flops.counted():
                total += self._train_step(indices, step, generator, latest)
            num_samples += len(indices)
        loss = float(mean_over_siblings(total, self.worker)) / self.steps_per_epoch
        collapse = measure_collapse(all_gather_rows(latest.rows(self.worker.world_size), self.worker))
        seconds = time.perf_counter() - started
        self._must_be_sound(epoch, loss, collapse)
        self.epochs_done = epoch
        self.rows.append(self._row(epoch, loss, collapse, num_samples, seconds))
        return self.rows[-1]

    def _train_step(self, indices: Tensor, step: int, generator: torch.Generator, latest: LatestFeatures) -> Tensor:
        """Take one optimiser step and return the loss of this worker's share, without waiting for it."""
        optimisation, parts = self.optimisation, indices.chunk(self.job.stage.micro_batches)
        total = torch.zeros((), device=self.worker.device)
        optimisation.begin(step)
        for part in parts:
            with gradients_shared(self.objective.trained, is_last=part is parts[-1]):
                result = self._forward(part, generator)
                loss = result.loss * (len(part) / len(indices))
                optimisation.backward(loss)
            total += loss.detach()
            latest.add(result.features)
        optimisation.step()
        self.objective.after_step(step, optimisation.num_steps)
        return total

    def _forward(self, indices: Tensor, generator: torch.Generator) -> Step:
        share = slice(self.worker.rank, None, self.worker.world_size)
        with self.flops.left_out():
            views = [
                random_view(self.samples, indices, view.recipe, generator, share, view.size) for view in self.views
            ]
        targets = None if self.samples.targets is None else self.samples.take_targets(indices[share])
        with self.optimisation.autocast():
            return self.objective(views, targets)  # type: ignore[no-any-return]

    def _must_be_sound(self, epoch: int, loss: float, collapse: CollapseMeasures) -> None:
        """Stop a stage that learns nothing any more."""
        stage, where = self.job.stage, f"stage {self.job.name}"
        if not math.isfinite(loss) or not _is_finite(self.objective.kept_encoder()):  # the last step shows in no loss
            found = "the encoder is no longer finite" if math.isfinite(loss) else f"the loss is {loss}"
            raise PretrainingError(
                f"{where}: {found} in epoch {epoch}; lower learning_rate "
                f"({stage.learning_rate:g}) or lengthen warmup_epochs ({stage.warmup_epochs:g})"
            )
        if not self.objective.needs_targets:  # classes pull features together, and hold them apart
            self.watch.add(collapse)
        if self.watch.is_over:
            raise PretrainingError(
                f"{where}: up to epoch {epoch} {self.watch.reason}; lower learning_rate "
                f"({stage.learning_rate:g}), raise batch_size ({stage.batch_size}) or change the objective's options"
            )

    def _row(
        self, epoch: int, loss: float, collapse: CollapseMeasures, num_samples: int, seconds: float
    ) -> dict[str, Any]:
        job, num_workers = self.job, self.worker.world_size
        is_probed = job.stage.probe_every_epochs and epoch % job.stage.probe_every_epochs == 0
        return {
            "stage_id": job.stage_id,
            "stage": job.name,
            "objective": job.stage.objective,
            "data": job.stage.data,
            "initial_weights": job.initial_name,
            "pretraining_seed": job.seed,
            "epoch": epoch,
            "loss": loss,
            "learning_rate": self.optimisation.learning_rate,
            "feature_std": collapse.std,
            "effective_rank": collapse.effective_rank,
            "probe_r2": self._probed() if is_probed else None,
            "samples": num_samples,
            "flops": self.flops.of_steps(self.steps_per_epoch, num_workers),
            "seconds": seconds,
            "device_seconds": seconds * num_workers,
            "num_workers": num_workers,
        }

    def _probed(self) -> float | None:
        store = open_store(self.job.data, self.job.compute.cache, expected_pool=self.job.source_id)
        return probe(self.objective.kept_encoder(), store, self.worker.device)

    def keep_encoder(self, epoch: int) -> None:
        """Save the encoder of this epoch; one that exists stays, since finished cells started from it."""
        job = self.job
        if encoder_path(job.encoders, job.stage_id, epoch).is_file():
            return
        in_channels, num_workers = self.samples.images.shape[1], self.worker.world_size
        card = stage_card(job, self.initial, epoch, in_channels, self.batch_size, num_workers)
        decoder = self.objective.kept_decoder()
        state = self.objective.kept_encoder().state_dict()
        save_encoder(
            encoder_path(job.encoders, job.stage_id, epoch), state, card, decoder.state_dict() if decoder else {}
        )

    def saving_pays(self) -> bool:
        """Whether the state has not been saved for so long that saving it again takes its share of the time at most."""
        since = time.perf_counter() - self._saved_at
        return self._save_seconds <= self.job.compute.checkpoint_share * (since + self._save_seconds)

    def save(self, epoch: int) -> None:
        """Save everything that the next epoch starts from, atomically."""
        started = time.perf_counter()
        state = {
            "epoch": epoch,
            "objective": self.objective.own_state(),
            "optimisation": self.optimisation.state_dict(),
            "epochs_collapsed": self.watch.num_epochs,
            "rows": self.rows,
        }
        write_state(self.state_path, state)
        self.epoch_saved, self._saved_at = epoch, time.perf_counter()
        self._save_seconds = self._saved_at - started

    def resume(self) -> None:
        """Load the last saved epoch, if there is one that can be read; otherwise start from the beginning.

        Raises PretrainingError where the state is of another program, RuntimeError where it changes while it is read.
        """
        state = self._saved_state()
        epoch = broadcast_from_first(state["epoch"] if state else 0, self.worker)
        if epoch == 0:
            return
        if state is None or state["epoch"] != epoch:
            raise RuntimeError(f"{self.state_path} is not the state after epoch {epoch} here; run the command again")
        try:
            self.objective.load_own_state(state["objective"])
        except ValueError as error:
            reason = f"{self.state_path} is of another version of the program; remove it to start anew"
            raise PretrainingError(reason) from error
        self.optimisation.load_state_dict(state["optimisation"])
        self.watch = CollapseWatch(state["epochs_collapsed"])
        self.epochs_done, self.rows = epoch, state["rows"]

    def _saved_state(self) -> dict[str, Any] | None:
        state = read_state(self.state_path)
        if state is None:
            return None
        passed = [epoch for epoch in self.job.stage.kept_epochs if epoch <= state["epoch"]]
        is_whole = are_kept(self.job.encoders, self.job.stage_id, passed)
        return state if is_whole else None  # an epoch that is wanted now was passed without keeping it

"""What a pretraining stage needs of its samples, workers and device, checked before anything is trained.

In: an Experiment, a stage's name, the summary of its data. Out: warnings, or a DataError that says what to change.
"""

from typing import Any

from sweep.experiment import Experiment
from trainables.config import StageConfig
from trainables.data.dataset import DataError
from trainables.objectives import check_batches


def samples_of(stage: StageConfig, experiment: Experiment, summary: dict[str, Any]) -> tuple[int, int]:
    """Return how many images a stage learns from, and their edge in pixels."""
    if stage.data == "natural":
        return int(summary["natural"]["num_images"]), experiment.natural.image_size
    return int(summary["num_slices"]["pool"]), experiment.data.image_size


def check_stage(experiment: Experiment, name: str, summary: dict[str, Any]) -> list[str]:
    """Return warnings about a stage. Raises DataError where it could not learn, or not run."""
    stage = experiment.stages[name]
    available, image_size = samples_of(stage, experiment, summary)
    most = experiment.compute.pretraining_workers
    try:
        for num_workers in range(experiment.compute.min_pretraining_workers or most, most + 1):
            check_batches(stage, min(stage.batch_size, available), num_workers, image_size)
        _check_device(stage, experiment.compute.device)
        _check_probe(stage, summary["num_slices"]["validation"], experiment.data.validation_slices)
    except ValueError as error:
        raise DataError(f"stages.{name}: {error}") from error
    return [f"stages.{name}: {warning}" for warning in _warnings(stage, available)]


def _check_device(stage: StageConfig, device: str) -> None:
    if stage.precision == "fp16" and device == "cpu":
        raise ValueError("precision: fp16 expects a GPU, found compute.device=cpu; use bf16 or fp32")


def _check_probe(stage: StageConfig, num_slices: int, wanted: int | None) -> None:
    if stage.probe_every_epochs and (num_slices == 0 or wanted == 0):
        raise ValueError("probe_every_epochs: expected validation slices to probe, found none; set it to 0")


def _warnings(stage: StageConfig, available: int) -> list[str]:
    found = []
    if available < stage.batch_size:
        found.append(f"expected at least batch_size={stage.batch_size} samples, found {available}: all are one batch")
    shortest = min(stage.kept_epochs) if stage.schedule == "per_length" else stage.epochs
    if stage.warmup_epochs >= shortest:
        found.append(f"warmup_epochs={stage.warmup_epochs:g} leaves a run of {shortest} epochs no time to anneal")
    return found

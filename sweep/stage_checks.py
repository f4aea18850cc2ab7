"""What a pretraining stage needs of its samples, workers and device, checked before anything is trained.

In: an Experiment, a stage's name, the summary of its data, the launcher. Out: warnings, or an error that says what to
change.
"""

import math
from typing import Any

from sweep.experiment import Experiment, ExperimentError
from sweep.on_ray.shares import LOCAL, cluster_address
from sweep.wording import number
from trainables.config import ComputeConfig, StageConfig
from trainables.data.dataset import DataError
from trainables.objectives import check_batches, check_half_on_cpu
from trainables.processes import DeviceError, is_gpu_here


def samples_of(stage: StageConfig, experiment: Experiment, summary: dict[str, Any]) -> tuple[int, int]:
    """Return how many images a stage learns from, and their edge in pixels."""
    if stage.data == "natural":
        return int(summary["natural"]["num_images"]), experiment.natural.image_size
    return int(summary["num_slices"]["pool"]), experiment.data.image_size


def check_launcher(experiment: Experiment, launcher: str) -> None:
    """Raise ExperimentError where stages are to have several workers in one process: their ids would be of those."""
    workers = experiment.compute.pretraining_workers
    if launcher == "serial" and workers > 1 and any(experiment.arms[name].stages for name in experiment.arm_names):
        raise ExperimentError(
            f"compute.pretraining_workers: expected 1 with --launcher serial, which is one process, found {workers}; "
            "use --launcher ray, or set it to 1"
        )


def check_device(compute: ComputeConfig, launcher: str) -> None:
    """Raise DeviceError where no unit could run as asked, whatever the data are.

    Note: of a cluster that is joined nothing is certain here; its workers may have the GPUs that the driver lacks.
    """
    if compute.device == "cuda" and runs_here(compute, launcher) and not is_gpu_here():
        raise DeviceError("compute.device is cuda, but this machine has no CUDA device; use compute.device=cpu or auto")


def runs_here(compute: ComputeConfig, launcher: str) -> bool:
    """Whether everything runs on this machine."""
    return launcher == "serial" or cluster_address(compute) == LOCAL


def check_stage(experiment: Experiment, name: str, summary: dict[str, Any], is_here: bool = False) -> list[str]:
    """Return warnings about a stage. Raises DataError where it could not learn, or not run.

    ``is_here``: on this machine, whose devices are known.
    """
    stage = experiment.stages[name]
    available, image_size = samples_of(stage, experiment, summary)
    most, batch = experiment.compute.pretraining_workers, min(stage.batch_size, available)
    numbers = range(experiment.compute.min_pretraining_workers or most, most + 1)
    try:
        if len(numbers) > 1 and batch % (shared := math.lcm(*numbers)):
            raise ValueError(
                f"a batch of {batch} cannot be shared equally by any number of workers from {numbers[0]} to {most}; "
                f"set batch_size to a multiple of {shared}, or raise compute.min_pretraining_workers"
            )
        for num_workers in numbers:
            check_batches(stage, batch, num_workers, image_size)
        _check_precision(stage, experiment.compute.device, is_here, image_size)
        _check_probe(stage, summary["num_slices"]["validation"], experiment.data.validation_slices)
    except ValueError as error:
        raise DataError(f"stages.{name}: {error}") from error
    return [f"stages.{name}: {warning}" for warning in _warnings(stage, available)]


def _check_precision(stage: StageConfig, device: str, is_here: bool, image_size: int) -> None:
    """Refuse what a CPU cannot do; whether a joined cluster has GPUs, its stages tell."""
    if device != "cpu" and not (is_here and not is_gpu_here()):
        return
    check_half_on_cpu(stage, image_size)
    if stage.precision == "fp16":
        found = "compute.device=cpu" if device == "cpu" else "none on this machine"
        raise ValueError(f"precision: fp16 expects a GPU, found {found}; use bf16 or fp32")


def _check_probe(stage: StageConfig, num_slices: int, wanted: int | None) -> None:
    if stage.probe_every_epochs and (num_slices == 0 or wanted == 0):
        raise ValueError("probe_every_epochs: expected validation slices to probe, found none; set it to 0")


def _warnings(stage: StageConfig, available: int) -> list[str]:
    found = []
    if available < stage.batch_size:
        found.append(f"expected at least batch_size={stage.batch_size} samples, found {available}: all are one batch")
    shortest = min(stage.kept_epochs) if stage.schedule == "per_length" else stage.epochs
    if stage.warmup_epochs >= shortest:
        found.append(
            f"warmup_epochs={stage.warmup_epochs:g} leaves a run of {number(shortest, 'epoch')} no time to anneal"
        )
    return found

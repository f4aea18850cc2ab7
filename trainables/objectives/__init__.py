"""Pretraining objectives, one per file, and the registry that a stage's ``objective`` names.

An objective owns its networks and turns a batch into a loss. This package is the home of lightly.
"""

from torch import nn

from trainables.config import StageConfig
from trainables.models.encoder import Encoder
from trainables.objectives.barlow_twins import BarlowTwins
from trainables.objectives.byol import BYOL
from trainables.objectives.contract import Batch, Objective, Options, Step, View
from trainables.objectives.densecl import DenseCL
from trainables.objectives.dino import DINO
from trainables.objectives.masked import Masked
from trainables.objectives.moco import MoCo
from trainables.objectives.simclr import SimCLR
from trainables.objectives.supervised import Supervised
from trainables.objectives.vicreg import VICReg

SMALLEST_HALF_ON_CPU = 17
"""Pixels of a view's edge that bf16 on a CPU takes.

Of fewer, an encoder's last stage strides over a map of one pixel, and in bf16 torch 2.14.1 gives that convolution's
weights another gradient at each call, at times NaN.
"""

OBJECTIVES: dict[str, type[Objective]] = {
    "barlow-twins": BarlowTwins,
    "byol": BYOL,
    "densecl": DenseCL,
    "dino": DINO,
    "masked": Masked,
    "moco": MoCo,
    "simclr": SimCLR,
    "supervised": Supervised,
    "vicreg": VICReg,
}


def references() -> dict[str, str]:
    """Return what a paper cites for each objective that has a source of its own."""
    return {name: objective.reference for name, objective in OBJECTIVES.items() if objective.reference}


def options_of(stage: StageConfig) -> Options:
    """Return the options of a stage's objective, defaults included. Raises pydantic's ValidationError."""
    return OBJECTIVES[stage.objective].options_type.model_validate(stage.options)


def keeps_decoder(stage: StageConfig) -> bool:
    """Return whether a stage's method pretrains the decoder, too."""
    return OBJECTIVES[stage.objective].keeps_decoder


def build_objective(
    encoder: Encoder, stage: StageConfig, num_classes: int, decoder: nn.Module | None = None
) -> Objective:
    """Return a stage's objective around an encoder, and a decoder where its method ``keeps_decoder``."""
    with_decoder = {"decoder": decoder} if keeps_decoder(stage) else {}
    objective = OBJECTIVES[stage.objective](encoder, options_of(stage), num_classes, **with_decoder)
    objective.check_owned()
    return objective


def check_batches(stage: StageConfig, batch_size: int, num_workers: int, image_size: int) -> None:
    """Raise ValueError where a stage cannot learn from batches of this size, passed in its micro-batches."""
    if batch_size % stage.micro_batches:
        raise ValueError(
            f"a batch of {batch_size} cannot pass in {stage.micro_batches} equal parts; lower micro_batches"
        )
    parts = stage.micro_batches
    try:
        options_of(stage).check_batch(Batch(batch_size // parts, num_workers, image_size))
    except ValueError as error:
        if parts == 1:
            raise
        raise ValueError(
            f"micro_batches={parts} of a batch of {batch_size}: {error}, or lower micro_batches"
        ) from error


def check_half_on_cpu(stage: StageConfig, image_size: int) -> None:
    """Raise ValueError where a stage in bf16 has views of images of this size that are too small for a CPU."""
    edge = options_of(stage).smallest_view(image_size)
    if stage.precision == "bf16" and edge < SMALLEST_HALF_ON_CPU:
        raise ValueError(
            f"precision: bf16 on a CPU expects views of more than {SMALLEST_HALF_ON_CPU - 1} px, found {edge}; use "
            "fp32, or larger views"
        )


__all__ = [
    "OBJECTIVES",
    "Batch",
    "Objective",
    "Options",
    "Step",
    "View",
    "build_objective",
    "check_batches",
    "check_half_on_cpu",
    "keeps_decoder",
    "options_of",
]

"""Where an encoder comes from, as its card tells it.

In: a stage's job. Out: the card of the encoder that the stage keeps: method, data, recipe, the weights it started from
with their own provenance, and their licence, which stands in every card of a chain.
"""

from typing import Any

from trainables.config import RECIPE_VERSION
from trainables.jobs import StageJob
from trainables.versions import library_versions
from trainables.weights.card import read_card
from trainables.weights.files import sha256
from trainables.weights.source import RANDOM, locate

NO_LICENCE = "none: random initial weights"


def stage_card(
    job: StageJob, initial: dict[str, Any], epoch: int, in_channels: int, batch_size: int, num_workers: int
) -> dict[str, Any]:
    """Return the card of a stage's encoder after ``epoch`` epochs; ``initial`` is what ``initial_weights`` told.

    ``batch_size`` is the one that was trained with: the recipe's, or all samples where they are fewer.
    ``num_workers`` share it.
    """
    return {
        "method": job.stage.objective,
        "data": job.stage.data,
        "data_id": job.source_id,
        "epochs": epoch,
        "seed": job.seed,
        "stage": job.name,
        "stage_id": job.stage_id,
        "model": job.model.model_dump(mode="json"),
        "in_channels": in_channels,
        "recipe": job.stage.model_dump(mode="json"),
        "batch_size": batch_size,
        "num_workers": num_workers,
        "recipe_version": RECIPE_VERSION,
        "initial": initial,
        "licence": initial["licence"],
        "versions": library_versions(),
    }


def initial_weights(job: StageJob) -> dict[str, Any]:
    """Describe the weights that a stage starts from; those of another stage bring their own ``initial`` along."""
    if job.initial == RANDOM:
        return {"name": RANDOM, "sha256": None, "licence": NO_LICENCE}
    located = locate(job.initial)
    found = {"name": job.initial_name, "sha256": sha256(located.path), "licence": located.licence}
    parent = read_card(located.path)
    return found | ({"initial": parent["initial"]} if "initial" in parent else {})

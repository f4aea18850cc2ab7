"""Score a segmentation network on slices, whole and without augmentation.

In: a network and samples on its device. Out: an Evaluation, which does not depend on the batch size.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch

from trainables.config import FinetuneConfig
from trainables.data.batches import Samples, network_input
from trainables.examples import Mask
from trainables.metrics import Counts, SoftJaccard, dice, slice_counts
from trainables.models.segmenter import Segmenter


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Loss and counts of one deterministic pass, and the masks predicted on the slices asked for.

    ``counts`` are (slice, class, 3), the background first.
    """

    loss: float
    counts: Counts
    masks: list[Mask] = dataclasses.field(default_factory=list)


@torch.no_grad()
def evaluate(network: Segmenter, samples: Samples, config: FinetuneConfig, kept: Sequence[int] = ()) -> Evaluation:
    """Score every slice whole, without augmentation; the result does not depend on the batch size.

    The masks predicted at the positions ``kept`` are returned in that order.
    """
    network.eval()
    device = samples.device
    loss, counts = SoftJaccard(network.num_classes, device), []
    masks: dict[int, Mask] = {}
    for indices in torch.split(torch.arange(len(samples)), config.evaluation_batch_size):
        images, truth = network_input(samples.take(indices)), samples.take_targets(indices).long()
        with torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bf16"):
            logits = network(images)
        logits = logits.contiguous()  # each class's plane whole: what follows looks at classes, not at pixels
        loss.add(logits, truth)
        predicted = logits.max(1).indices
        counts.append(slice_counts(predicted, truth, network.num_classes))
        if places := [place for place, position in enumerate(indices.tolist()) if position in kept]:
            chosen = predicted[places].to(torch.uint8).cpu().numpy()
            masks |= zip(indices[places].tolist(), chosen, strict=True)
    return Evaluation(loss.loss(), torch.cat(counts).cpu().numpy(), [masks[position] for position in kept])


def pooled_dice(counts: Counts) -> float | None:
    """Mean foreground Dice over all slices; None where no structure is there and none is found."""
    scores = dice(counts.sum(0)[1:])
    return None if np.isnan(scores).all() else float(np.nanmean(scores))

"""How much of a slice's anatomy an encoder's features tell: a k-nearest-neighbour probe on labelled slices.

In: an encoder and a store of labelled slices. Out: one number, at most 1. From the features of the training slices that
are most alike it is predicted which share of a validation slice each class takes; the score is the explained share of
the variance, averaged over classes (R2): 1 for perfect, 0 for no better than the mean, below for worse. Labels are
looked at, never learnt from. Source: weighted neighbours as in Wu et al. 2018 (arXiv 1805.01978), with the classes'
shares of the slice in place of a class, since a segmentation has none.

Misleads where few slices are labelled: neighbours are then slices of the same few patients.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from trainables.data.batches import from_slices, network_input
from trainables.data.slice_store import SliceStore
from trainables.models.encoder import Encoder

NUM_NEIGHBOURS = 20
TEMPERATURE = 0.07
BATCH_SIZE = 64


@torch.no_grad()
def probe(encoder: Encoder, store: SliceStore, device: torch.device) -> float | None:
    """Return the R2 of the validation slices' class shares, none where none of them varies.

    The encoder is put back into the mode that it was in.
    """
    was_training = encoder.training
    encoder.eval()
    known, shares = _described(encoder, store, "train", device)
    asked, truth = _described(encoder, store, "validation", device)
    encoder.train(was_training)
    return explained_variance(nearest_shares(known, shares, asked), truth)


def nearest_shares(known: Tensor, shares: Tensor, asked: Tensor) -> Tensor:
    """Predict shares (slice, class) from those of the neighbours by cosine, weighted by exp(cosine / temperature)."""
    similarity = F.normalize(asked, dim=1) @ F.normalize(known, dim=1).T
    nearest = similarity.topk(min(NUM_NEIGHBOURS, len(known)), dim=1)
    weights = (nearest.values / TEMPERATURE).softmax(dim=1)
    return (weights[:, :, None] * shares[nearest.indices]).sum(1)


def explained_variance(predicted: Tensor, truth: Tensor) -> float | None:
    """Return R2 averaged over the classes that vary; none where none does."""
    residual, total = ((truth - predicted) ** 2).sum(0), ((truth - truth.mean(0)) ** 2).sum(0)
    varies = total > 0
    if not varies.any():
        return None
    return float((1 - residual[varies] / total[varies]).mean())


def _described(encoder: Encoder, store: SliceStore, part: str, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return features (slice, feature) and the share of each foreground class (slice, class)."""
    samples = from_slices(store.images, store.masks, store.rows(part), device)
    features, shares = [], []
    for indices in torch.split(torch.arange(len(samples)), BATCH_SIZE):
        features.append(encoder(network_input(samples.take(indices))).float())
        classes = F.one_hot(samples.take_targets(indices).long(), store.num_classes)[..., 1:]
        shares.append(classes.float().mean((1, 2)))
    return torch.cat(features), torch.cat(shares)

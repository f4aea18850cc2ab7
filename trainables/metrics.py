"""Overlap of predicted and true masks, as counts that every score is derived from later.

In: class scores or labels of slices. Out: true positives, false positives and false negatives per volume and class,
and Dice and IoU. A structure absent from both truth and prediction has no score (NaN) and is left out of means; a
missed or an invented structure scores 0, so neither ever improves a mean. Source: Dice 1945; Maier-Hein et al. 2024
(absent structures). docs/scores.md defines them all.
"""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Counts = npt.NDArray[np.int64]
"""(..., class, 3): true positives, false positives, false negatives of each class."""


def slice_counts(predicted: Tensor, truth: Tensor, num_classes: int) -> Tensor:
    """Count per slice and class, background first: (slice, num_classes, 3) int64 from (slice, row, column) labels."""
    slices = torch.arange(len(truth), device=truth.device)[:, None, None]
    pairs = (slices * num_classes + truth) * num_classes + predicted  # which slice, true and predicted class
    counts = torch.bincount(pairs.flatten(), minlength=len(truth) * num_classes**2)
    confusion = counts.view(-1, num_classes, num_classes)  # (slice, true, predicted)
    positives = confusion.diagonal(dim1=1, dim2=2)
    return torch.stack([positives, confusion.sum(1) - positives, confusion.sum(2) - positives], -1)


def dice(counts: Counts) -> npt.NDArray[np.float64]:
    """Return 2TP / (2TP + FP + FN), NaN where all three are 0."""
    return _ratio(2 * counts[..., 0], 2 * counts[..., 0] + counts[..., 1] + counts[..., 2])


def iou(counts: Counts) -> npt.NDArray[np.float64]:
    """Return TP / (TP + FP + FN), NaN where all three are 0."""
    return _ratio(counts[..., 0], counts.sum(-1))


def paper_iou(counts: Counts) -> float:
    """Mean over slices of the mean IoU over all classes, the background included, of (slice, class, 3) counts.

    What Kalapos & Gyires-Tóth 2022 tell as mean IoU. It flatters: the background is easy, and a class that is neither
    there nor predicted counts as 1.
    """
    return float(np.nan_to_num(iou(counts), nan=1.0).mean())


def _ratio(top: npt.NDArray[np.int64], bottom: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    ratio: npt.NDArray[np.float64] = np.divide(top, bottom, out=np.full(top.shape, np.nan), where=bottom > 0)
    return ratio


def patient_mean(scores: npt.NDArray[np.float64], patients: list[str]) -> float:
    """Mean over patients of the mean over a patient's defined scores; ``scores`` are (volume, class)."""
    names = np.array(patients)
    means = []
    for name in dict.fromkeys(patients):
        defined = scores[names == name]
        defined = defined[~np.isnan(defined)]
        if defined.size:
            means.append(defined.mean())
    return float(np.mean(means)) if means else float("nan")


class SoftJaccard:
    """Jaccard loss of a whole set of slices, accumulated over batches of any size.

    Mean over all classes of 1 - I / U, with I and U summed over all pixels of the set, and 0 for a class that does not
    occur in it: smp's multiclass JaccardLoss on one batch that holds the set.
    """

    def __init__(self, num_classes: int, device: torch.device) -> None:
        self._sums = torch.zeros(3, num_classes, dtype=torch.float64, device=device)  # intersection, predicted, true

    def add(self, logits: Tensor, truth: Tensor) -> None:
        """Add (batch, class, row, column) logits and (batch, row, column) labels."""
        probability = logits.float().softmax(1)
        is_true = truth[:, None] == torch.arange(logits.shape[1], device=logits.device)[:, None, None]
        axes = (0, 2, 3)
        self._sums += torch.stack([(probability * is_true).sum(axes), probability.sum(axes), is_true.sum(axes)])

    def loss(self) -> float:
        """Return the loss of everything added."""
        intersection, predicted, true = self._sums.cpu()
        present = true > 0
        ratio = intersection / (predicted + true - intersection).clamp(min=1e-7)
        return float(((1 - ratio) * present).mean())

"""Whether a network's features have collapsed, to one point or to one line.

In: features of the latest samples. Out: their spread and effective rank, and a watch that ends a stage which has stayed
collapsed for some epochs. Source of the rank: Roy & Vetterli 2007.
"""

import math
from collections import deque
from dataclasses import dataclass

import torch
from torch import Tensor

NUM_SAMPLES = 512  # the latest ones that are measured: a rank is bounded by their number, so batches alone will not do
LOWEST_STD = 0.02
LOWEST_RANK = 1.5
FEWEST_SAMPLES = 8
PATIENCE_EPOCHS = 3  # a first epoch may look collapsed


@dataclass(frozen=True)
class CollapseMeasures:
    """``std``: of l2-normalised features, times sqrt(dimension), 1 when spread evenly, 0 when all are one point.
    ``effective_rank``: exponential of the entropy of the centred features' singular values."""

    std: float
    effective_rank: float
    num_samples: int

    @property
    def is_collapsed(self) -> bool:
        """Whether the features are one point or one line, up to noise; few samples always lie nearly on a line."""
        is_line = self.effective_rank < LOWEST_RANK and self.num_samples >= FEWEST_SAMPLES
        return self.std < LOWEST_STD or is_line


def measure_collapse(features: Tensor) -> CollapseMeasures:
    """Measure how far (sample, feature) features are from collapse; NaN of features that are not finite.

    The number of samples bounds the rank.
    """
    if not torch.isfinite(features).all():
        return CollapseMeasures(math.nan, math.nan, len(features))
    features = features.double()
    unit = torch.nn.functional.normalize(features, dim=1)
    std = float(unit.std(0, correction=0).mean() * math.sqrt(features.shape[1]))
    share = _singular_values(features - features.mean(0))
    share = share / share.sum().clamp(min=1e-12)
    entropy = -(share * share.clamp(min=1e-12).log()).sum()
    return CollapseMeasures(std, float(entropy.exp()), len(features))


def _singular_values(features: Tensor) -> Tensor:
    """Return the singular values of (sample, feature) features: the roots of their products' eigenvalues.

    Those below 1e-8 of the largest are lost to rounding, which no rank shows. The products of few samples, or of few
    features, are smaller than the features themselves.
    """
    wide = len(features) <= features.shape[1]
    products = features @ features.T if wide else features.T @ features
    eigenvalues: Tensor = torch.linalg.eigvalsh(products.cpu())
    return eigenvalues.clamp(min=0).sqrt()


class LatestFeatures:
    """The features of the last samples of an epoch, on their device: nothing is waited for until they are asked for."""

    def __init__(self) -> None:
        self._parts: deque[Tensor] = deque()

    def add(self, features: Tensor) -> None:
        """Take a batch's features (sample, feature) and let go of those that are no longer among the latest."""
        self._parts.append(features)
        while sum(map(len, self._parts)) - len(self._parts[0]) >= NUM_SAMPLES:
            self._parts.popleft()

    def rows(self, num_workers: int = 1) -> Tensor:
        """Return this worker's share of the latest samples' features (sample, feature)."""
        return torch.cat(list(self._parts))[-(NUM_SAMPLES // num_workers) :].float()


class CollapseWatch:
    """How many epochs in a row a stage's features have been collapsed, and when that is enough."""

    def __init__(self, num_epochs: int = 0) -> None:
        self.num_epochs = num_epochs
        self._latest = CollapseMeasures(math.nan, math.nan, 0)

    def add(self, measures: CollapseMeasures) -> None:
        """Take an epoch's measures."""
        self._latest = measures
        self.num_epochs = self.num_epochs + 1 if measures.is_collapsed else 0

    @property
    def is_over(self) -> bool:
        """Whether the stage has learnt nothing for too long."""
        return self.num_epochs >= PATIENCE_EPOCHS

    @property
    def reason(self) -> str:
        """What was found, and what it means."""
        return (
            f"the features have been collapsed for {self.num_epochs} epochs (standard deviation "
            f"{self._latest.std:.3g}, below {LOWEST_STD} is one point; effective rank "
            f"{self._latest.effective_rank:.3g}, below {LOWEST_RANK} is one line)"
        )

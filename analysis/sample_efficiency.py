"""Test error against the number of labels: a power law with a floor, and the labels that reach a target
error.

In: a seed x label-count matrix of errors (1 - mean foreground Dice). Out: fitted laws, bootstrap intervals,
label counts.
Law: e(n) = e_inf + b n^-a (Hestness et al. 2017; form M2 of Alabdulmohsin et al. 2022), fitted in log space
to every seed's points with 0 <= e_inf <= smallest error seen. Written as e = b (c + n^-a), the scale b has a
closed form given a and c, so the bootstrap searches a grid of (a, c) and cannot be caught in a local minimum.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.stats import spearmanr

from analysis.median_curve import falling, labels_at
from analysis.uncertainty import Floats, is_replicated, median_over_seeds, percentile_interval

SMALLEST_ERROR = 1e-4  # a perfect score has no logarithm
NUM_STARTS = 5
ZOOMS = 5  # refinements of the grid, each three times finer
EXPONENTS = np.geomspace(0.02, 4.0, 70)
FLOOR_SHARES = np.concatenate([np.linspace(0.0, 0.95, 60), [0.97, 0.98, 0.99, 0.995]])  # of the error at most labels
GRID = np.array([(exponent, share) for exponent in EXPONENTS for share in FLOOR_SHARES])


@dataclass(frozen=True)
class PowerLaw:
    """e(n) = floor + scale * n ** -exponent."""

    floor: float
    scale: float
    exponent: float

    def error(self, label_count: Floats) -> Floats:
        """Return the law's error; beyond the largest measured label count it is an extrapolation."""
        values: Floats = self.floor + self.scale * np.asarray(label_count, dtype=np.float64) ** -self.exponent
        return values


@dataclass(frozen=True)
class LawFit:
    """A fitted law with the laws of every bootstrap resample, (resample, 3): floor, scale, exponent.

    Note: floor and exponent trade off: a low floor with a slow fall and a high floor with a quick fall can
    fit alike. Read their intervals, not their values. With fewer than 5 seeds the intervals are too narrow.
    """

    law: PowerLaw
    draws: Floats
    residual: float  # root mean square of log error

    def interval(self, parameter: str, confidence: float) -> tuple[float, float]:
        """Return the percentile interval of ``floor``, ``scale`` or ``exponent``."""
        return percentile_interval(self.draws[:, ("floor", "scale", "exponent").index(parameter)], confidence)

    def band(self, label_counts: Floats, confidence: float) -> tuple[Floats, Floats]:
        """Return the pointwise interval of the law at each label count."""
        if len(self.draws) == 0:
            unknown = np.full(len(label_counts), np.nan)
            return unknown, unknown
        floor, scale, exponent = (self.draws[:, [i]] for i in range(3))
        curves = floor + scale * label_counts[None, :] ** -exponent
        tail = (1 - confidence) / 2
        return np.quantile(curves, tail, axis=0), np.quantile(curves, 1 - tail, axis=0)


@dataclass(frozen=True)
class Refusal:
    """Why no law is fitted, in words for the reader."""

    reason: str


@dataclass(frozen=True)
class LabelsNeeded:
    """The fewest labels that reach ``target_error`` on the falling median curve (0: fewest measured or
    fewer, inf: more).
    """

    target_error: float
    labels: float
    low: float
    high: float
    share_not_reached: float  # of the resamples


def falls_with_labels(label_counts: Floats, errors: Floats) -> float:
    """Return Spearman's correlation of median error and label count; -1 falls at every step, NaN below 3
    counts.

    Note: it is about order alone. At 5 label counts even -0.9 can be chance, and it says nothing on the size
    of the fall.
    """
    medians = median_over_seeds(errors)
    known = ~np.isnan(medians)
    if known.sum() < 3 or np.ptp(medians[known]) == 0:
        return float("nan")
    return float(spearmanr(label_counts[known], medians[known]).statistic)


def is_falling(label_counts: Floats, errors: Floats) -> bool:
    """Return whether the median error falls with labels: Spearman <= -0.5, or lower at the last of two."""
    medians = median_over_seeds(errors)
    known = medians[~np.isnan(medians)]
    if len(known) < 3:
        return len(known) == 2 and bool(known[1] < known[0])
    return falls_with_labels(label_counts, errors) <= -0.5


def fit_with_intervals(label_counts: Floats, errors: Floats, draws: NDArray[np.intp]) -> LawFit | Refusal:
    """Fit the law to (seed, label count) errors with one refit per resample of seeds, or say why not."""
    num_counts = int((~np.isnan(errors)).any(axis=0).sum())
    if num_counts < 4:
        return Refusal(f"{num_counts} label counts, and a law with three parameters needs at least 4")
    if not is_falling(label_counts, errors):
        order = falls_with_labels(label_counts, errors)
        return Refusal(f"the median error does not fall with labels (Spearman {order:.2f})")
    seeds, columns = np.nonzero(~np.isnan(errors))
    counts, values = label_counts[columns], errors[seeds, columns]
    law, residual = fit_law(counts, values)
    num_seeds = len(errors)
    weights = np.stack([(draws == seed).sum(axis=1) for seed in range(num_seeds)], axis=1)  # (resample, seed)
    weights = weights[:, seeds].astype(np.float64)
    weights = weights[weights.sum(axis=1) > 0]  # a resample of seeds without results has nothing to fit
    refits = _refit(counts, values, weights) if is_replicated(errors) and len(weights) else np.empty((0, 3))
    return LawFit(law, refits, residual)


def fit_law(label_counts: Floats, errors: Floats) -> tuple[PowerLaw, float]:
    """Return the least-squares law on log error for single points (label count, error), and its residual."""
    logs = np.log(np.maximum(errors, SMALLEST_ERROR))
    lowest = float(np.exp(logs.min()))

    def residuals(parameters: Floats) -> Floats:
        floor, log_scale, exponent = parameters
        return np.asarray(np.log(floor + np.exp(log_scale) * label_counts**-exponent) - logs)

    losses, scales, shapes = _search(label_counts, logs, np.ones((1, len(logs))), lowest)
    fits = []
    for index in np.argsort(losses[0])[: NUM_STARTS * 50 : 50]:  # starts that differ, not five neighbours
        if not np.isfinite(losses[0, index]):
            continue
        start = [scales[0, index] * shapes[index], np.log(scales[0, index]), GRID[index, 0]]
        start[0] = float(np.clip(start[0], 1e-9 * lowest, lowest * (1 - 1e-9)))
        bounds = ([0.0, -30.0, 1e-3], [lowest, 30.0, 6.0])
        fits.append(least_squares(residuals, start, bounds=bounds, x_scale=[lowest, 1.0, 1.0], xtol=1e-12, ftol=1e-12))
    best = min(fits, key=lambda fit: float(fit.cost))
    law = PowerLaw(float(best.x[0]), float(np.exp(best.x[1])), float(best.x[2]))
    return law, float(np.sqrt(2 * best.cost / len(logs)))


def labels_needed(
    label_counts: Floats,
    errors: Floats,
    draws: NDArray[np.intp],
    target: float | Floats | None,
    margin: float,
    confidence: float,
) -> LabelsNeeded | None:
    """Return the labels that reach ``target``, or (1 + margin) times the own error at most labels where it
    is None. An array, as ``near_minimum_targets`` returns it, has one target for all seeds and one
    for each resample.

    Note: with a target relative to its own error at most labels an arm that learns nothing needs few labels:
    read it beside that error. The answer never exceeds the largest measured count: infinity stands for "more
    than that".
    """
    known = ~np.isnan(errors).all(axis=0)
    if not known.any():
        return None
    counts, errors = label_counts[known], errors[:, known]
    curves = _falling_medians(errors, draws)
    targets = (1 + margin) * curves[:, -1] if target is None else np.broadcast_to(target, len(curves))
    needed = labels_at(counts, curves, targets)
    low, high = percentile_interval(needed[1:], confidence) if is_replicated(errors) else (np.nan, np.nan)
    resampled = needed[1:][~np.isnan(needed[1:])]
    not_reached = float(np.isinf(resampled).mean()) if len(resampled) else float("nan")
    return LabelsNeeded(float(targets[0]), float(needed[0]), low, high, not_reached)


def near_minimum_targets(errors: Floats, draws: NDArray[np.intp], margin: float) -> Floats:
    """Return (1 + margin) times the error at most labels: of all seeds, then of each resample."""
    known = ~np.isnan(errors).all(axis=0)
    targets: Floats = (1 + margin) * _falling_medians(errors[:, known], draws)[:, -1]
    return targets


def _falling_medians(errors: Floats, draws: NDArray[np.intp]) -> Floats:
    """Return falling median curves of all seeds, then of each resample: (1 + resample, label count)."""
    return falling(np.concatenate([median_over_seeds(errors)[None], median_over_seeds(errors[draws])]))


def _search(counts: Floats, logs: Floats, weights: Floats, lowest: float) -> tuple[Floats, Floats, Floats]:
    """Return the loss and scale of every (a, c) on the grid for every row of weights, and c itself."""
    exponents, shares = GRID[:, :1], GRID[:, 1]
    shapes = counts.max() ** -GRID[:, 0] * shares / (1 - shares)  # c
    rests = logs[None, :] - np.log(shapes[:, None] + counts[None, :] ** -exponents)  # (grid, point)
    total = weights.sum(axis=1, keepdims=True)
    means = weights @ rests.T / total
    losses = weights @ (rests**2).T / total - means**2
    scales = np.exp(means)
    return np.where(scales * shapes[None, :] <= lowest, losses, np.inf), scales, shapes


def _refit(counts: Floats, values: Floats, weights: Floats) -> Floats:
    """Return (resample, 3) laws for rows of point weights; equal rows are fitted once."""
    logs = np.log(np.maximum(values, SMALLEST_ERROR))
    lowest = float(np.exp(logs.min()))
    distinct, index = np.unique(weights, axis=0, return_inverse=True)
    parts = []
    for start in range(0, len(distinct), 200):  # bounds the memory: (200, grid) losses
        chunk = distinct[start : start + 200]
        losses, _, _ = _search(counts, logs, chunk, lowest)
        parts.append(_zoom(counts, logs, chunk, lowest, GRID[losses.argmin(axis=1)]))
    return np.concatenate(parts)[index.ravel()]


def _zoom(counts: Floats, logs: Floats, weights: Floats, lowest: float, centres: Floats) -> Floats:
    """Refine (exponent, floor share) per row of weights on ever smaller grids around ``centres``: (row, 3)
    laws.
    """
    steps = np.stack(np.meshgrid(*[np.linspace(-1.0, 1.0, 7)] * 2), axis=-1).reshape(-1, 2)
    shares = weights / weights.sum(axis=1, keepdims=True)
    rows, half = np.arange(len(weights)), np.array([0.08, 0.02])
    for _ in range(ZOOMS):
        exponents = np.clip(centres[:, None, 0] * (1 + half[0] * steps[None, :, 0]), 1e-3, 6.0)
        floors = np.clip(centres[:, None, 1] + half[1] * steps[None, :, 1], 0.0, 0.995)  # (row, candidate)
        shapes = counts.max() ** -exponents * floors / (1 - floors)
        rests = logs - np.log(shapes[..., None] + counts ** -exponents[..., None])  # (row, candidate, point)
        means = np.einsum("rcp,rp->rc", rests, shares)
        losses = np.einsum("rcp,rp->rc", (rests - means[..., None]) ** 2, shares)
        losses = np.where(np.exp(means) * shapes <= lowest, losses, np.inf)
        best = losses.argmin(axis=1)
        centres = np.stack([exponents[rows, best], floors[rows, best]], axis=1)
        half = half / 3
    scales = np.exp(means[rows, best])
    return np.stack([scales * shapes[rows, best], scales, centres[:, 0]], axis=1)

"""Bounded nonlinear least squares on log error for many curves at once.

In: a family, label counts, log errors and weights, (curve, count). Out: parameters, (curve, parameter), and losses.
Method: Levenberg-Marquardt steps projected on the box, in numpy over all curves and starts together: a bootstrap of
thousands of refits takes the time of a few.
Source: Levenberg (1944), Marquardt (1963); projection as in Kanzow, Yamashita & Fukushima (2004).
"""

import numpy as np

from analysis.intervals.uncertainty import Floats
from analysis.labels.laws import Family

MAX_ITERATIONS = 120
TOLERANCE = 1e-9


def fit_many(
    family: Family, counts: Floats, logs: Floats, weights: Floats, starts: Floats, lowest: float
) -> tuple[Floats, Floats]:
    """Return the best parameters and weighted mean squares of every curve; ``starts`` is (start, parameter).

    ``lowest`` bounds the floor: no law may level off above the smallest error that it is to describe.
    """
    num_curves, num_starts = len(logs), len(starts)
    box = family.bounds(lowest, counts)
    begin = np.clip(np.tile(starts, (num_curves, 1)), *box)
    shares = weights / weights.sum(axis=1, keepdims=True)
    found, losses = _descend(
        family, counts, np.repeat(logs, num_starts, 0), np.repeat(shares, num_starts, 0), begin, box
    )
    losses = losses.reshape(num_curves, num_starts)
    best = losses.argmin(axis=1)
    rows = np.arange(num_curves)
    return found.reshape(num_curves, num_starts, -1)[rows, best], losses[rows, best]


def jacobian(family: Family, counts: Floats, parameters: Floats) -> Floats:
    """Return d log error / d parameter, (..., count, parameter), by central differences."""
    steps = 1e-6 * np.eye(family.num_parameters)
    shifted = parameters[..., None, :] + np.concatenate([steps, -steps])  # (..., 2 parameters, parameter)
    above, below = np.split(_log_curve(family, counts, shifted), 2, axis=-2)
    return np.ascontiguousarray(np.swapaxes((above - below) / 2e-6, -1, -2))


def _log_curve(family: Family, counts: Floats, parameters: Floats) -> Floats:
    return np.asarray(np.log(np.maximum(family.curve(parameters, counts), 1e-12)))


def _descend(
    family: Family, counts: Floats, logs: Floats, shares: Floats, parameters: Floats, box: tuple[Floats, Floats]
) -> tuple[Floats, Floats]:
    """Take projected Levenberg-Marquardt steps until no curve gains; curves that are done are left alone."""
    losses = _losses(family, counts, logs, shares, parameters)
    damping = np.full(len(logs), 1e-2)
    active = np.arange(len(logs))
    for _ in range(MAX_ITERATIONS):
        at = parameters[active]
        step = _step(family, counts, logs[active], shares[active], at, damping[active], box)
        tried = np.clip(at + step, *box)
        new = _losses(family, counts, logs[active], shares[active], tried)
        better = new < losses[active]
        gained = losses[active] - new
        parameters[active] = np.where(better[:, None], tried, at)
        losses[active] = np.where(better, new, losses[active])
        damping[active] = np.clip(damping[active] * np.where(better, 0.2, 6.0), 1e-9, 1e9)
        done = (better & (gained < TOLERANCE * (new + TOLERANCE))) | (damping[active] >= 1e8) | (losses[active] < 1e-22)
        active = active[~done]
        if len(active) == 0:
            break
    return parameters, losses


def _step(
    family: Family,
    counts: Floats,
    logs: Floats,
    shares: Floats,
    at: Floats,
    damping: Floats,
    box: tuple[Floats, Floats],
) -> Floats:
    """Solve the damped normal equations; a parameter on its bound that would leave the box is held there."""
    slopes = jacobian(family, counts, at)
    residuals = logs - _log_curve(family, counts, at)
    gradient = np.einsum("rcp,rc->rp", slopes, shares * residuals)
    held = ((at <= box[0]) & (gradient < 0)) | ((at >= box[1]) & (gradient > 0))
    slopes = np.where(held[:, None, :], 0.0, slopes)
    normal = np.einsum("rcp,rc,rcq->rpq", slopes, shares, slopes)
    diagonal = np.einsum("rpp->rp", normal)
    ridge = damping[:, None] * np.maximum(diagonal, 1e-12) + np.where(held, 1.0, 1e-12)
    normal = normal + ridge[:, :, None] * np.eye(family.num_parameters)
    return np.asarray(np.linalg.solve(normal, np.where(held, 0.0, gradient)[..., None])[..., 0])


def _losses(family: Family, counts: Floats, logs: Floats, shares: Floats, parameters: Floats) -> Floats:
    return np.asarray((shares * (logs - _log_curve(family, counts, parameters)) ** 2).sum(axis=1))

"""How many pretraining epochs are enough: the smallest number that is shown to be no worse than any other by a margin.

In: the log of one positive measure (error, or steps to the target) per seed, patient and number of epochs, and which
steps are cut since the run did not reach the target. Out: each number of epochs with a test of whether it is
enough, and its ratio to the lowest mean.
Method: a number e of K is enough if it is less than the margin worse than every other number, mu_e - mu_f < log(1 + m)
for all f. The hypothesis to be rejected is that some f is better by the margin or more. It is a union, so its p-value
is the largest of the one-sided paired t tests of e against each f (intersection-union test), and no number, the one
with the lowest mean included, is enough without a test. The answer, the smallest number that is enough, is right unless
some number that is not enough is called so; p-values are therefore adjusted over the numbers, step down. The truly best
number is never among the true hypotheses, so that K - 1 at most are true and the r-th smallest p-value (r from 0) is
multiplied by min(K - 1, K - r). That nothing differs significantly is no evidence that nothing differs.
A number of which a run is cut needs more steps than its mean says, by an unknown amount. Its p-value is 1 wherever it
would have to be the smaller one: it is never enough, and no number is "not enough" or a gain for lack of its steps.
Sources: Berger (1982) for the intersection-union test; Shaffer (1986) for Holm's procedure with logically restricted
hypotheses; Schuirmann (1987) for the margin; ``crossed_effects`` for the t tests.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.comparisons.comparison import holm, paired_difference
from analysis.intervals.crossed_effects import crossed_mean
from analysis.intervals.uncertainty import Estimate, Floats


@dataclass(frozen=True)
class Saturation:
    """Ratios to the number of epochs with the lowest mean (above 1 is worse), and the smallest number that is enough.

    Note: the lowest mean is picked from the same data, which favours it by chance: ratios look slightly too high, and
    no verdict rests on them. With few seeds or a small margin nothing may be enough, since even the best number has to
    be shown not to be worse than its neighbours.
    """

    epochs: tuple[int, ...]
    best_epochs: int  # with the lowest mean; where only some numbers have cut runs, of the others
    ratios: tuple[Estimate, ...]
    bounds: tuple[str, ...]  # what cut runs make of each ratio: exact | at least | unbounded
    rivals: tuple[int, ...]  # the number against which each is hardest to be shown enough
    p_values: tuple[float, ...]  # of "some number is better by the margin or more", adjusted; NaN with one seed
    gains: tuple[float, ...]  # p-values of "does not differ from the fewest", Holm-adjusted; NaN for the fewest
    sufficient_epochs: int | None  # None where none is shown to be enough
    verdicts: tuple[str, ...]  # enough | not enough | cannot tell


def saturation(
    epochs: list[int], logs: Floats, margin: float, confidence: float, is_cut: NDArray[np.bool_] | None = None
) -> Saturation | None:
    """Compare numbers of epochs on (seed, patient, epochs) logs; None with fewer than two that have values.

    ``is_cut``, (seed, epochs), marks values that are lower bounds: steps of runs that did not reach the target.
    """
    known = [index for index in range(len(epochs)) if not np.isnan(logs[:, 0, index]).all()]
    if len(known) < 2:
        return None
    epochs, logs = [epochs[index] for index in known], logs[:, :, known]
    complete = logs[~np.isnan(logs).any(axis=(1, 2))]
    if len(complete) == 0:
        return None
    cut = np.asarray(np.zeros(len(epochs)) if is_cut is None else is_cut[:, known].any(axis=0), dtype=np.bool_)
    parts = np.moveaxis(complete, -1, 0)  # (epochs, seed, patient)
    best = int(np.argmin(np.where(cut & ~cut.all(), np.inf, parts.mean(axis=(1, 2)))))
    below = crossed_mean(parts[:, None] - parts).p_below(float(np.log1p(margin)))  # (epochs, other epochs)
    pairs = _unless(cut[:, None], below)
    np.fill_diagonal(pairs, -1.0)
    p_values, is_worse = _step_down(np.asarray(pairs.max(axis=1))), _worse_than_some(_unless(cut, 1.0 - below))
    verdicts = tuple(
        "enough" if p_value < 1 - confidence else "not enough" if worse < 1 - confidence else "cannot tell"
        for p_value, worse in zip(p_values, is_worse, strict=True)
    )
    enough = [number for number, verdict in zip(epochs, verdicts, strict=True) if verdict == "enough"]
    return Saturation(
        tuple(epochs),
        epochs[best],
        tuple(crossed_mean(part - parts[best]).estimate(confidence).exponential() for part in parts),
        tuple(_bound(own, cut[best]) if index != best else "exact" for index, own in enumerate(cut)),
        tuple(epochs[index] for index in pairs.argmax(axis=1)),
        tuple(map(float, p_values)),
        _gains(parts, cut, confidence),
        min(enough, default=None),
        verdicts,
    )


def _unless(is_cut: NDArray[np.bool_], p_values: Floats) -> Floats:
    """Return p-values of "the first is smaller", 1 where the first is cut; NaN stays NaN."""
    return np.asarray(np.where(is_cut & ~np.isnan(p_values), 1.0, p_values))


def _bound(is_cut: bool, best_is_cut: bool) -> str:
    """Say what cut runs make of a ratio; where the best has any, so have all others."""
    return "unbounded" if best_is_cut else "at least" if is_cut else "exact"


def _gains(parts: Floats, cut: NDArray[np.bool_], confidence: float) -> tuple[float, ...]:
    """Return p-values of "does not differ from the fewest", (epochs, seed, patient); 1 where the lower is cut."""
    fewest, raw = parts[0], []
    for part, is_cut in zip(parts[1:], cut[1:], strict=True):
        smaller_is_cut = is_cut if part.mean() < fewest.mean() else cut[0]
        p_value = np.asarray(paired_difference(part, fewest, confidence).p_value)
        raw.append(float(_unless(np.asarray(smaller_is_cut), p_value)))
    return (float("nan"), *map(float, holm(raw)))


def _step_down(raw: Floats) -> Floats:
    """Adjust p-values of which one at least belongs to a false hypothesis, step down; NaN with one seed."""
    number, adjusted, running = len(raw), np.full_like(raw, np.nan), 0.0
    for rank, index in enumerate(np.argsort(raw, kind="stable")):
        if np.isnan(raw[index]):
            break
        running = max(running, min(1.0, min(number - 1, number - rank) * float(raw[index])))
        adjusted[index] = running
    return adjusted


def _worse_than_some(pairs: Floats) -> Floats:
    """Return for each number the p-value of "worse than no other by more than the margin", Holm over all pairs."""
    np.fill_diagonal(pairs, np.nan)
    adjusted = holm([float(p_value) for p_value in pairs.ravel()]).reshape(pairs.shape)
    return np.asarray(np.where(np.isnan(adjusted), np.inf, adjusted).min(axis=1))

"""Laws of test error against the number of labels: five families in one shape, fitted by the same solver.

In: parameters and label counts. Out: errors. ``floor`` is the error that no number of labels would pass.
Sources: power law with floor, Hestness et al. (2017); the four-parameter form, M4 of Alabdulmohsin, Neyshabur & Zhai
(2022, arXiv 2209.06640), here with the error of an untrained network fixed at 1 (Dice 0); MMF, Morgan, Mercer & Flodin
(1975); families compared in Viering & Loog (2022).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from analysis.intervals.uncertainty import Floats

LARGEST_EXPONENT = 6.0
NEWTON_STEPS = 14


@dataclass(frozen=True)
class Family:
    """A family of laws: ``curve(parameters, label_counts)`` maps (..., parameter) and (count,) to (..., count) errors.

    ``bounds(lowest, counts)`` gives the box of the parameters, for errors that go down to ``lowest``;
    ``starts(counts, errors)`` gives the places from which a fit begins, (start, parameter).
    """

    name: str
    formula: str
    parameters: tuple[str, ...]
    curve: Callable[[Floats, Floats], Floats]
    bounds: Callable[[float, Floats], tuple[Floats, Floats]]
    starts: Callable[[Floats, Floats], Floats]

    @property
    def num_parameters(self) -> int:
        """Return how many parameters are fitted."""
        return len(self.parameters)

    @property
    def has_floor(self) -> bool:
        """Return whether the family can level off above 0."""
        return "floor" in self.parameters


def _power(parameters: Floats, counts: Floats) -> Floats:
    scale, exponent = parameters[..., :1], parameters[..., 1:2]
    return np.asarray(np.exp(scale - exponent * np.log(counts)))


def _power_floor(parameters: Floats, counts: Floats) -> Floats:
    return _power(parameters, counts) + parameters[..., 2:3]


def _m4(parameters: Floats, counts: Floats) -> Floats:
    """Solve (e - floor) / (1 - e)^bend = scale n^-exponent for e, by Newton's method.

    With y = log((e - floor) / (1 - e)) it reads y - (1 - bend) log(1 + exp(y)) = right side: rising, and convex or
    concave, so Newton's method cannot run away.
    """
    floor, bend = parameters[..., 2:3], parameters[..., 3:4]
    rest = 1.0 - bend
    right = parameters[..., :1] - parameters[..., 1:2] * np.log(counts) - rest * np.log1p(-floor)
    place = np.where(right < 0, right, right / bend)
    for _ in range(NEWTON_STEPS):
        slope = 1.0 - rest / (1.0 + np.exp(-place))
        place = np.clip(place - (place - rest * np.logaddexp(0.0, place) - right) / slope, -60.0, 60.0)
    share = 1.0 / (1.0 + np.exp(-place))
    return np.asarray(floor + (1.0 - floor) * share)


def _mmf(parameters: Floats, counts: Floats) -> Floats:
    middle, slope, floor, top = (parameters[..., i : i + 1] for i in range(4))
    return np.asarray(floor + (top - floor) / (1.0 + np.exp(slope * (np.log(counts) - middle))))


def _exponential(parameters: Floats, counts: Floats) -> Floats:
    scale, decay, floor = (parameters[..., i : i + 1] for i in range(3))
    return np.asarray(floor + np.exp(scale - counts * np.exp(-decay)))


def _power_starts(counts: Floats, errors: Floats, floors: tuple[float, ...] = (0.0,)) -> list[list[float]]:
    """Start from straight lines through log(error - floor), for floors that are shares of the lowest error."""
    found = []
    for share in floors:
        floor = share * float(errors.min())
        slope, scale = np.polyfit(np.log(counts), np.log(errors - floor), 1)
        found.append([float(scale), float(np.clip(-slope, 0.02, 3.0)), floor])
    return found


def _box(lower: list[float], upper: list[float]) -> tuple[Floats, Floats]:
    return np.array(lower), np.array(upper)


FLOOR_SHARES = (0.0, 0.5, 0.85, 0.97)

FAMILIES: Mapping[str, Family] = {
    family.name: family
    for family in (
        Family(
            "power",
            "e = b n^-a",
            ("log_scale", "exponent"),
            _power,
            lambda lowest, counts: _box([-30.0, 1e-3], [30.0, LARGEST_EXPONENT]),
            lambda counts, errors: np.array(_power_starts(counts, errors))[:, :2],
        ),
        Family(
            "power with floor",
            "e = f + b n^-a",
            ("log_scale", "exponent", "floor"),
            _power_floor,
            lambda lowest, counts: _box([-30.0, 1e-3, 0.0], [30.0, LARGEST_EXPONENT, lowest]),
            lambda counts, errors: np.array(_power_starts(counts, errors, FLOOR_SHARES)),
        ),
        Family(
            "exponential",
            "e = f + b exp(-n/k)",
            ("log_scale", "log_decay", "floor"),
            _exponential,
            lambda lowest, counts: _box([-30.0, np.log(counts[0]) - 2, 0.0], [30.0, np.log(counts[-1]) + 4, lowest]),
            lambda counts, errors: np.array(
                [[np.log(np.ptp(errors) + 1e-3), np.log(k), 0.9 * errors.min()] for k in (counts[0], *counts[1:-1])]
            ),
        ),
        Family(
            "M4",
            "(e - f) / (1 - e)^c = b n^-a",
            ("log_scale", "exponent", "floor", "bend"),
            _m4,
            lambda lowest, counts: _box([-30.0, 1e-3, 0.0, 0.02], [30.0, LARGEST_EXPONENT, min(lowest, 0.98), 8.0]),
            lambda counts, errors: np.array(
                [
                    [*start, bend]
                    for bend in (0.1, 1.0, 3.0)
                    for start in _power_starts(counts, errors, FLOOR_SHARES[:3])
                ]
            ),
        ),
        Family(
            "MMF",
            "e = f + (t - f) / (1 + (n/k)^a)",
            ("log_middle", "exponent", "floor", "top"),
            _mmf,
            lambda lowest, counts: _box(
                [np.log(counts[0]) - 4, 1e-2, 0.0, lowest], [np.log(counts[-1]) + 4, LARGEST_EXPONENT, lowest, 1.0]
            ),
            lambda counts, errors: np.array(
                [
                    [middle, slope, share * errors.min(), min(1.0, top * errors.max())]
                    for middle in np.log(counts[[0, len(counts) // 2]])
                    for slope in (0.5, 1.5)
                    for share in (0.1, 0.8)
                    for top in (1.05, 2.0)
                ]
            ),
        ),
    )
}

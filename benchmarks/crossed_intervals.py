"""Aims: a t interval over crossed seeds and test patients misses a true mean in at most 6% of sweeps, whichever of the
two varies, and is no wider than that needs.

    python -m benchmarks.crossed_intervals

Normal values are drawn by their mean squares, which is all that the intervals see: with seeds, patients and their
interaction having each share of the mean's variance from none to all of it. For every number of seeds and patients it
prints the highest and the lowest rate of misses of an interval of 95% over these shares, and its mean width in standard
errors; of the report's interval and of those that were left. 40,000 draws a rate: known to a fifth of a point.
"""

import argparse
import itertools
from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy import stats

from analysis.intervals.crossed_effects import CrossedMean, from_squares
from analysis.intervals.uncertainty import Floats

CONFIDENCE = 0.95
SHARES = (0.0, 0.05, 0.2, 0.5, 0.8, 1.0)  # of the seeds, in what is not interaction
RESTS = (0.0, 0.1, 0.4, 1.0)  # of the interaction


def main() -> None:
    """Draw, count and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[2, 3, 5, 10])
    parser.add_argument("--patients", type=int, nargs="+", default=[2, 3, 5, 10, 20, 50, 150])
    parser.add_argument("--draws", type=int, default=40_000, help="per rate (default 40,000)")
    options = parser.parse_args()
    rows = [
        row
        for num_seeds, num_patients in itertools.product(options.seeds, options.patients)
        for row in rates(num_seeds, num_patients, options.draws)
    ]
    table = pd.DataFrame(rows, columns=["seeds", "patients", "method", "miss", "width"])
    found = table.groupby(["method", "seeds", "patients"], sort=False).agg(
        most=("miss", "max"), least=("miss", "min"), width=("width", "mean")
    )
    print(found.unstack("method").swaplevel(axis=1).sort_index(axis=1).round(2).to_string())


def rates(num_seeds: int, num_patients: int, num_draws: int) -> list[tuple[int, int, str, float, float]]:
    """Return misses in percent and median widths in standard errors of every method at every share."""
    generator, found = np.random.default_rng(0), []
    degrees = np.array([num_seeds - 1, num_patients - 1, (num_seeds - 1) * (num_patients - 1)])
    for share, rest in itertools.product(SHARES, RESTS):
        if rest == 1 and share:
            continue
        seeds, patients = (1 - rest) * share, (1 - rest) * (1 - share)  # of the mean's variance, which is 1
        expected = num_seeds * num_patients * np.array([rest + seeds, rest + patients, rest])
        squares = expected * generator.chisquare(degrees, size=(num_draws, 3)) / degrees
        mean = generator.normal(size=num_draws)
        crossed = from_squares(mean, *squares.T, num_seeds, num_patients)
        for method, half_width in METHODS.items():
            half = half_width(crossed, squares.T)
            found.append((num_seeds, num_patients, method, 100 * (np.abs(mean) > half).mean(), 2 * np.median(half)))
    return found


def reported(crossed: CrossedMean, _: Floats) -> Floats:
    """Return half the report's interval."""
    return crossed.interval(CONFIDENCE)[1] - crossed.mean


def rest_with_seeds(crossed: CrossedMean, squares: Floats) -> Floats:
    """Return the same where the interaction always stands with the seeds, however few the patients."""
    parts, degrees = _parts(crossed, squares)
    return np.asarray((stats.t.ppf(0.5 + CONFIDENCE / 2, degrees) * parts).sum(axis=-1) / np.sqrt(parts.sum(axis=-1)))


def squares_added(crossed: CrossedMean, squares: Floats) -> Floats:
    """Return the root of the sum of both parts' squared half-widths (Howe 1974)."""
    parts, degrees = _parts(crossed, squares)
    return np.asarray(np.sqrt((stats.t.ppf(0.5 + CONFIDENCE / 2, degrees) ** 2 * parts).sum(axis=-1)))


def satterthwaite(crossed: CrossedMean, squares: Floats) -> Floats:
    """Return the half-width with one number of degrees of freedom, of one factor's at least (Hillis 2007)."""
    parts, (of_seeds, of_patients) = _parts(crossed, squares)
    size = crossed.num_seeds * crossed.num_patients
    _, patient, rest = squares / size
    spread = np.where(parts[:, 1] > 0, patient**2 / of_patients + rest**2 / (of_seeds * of_patients), 0.0)
    total = parts.sum(axis=-1)
    degrees = np.maximum(total**2 / (parts[:, 0] ** 2 / of_seeds + spread), min(of_seeds, of_patients))
    grid = np.geomspace(1, 1e6, 4000)  # quantiles of as many degrees as draws would take minutes
    return np.interp(np.log(degrees), np.log(grid), stats.t.ppf(0.5 + CONFIDENCE / 2, grid)) * np.sqrt(total)


def _parts(crossed: CrossedMean, squares: Floats) -> tuple[Floats, Floats]:
    """Return the mean's variance by seeds, with the interaction, and patients, and both factors' degrees of freedom."""
    seed, patient, rest = squares / (crossed.num_seeds * crossed.num_patients)
    degrees = np.array([crossed.num_seeds - 1.0, crossed.num_patients - 1.0])
    return np.stack([seed, np.maximum(patient - rest, 0.0)], axis=-1), degrees


METHODS: dict[str, Callable[[CrossedMean, Floats], Floats]] = {
    "report": reported,
    "interaction with seeds": rest_with_seeds,
    "squares added": squares_added,
    "Satterthwaite": satterthwaite,
}


if __name__ == "__main__":
    main()

"""What ``benchmarks/coverage.py`` counts of laws: curves, parameters and transitions held, and refusals.

In: simulated curves and their truth. Out: Checks, one interval of one experiment each.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from analysis.labels.law_fit import LawFit, Refusal, fit_family, fit_law
from analysis.scores.error_curve import ErrorCurve
from benchmarks.simulated_sweep import Setting, simulate_curves

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Check:
    """One interval of one experiment, and the truth it should hold."""

    quantity: str
    method: str
    truth: float
    low: float
    high: float


def law_checks(setting: Setting, curve: ErrorCurve) -> Iterator[Check]:
    """Yield the intervals of the chosen law, of its rivals' span and of the true family."""
    places = np.sqrt(curve.label_counts[1:2] * curve.label_counts[2:3]), 4 * curve.label_counts[-1:]
    fit, own = fit_law(curve.logs), fit_family(setting.family, curve.logs)
    for name, place in zip(("within", "four times beyond"), places, strict=True):
        quantity, truth = f"law's error, {name} the label counts", setting.error(place[0])
        if isinstance(fit, LawFit):
            bands = (("report: with rivals", fit.band), ("left: chosen family alone", fit.own_band))
            for method, band in bands:
                low, high = band(place, CONFIDENCE)
                yield Check(quantity, method, truth, low[0], high[0])
        if isinstance(own, LawFit):
            low, high = own.own_band(place, CONFIDENCE)
            yield Check(quantity, "if the true family were known", truth, low[0], high[0])
    if isinstance(own, LawFit) and setting.family.name == "power with floor":
        for index, name in enumerate(setting.family.parameters[1:], start=1):
            found = own.parameter(name, CONFIDENCE)
            yield Check(f"law's {name}", "report: linearised t", setting.parameters[index], found.low, found.high)
        place = own.transition(CONFIDENCE)
        assert place is not None
        yield Check("law's transition", "report: linearised t", setting.transition, place.low, place.high)


def refusal_checks(setting: Setting, num_seeds: int, generator: np.random.Generator) -> Iterator[Check]:
    """Yield whether a law is refused where there is none: 1 for a refusal, no interval for a law."""
    curve = simulate_curves(setting, num_seeds, (1.0,), generator)[0]
    held = 1.0 if isinstance(fit_law(curve.logs), Refusal) else np.nan
    yield Check("a law is refused", "report", 1.0, held, held)

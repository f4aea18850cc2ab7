"""Sweeps with known truth for ``benchmarks/coverage.py``: errors by seed and patient, and races to a target.

In: a setting, a number of seeds, a generator. Out: ErrorCurves of paired arms; times to the target of two arms.
Model of an error: law(labels) x seed x patient, log-normal or with the heavier tails of Student's t. The subset of
labels is shared by all arms of a seed, training is not; a patient is hard for all arms, and more so for some.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.optimize import brentq

from analysis.convergence.survival import TimeToTarget
from analysis.intervals.uncertainty import Floats
from analysis.labels.laws import FAMILIES, Family
from analysis.scores.error_curve import ErrorCurve

NUM_PATIENTS = 20
TRAINING, PATIENT_BY_ARM, REST = 0.06, 0.10, 0.15  # standard deviations of log error


@dataclass(frozen=True)
class Setting:
    """What varies in a simulated sweep, as standard deviations of log error."""

    name: str
    family: Family
    parameters: tuple[float, ...]
    label_counts: tuple[float, ...]
    seed: float  # shared by all label counts of a seed
    subset: float  # of one subset, at one label; falls with the fourth root of labels
    patient: float
    tails: float = np.inf  # degrees of freedom of the subsets' Student t
    missing: float = 0.05  # share of cells
    has_law: bool = False

    def errors(self, labels: Floats) -> Floats:
        """Return the true errors."""
        return self.family.curve(np.array(self.parameters), labels)

    def error(self, labels: float) -> float:
        """Return the true error."""
        return float(self.errors(np.array([labels]))[0])

    def labels_for(self, error: float) -> float:
        """Return the labels at which the true error is ``error``."""
        root = brentq(lambda place: self.error(float(np.exp(place))) - error, 0.0, 20.0)
        return float(np.exp(root))

    @property
    def transition(self) -> float:
        """Return the labels at which the true error is twice the floor."""
        return self.labels_for(2 * self.parameters[self.family.parameters.index("floor")])


FLOORED, FOUR = FAMILIES["power with floor"], FAMILIES["M4"]
LAW = (float(np.log(0.8)), 0.6, 0.08)
SEVEN = (4, 8, 16, 32, 64, 128, 256)
SETTINGS = (
    Setting("seeds and patients, 4 counts", FLOORED, LAW, (4, 16, 64, 256), 0.12, 0.15, 0.3, has_law=True),
    Setting("seeds and patients, 7 counts", FLOORED, LAW, SEVEN, 0.12, 0.15, 0.3, has_law=True),
    Setting(
        "plateau at few labels", FOUR, (1.2, 0.8, 0.06, 0.8), (1, 3, 7, 15, 30, 75, 150), 0.1, 0.1, 0.3, has_law=True
    ),
    Setting("patients differ most", FLOORED, LAW, (4, 16, 64, 256), 0.03, 0.05, 0.45),
    Setting("heavy tails at few labels", FLOORED, LAW, (4, 16, 64, 256), 0.05, 0.5, 0.2, tails=3.0),
)

NO_LAWS = (
    Setting("the error is flat", FLOORED, (-20.0, 0.6, 0.3), (4, 16, 64, 256), 0.12, 0.15, 0.3),
    Setting("the error is flat, 7 counts", FLOORED, (-20.0, 0.6, 0.3), SEVEN, 0.12, 0.15, 0.3),
    Setting("the error rises", FAMILIES["power"], (-1.6, -0.1), (4, 16, 64, 256), 0.12, 0.15, 0.3),
    Setting("two label counts", FLOORED, LAW, (4, 256), 0.12, 0.15, 0.3),
)


def simulate_curves(
    setting: Setting,
    num_seeds: int,
    factors: Sequence[float | Floats],
    generator: np.random.Generator,
    num_patients: int = NUM_PATIENTS,
) -> list[ErrorCurve]:
    """Draw arms whose labels are worth ``factors`` times those of the law, paired by seed and patient.

    A factor is one number, or one for each label count.
    """
    counts = np.asarray(setting.label_counts, dtype=np.float64)
    shape = (num_seeds, num_patients, len(counts))
    draw = generator.normal if np.isinf(setting.tails) else lambda size: generator.standard_t(setting.tails, size)
    shared = setting.seed * generator.normal(size=(num_seeds, 1, 1))
    shared = shared + setting.subset * counts**-0.25 * draw(size=(num_seeds, 1, len(counts)))
    hardness = setting.patient * generator.normal(size=(1, num_patients, 1))
    curves = []
    for factor in factors:
        logs = shared + hardness + TRAINING * generator.normal(size=(num_seeds, 1, len(counts)))
        logs = logs + PATIENT_BY_ARM * generator.normal(size=(1, num_patients, 1)) + REST * generator.normal(size=shape)
        level = (setting.patient**2 + PATIENT_BY_ARM**2 + REST**2) / 2  # patients average to 1
        errors = setting.errors(factor * counts) * np.exp(logs - level)
        absent = generator.random((num_seeds, 1, len(counts))) < setting.missing
        curves.append(ErrorCurve(counts, np.where(absent, np.nan, errors)))
    return curves


@dataclass(frozen=True)
class Race:
    """Two arms that run to a target: log-normal steps, evaluated at intervals and observed up to a horizon."""

    name: str
    ratio: float  # true speed-up
    reference_steps: float  # median
    horizon: float
    every: float = 4.0
    subset: float = 0.25  # shared by both arms of a seed
    training: float = 0.2

    @cached_property
    def cut_ratio(self) -> float:
        """Return the speed-up of steps cut at the horizon, by simulation of many seeds."""
        reference, arm = self._steps(400_000, np.random.default_rng(0))
        logs = [np.log(np.minimum(self._seen(steps), self.horizon)).mean() for steps in (reference, arm)]
        return float(np.exp(logs[0] - logs[1]))

    def _steps(self, num_seeds: int, generator: np.random.Generator) -> tuple[Floats, Floats]:
        shared = self.subset * generator.normal(size=num_seeds)
        reference, arm = (np.exp(shared + self.training * generator.normal(size=num_seeds)) for _ in range(2))
        return self.reference_steps * reference, self.reference_steps / self.ratio * arm

    def _seen(self, steps: Floats) -> Floats:
        return np.asarray(np.ceil(steps / self.every) * self.every)


RACES = (
    Race("no run is censored", 3.0, 150.0, 1000.0),
    Race("a tenth of the reference's runs are censored", 3.0, 150.0, 225.0),
    Race("half of the reference's runs are censored", 3.0, 150.0, 150.0),
)


def simulate_race(
    race: Race, num_seeds: int, generator: np.random.Generator
) -> tuple[list[TimeToTarget | None], list[TimeToTarget | None]]:
    """Draw one time per seed for the reference and the arm."""
    both = []
    for steps in race._steps(num_seeds, generator):
        seen = race._seen(steps)
        both.append([TimeToTarget(float(min(each, race.horizon)), bool(each <= race.horizon)) for each in seen])
    return both[0], both[1]

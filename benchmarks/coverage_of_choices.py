"""What ``benchmarks/coverage.py`` counts of choices: enough pretraining epochs, changes of the best arm, test sets of
other sizes.

In: a part and a number of seeds. Out: Checks; of a yes-or-no question the truth is 1 and the interval 1 to 1 or none.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from analysis.comparisons.comparison import compare_at, hochberg, holm
from analysis.comparisons.ranking import rank_arms
from analysis.intervals.bootstrap import two_level_draws
from analysis.intervals.crossed_effects import crossed_mean
from analysis.intervals.uncertainty import Floats
from analysis.labels.best_change import best_arms, best_changes
from analysis.labels.labels_needed import crossings, equivalence_curve
from analysis.pretraining.saturation import saturation
from analysis.scores.error_curve import LogCurve
from benchmarks.coverage_of_laws import CONFIDENCE, Check
from benchmarks.intervals_left import satterthwaite_interval, shaffer
from benchmarks.simulated_sweep import NUM_PATIENTS, PATIENT_BY_ARM, REST, SETTINGS, TRAINING, Setting, simulate_curves

EPOCH_MARGIN = 0.10
EDGE = float(np.log1p(EPOCH_MARGIN))
RESAMPLES = 100
SATTERTHWAITE = "left: crossed t after Satterthwaite"
FACTOR = 2.0
PLACE = 1


@dataclass(frozen=True)
class Ladder:
    """Numbers of pretraining epochs with their true log errors against the best."""

    name: str
    epochs: tuple[int, ...]
    log_ratios: tuple[float, ...]
    training: float = TRAINING  # standard deviation of log error between runs

    @property
    def enough(self) -> set[int]:
        """Return the numbers that are within the margin."""
        return {epochs for epochs, log in zip(self.epochs, self.log_ratios, strict=True) if log < EDGE - 1e-9}


@dataclass(frozen=True)
class TestSet:
    """A setting with another number of test patients."""

    setting: Setting
    num_patients: int

    @property
    def name(self) -> str:
        """Name both."""
        return f"{self.setting.name}, {self.num_patients} test patients"


@dataclass(frozen=True)
class Rivals:
    """Three arms whose labels are worth ``(n / meeting)^power`` times the law's; a power of 0 is an arm that stays."""

    name: str
    powers: tuple[float, float, float]
    factors: tuple[float, float, float] = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Field:
    """Arms whose labels are worth ``worths`` times the law's at every count: those with most are equally good."""

    name: str
    worths: tuple[float, ...]


LADDERS = (
    Ladder("3 epochs worse by the margin", (3, 12), (EDGE, 0.0)),
    Ladder("3 epochs 15% worse", (3, 12), (float(np.log(1.15)), 0.0)),
    Ladder("3 epochs 15% worse, runs differ more", (3, 12), (float(np.log(1.15)), 0.0), training=0.2),
    Ladder("0 and 3 epochs worse by the margin", (0, 3, 12), (EDGE, EDGE, 0.0)),
    Ladder("12 epochs worse by the margin", (0, 3, 12), (0.5, 0.0, EDGE)),
    Ladder("3 epochs as good as 12", (0, 3, 12), (0.5, 0.0, 0.0)),
    Ladder("3 epochs as good as 12, runs differ less", (0, 3, 12), (0.5, 0.0, 0.0), training=0.02),
)
TEST_SETS = tuple(TestSet(SETTINGS[index], number) for index in (0, 3) for number in (2, 3, 5, 10, 50, 100))
RIVALS = (
    Rivals("three arms that do not differ", (0.0, 0.0, 0.0)),
    Rivals("one of three arms stays the best", (0.0, 0.0, 0.0), (1.5, 1.0, 0.5)),
    Rivals("the best of three arms changes", (0.0, -0.7, 0.0), (1.0, 1.0, 0.5)),
)
FIELDS = (
    Field("three arms, all as good", (1.0,) * 3),
    Field("six arms, all as good", (1.0,) * 6),
    Field("six arms, three of them better", (2.5,) * 3 + (1.0,) * 3),
    Field("three arms, one of them better", (1.5, 1.0, 0.5)),
    Field("six arms, one of them better", (2.5,) + (1.0,) * 5),
)
MEETING = float(np.sqrt(16 * 64))
Choice = Ladder | TestSet | Rivals | Field
CHOICES: tuple[Choice, ...] = (*LADDERS, *TEST_SETS, *RIVALS, *FIELDS)


def choice_checks(choice: Choice, num_seeds: int, generator: np.random.Generator) -> Iterator[Check]:
    """Yield the checks of one simulated sweep."""
    match choice:
        case Ladder():
            yield from _ladder_checks(choice, num_seeds, generator)
        case TestSet():
            yield from _test_set_checks(choice, num_seeds, generator)
        case Rivals():
            yield from _rival_checks(choice, num_seeds, generator)
        case Field():
            yield from _field_checks(choice, num_seeds, generator)


def _ladder_checks(ladder: Ladder, num_seeds: int, generator: np.random.Generator) -> Iterator[Check]:
    shape = num_seeds, NUM_PATIENTS, len(ladder.epochs)
    logs = np.array(ladder.log_ratios) + ladder.training * generator.normal(size=(num_seeds, 1, shape[2]))
    logs = logs + PATIENT_BY_ARM * generator.normal(size=(1, *shape[1:])) + REST * generator.normal(size=shape)
    result = saturation(list(ladder.epochs), logs, EPOCH_MARGIN, CONFIDENCE)
    assert result is not None
    found = {e for e, verdict in zip(ladder.epochs, result.verdicts, strict=True) if verdict == "enough"}
    quantity = "no number beyond the margin is called enough"
    if len(ladder.enough) < len(ladder.epochs):
        yield _is(quantity, "report: all pairs tested", found <= ladder.enough)
        yield _is(quantity, "left: the lowest mean is enough", _old_rule(ladder, logs) <= ladder.enough)
    fewest = result.sufficient_epochs == min(ladder.enough)
    yield _is("the fewest enough epochs are named", "report: all pairs tested", fewest)


def _old_rule(ladder: Ladder, logs: Floats) -> set[int]:
    """Return what is enough where the lowest mean counts without a test, and others are tested against it alone."""
    best = int(logs.mean(axis=(0, 1)).argmin())
    others = [index for index in range(logs.shape[2]) if index != best]
    raw = [float(crossed_mean(logs[:, :, index] - logs[:, :, best]).p_below(EDGE)) for index in others]
    told = [index for index, p_value in zip(others, holm(raw), strict=True) if p_value < 1 - CONFIDENCE]
    return {ladder.epochs[index] for index in (best, *told)}


def _test_set_checks(test: TestSet, num_seeds: int, generator: np.random.Generator) -> Iterator[Check]:
    setting = test.setting
    one, twin = simulate_curves(setting, num_seeds, (1.0, 1.0), generator, test.num_patients)
    logs = one.logs.values[:, :, PLACE]
    logs = logs[~np.isnan(logs[:, 0])]
    if len(logs) > 1:
        low, high = crossed_mean(logs).interval(CONFIDENCE)
        truth = setting.error(one.label_counts[PLACE])
        yield Check("error at a label count", "report: crossed t", truth, float(np.exp(low)), float(np.exp(high)))
    found = compare_at(PLACE, twin, one, CONFIDENCE).ratio
    if found.is_known:
        yield Check("ratio of equal arms", "report: crossed t", 1.0, found.low, found.high)
        low, high = satterthwaite_interval(twin.logs.values[:, :, PLACE] - one.logs.values[:, :, PLACE], CONFIDENCE)
        yield Check("ratio of equal arms", SATTERTHWAITE, 1.0, float(np.exp(low)), float(np.exp(high)))


def _rival_checks(rivals: Rivals, num_seeds: int, generator: np.random.Generator) -> Iterator[Check]:
    setting, names = SETTINGS[0], ("stays", "other", "third")
    counts = np.asarray(setting.label_counts, dtype=np.float64)
    pairs = zip(rivals.powers, rivals.factors, strict=True)
    worths = [factor * (counts / MEETING) ** power for power, factor in pairs]
    curves = dict(zip(names, simulate_curves(setting, num_seeds, worths, generator), strict=True))
    best = best_arms(curves, two_level_draws(num_seeds, NUM_PATIENTS, RESAMPLES, generator))
    decided = [change for change in best_changes(curves, best, CONFIDENCE) if change.is_decided]
    if not any(rivals.powers):
        yield _is("no change of the best arm is claimed", "report", not decided)
    else:
        is_right = [(change.before, change.after) for change in decided] == [("other", "stays")]
        yield _is("the change of the best arm is claimed", "report", is_right)
        pair = crossings(curves["other"].logs, curves["stays"].logs, CONFIDENCE)
        if pair:
            found = min(pair, key=lambda each: abs(np.log(each.labels / MEETING)))
            yield Check("labels at which two arms cross", "report: inverted t", MEETING, found.low, found.high)
    if rivals.factors[2] != rivals.factors[0]:
        place = float(np.sqrt(counts[1] * counts[2]))
        third = LogCurve(counts[1:3], curves["third"].logs.values[:, :, 1:3])
        for item in equivalence_curve(third, curves["stays"].logs, CONFIDENCE):
            if np.isclose(item.label_count, place):
                truth, ends = place * rivals.factors[2] / rivals.factors[0], (item.worth.low, item.worth.high)
                yield Check("label equivalence between the counts", "report: inverted t", truth, *ends)


def _field_checks(field: Field, num_seeds: int, generator: np.random.Generator) -> Iterator[Check]:
    """Judge what is said of the arm with the lowest mean at the fewest labels."""
    names = [f"arm {number}" for number in range(len(field.worths))]
    curves = dict(zip(names, simulate_curves(SETTINGS[0], num_seeds, field.worths, generator), strict=True))
    ranking = rank_arms(curves, 0, CONFIDENCE)
    if ranking is None or np.isnan(ranking.p_value):
        return
    own, rest = list(ranking.p_values.values()), itertools.combinations(ranking.pairs, 2)
    every = own + [compare_at(0, curves[one], curves[other], CONFIDENCE).p_value for one, other in rest]
    over_pairs = np.fmin(shaffer(every, len(names))[: len(own)], ranking.p_value)
    adjusted = {"report: Hochberg": hochberg(own), "left: Holm": holm(own), "left: Shaffer, all pairs": over_pairs}
    good = {name for name, worth in zip(names, field.worths, strict=True) if worth == max(field.worths)}
    for method, p_values in adjusted.items():
        told = {name for name, value in zip(ranking.pairs, p_values, strict=True) if value < 1 - CONFIDENCE}
        if len(good) > 1:
            yield _is("no equally good arm is told from the best", method, ranking.best in good and not told & good)
        else:
            yield _is("the best arm is told from all others", method, ranking.best in good and len(told) == len(own))
        for name in set(names) - good:
            yield _is("a worse arm is told from the best", method, ranking.best in good and name in told)


def _is(quantity: str, method: str, is_right: bool) -> Check:
    held = 1.0 if is_right else np.nan
    return Check(quantity, method, 1.0, held, held)

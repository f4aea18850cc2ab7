"""Aim: on real learning curves the chosen law foretells larger label counts no worse than any single family of laws or
the last measured value, and its 95% interval holds them.

    pip install '.[benchmarks]'
    python -m benchmarks.learning_curves --output docs/learning_curves.csv

Estimators of scikit-learn learn from growing, class-balanced orders of labels of its bundled data sets, and of one made
by make_classification. Laws see the smaller two thirds of the label counts, ``FIT_ORDERS`` orders as seeds, and half of
the test samples, dealt to ten groups that stand for test patients: samples of one group are exchangeable with those of
another, as patients are. The truth is the mean of other orders on the other half, which is itself measured, not known.
Error is 1 - mean predicted probability of the true class; for numbers, squared error over variance.
"""

import argparse
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.base import clone, is_classifier
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_iris,
    load_wine,
    make_classification,
)
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from analysis.intervals.uncertainty import Floats, t_interval
from analysis.labels.law_fit import LawFit, fit_family, fit_law
from analysis.labels.laws import FAMILIES
from analysis.scores.error_curve import ErrorCurve

FIT_ORDERS, TRUTH_ORDERS, NUM_GROUPS = 5, 15, 10
NUM_COUNTS, NUM_HELD_OUT, LARGEST = 9, 3, 1000
CONFIDENCE = 0.95
CHOSEN, ALONE, LAST = "chosen law, with rivals", "chosen law alone", "last value"
CLASSIFIERS = {
    "logistic regression": LogisticRegression(max_iter=300),
    "5 neighbours": KNeighborsClassifier(5),
    "naive Bayes": GaussianNB(),
    "tree": DecisionTreeClassifier(min_samples_leaf=3, random_state=0),
    "forest": RandomForestClassifier(30, random_state=0),
}
REGRESSORS = {
    "ridge": Ridge(10.0),
    "5 neighbours": KNeighborsRegressor(5),
    "forest": RandomForestRegressor(30, random_state=0),
}


@dataclass(frozen=True)
class Curve:
    """Errors of one estimator on one data set: measured for the fit, and the truth at every count."""

    name: str
    counts: Floats
    errors: Floats  # (order, group, count)
    truth: Floats  # (count,)


def main() -> None:
    """Measure every curve, foretell its largest counts, write all rows and print a summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="where the CSV file goes")
    options = parser.parse_args()
    rows: list[dict[str, object]] = []
    for curve in curves():
        rows += foretell(curve)
        pd.DataFrame(rows).round(4).to_csv(options.output, index=False)
        print(f"{curve.name}: {curve.errors.mean(axis=(0, 1))[0]:.3f} to {curve.truth[-1]:.3f}", flush=True)
    print(summarise(pd.DataFrame(rows)).round(3).to_string())
    print(pd.DataFrame(rows).groupby("chosen")["curve"].nunique().to_string())


def curves() -> Iterator[Curve]:
    """Yield every estimator on every data set."""
    sets = {
        load.__name__[5:]: load(return_X_y=True) for load in (load_digits, load_breast_cancer, load_wine, load_iris)
    }
    sets["made"] = make_classification(6000, 20, n_informative=8, n_classes=4, flip_y=0.05, random_state=0)
    for name, (features, labels) in sets.items():
        yield from (measure(f"{name}, {kind}", model, features, labels) for kind, model in CLASSIFIERS.items())
    features, labels = load_diabetes(return_X_y=True)
    labels = (labels - labels.mean()) / labels.std()
    yield from (measure(f"diabetes, {kind}", model, features, labels) for kind, model in REGRESSORS.items())


def measure(name: str, model: object, features: Floats, labels: Floats) -> Curve:
    """Train on growing parts of every order and test on both halves."""
    generator = np.random.default_rng(0)
    place = generator.permutation(len(labels))
    pool, test = np.split(place, [min(6 * len(labels) // 10, LARGEST)])
    fewest = 3 * len(np.unique(labels)) if is_classifier(model) else 10
    counts = np.unique(np.geomspace(fewest, len(pool), NUM_COUNTS).round())
    errors = np.empty((FIT_ORDERS + TRUTH_ORDERS, len(counts), len(test)))
    for row in errors:
        order = pool[
            balanced_order(labels[pool], generator) if is_classifier(model) else generator.permutation(len(pool))
        ]
        for index, count in enumerate(counts):
            chosen = order[: int(count)]
            row[index] = sample_errors(model, features[chosen], labels[chosen], features[test], labels[test])
    seen, unseen = np.array_split(errors, 2, axis=2)
    groups = [part.mean(axis=2) for part in np.array_split(seen[:FIT_ORDERS], NUM_GROUPS, axis=2)]
    return Curve(name, counts, np.stack(groups, axis=1), unseen[FIT_ORDERS:].mean(axis=(0, 2)))


def balanced_order(labels: Floats, generator: np.random.Generator) -> Floats:
    """Return a random order in which the classes take turns until one runs out."""
    order = generator.permutation(len(labels))
    turn = np.empty(len(labels))
    for label in np.unique(labels):
        own = order[labels[order] == label]
        turn[own] = np.arange(len(own)) + generator.random()
    return np.argsort(turn)


def sample_errors(model: object, features: Floats, labels: Floats, tests: Floats, truths: Floats) -> Floats:
    """Return the error of every test sample."""
    fitted = make_pipeline(StandardScaler(), clone(model))
    if not is_classifier(model):
        return np.asarray((fitted.fit(features, labels).predict(tests) - truths) ** 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted.fit(features, labels)
    column = np.searchsorted(fitted.classes_, truths)
    return 1.0 - fitted.predict_proba(tests)[np.arange(len(truths)), column]


def foretell(curve: Curve) -> list[dict[str, object]]:
    """Return a row for every held-out count and method: what was foretold, its interval, the truth."""
    known = len(curve.counts) - NUM_HELD_OUT
    measured = ErrorCurve(curve.counts[:known], np.moveaxis(curve.errors, 2, -1)[:, :, :known])
    places, found = curve.counts[known:], {}
    fit = fit_law(measured.logs)
    if isinstance(fit, LawFit):
        found[CHOSEN] = fit.law.error(places), *fit.band(places, CONFIDENCE)
        found[ALONE] = fit.law.error(places), *fit.own_band(places, CONFIDENCE)
    for name, family in FAMILIES.items():
        alone = fit_family(family, measured.logs)
        if isinstance(alone, LawFit):
            found[name] = alone.law.error(places), *alone.own_band(places, CONFIDENCE)
    last = t_interval(measured.logs.by_seed[:, -1], CONFIDENCE).exponential()
    found[LAST] = tuple(np.full(len(places), end) for end in (last.value, last.low, last.high))
    family_name = fit.law.family.name if isinstance(fit, LawFit) else f"none: {fit.reason}"
    rows = []
    for method, ends in found.items():
        for count, truth, value, low, high in zip(places, curve.truth[known:], *ends, strict=True):
            head = {
                "curve": curve.name,
                "chosen": family_name,
                "method": method,
                "most_fitted": curve.counts[known - 1],
            }
            rows.append(head | {"label_count": count, "truth": truth, "foretold": value, "low": low, "high": high})
    return rows


def summarise(rows: pd.DataFrame) -> pd.DataFrame:
    """Return by method: the root mean square of log error over curves, its median, wins of the chosen law, coverage."""
    rows = rows.assign(
        square=np.log(rows["foretold"].clip(lower=1e-4) / rows["truth"]) ** 2,
        held=(rows["low"] <= rows["truth"]) & (rows["truth"] <= rows["high"]),
        width=rows["high"] / rows["low"],
    )
    with_law = rows[~rows["chosen"].str.startswith("none")]
    errors = np.sqrt(with_law.groupby(["curve", "method"])["square"].mean()).unstack()
    table = pd.DataFrame({"curves": errors.count(), "rms": np.sqrt((errors**2).mean()), "median": errors.median()})
    table["chosen_is_better"] = errors.gt(errors[CHOSEN], axis=0).sum()
    by_method = with_law.groupby("method")
    table["held"], table["high_to_low"] = by_method["held"].mean(), by_method["width"].median()
    return table


if __name__ == "__main__":
    main()

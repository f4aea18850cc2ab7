"""Aims: the report's 95% intervals hold the truth in 92 to 98% of simulated sweeps with 3, 5 and 10 seeds, and a
paired comparison of arms that do not differ is called different in at most 6% of them.

    python -m benchmarks.coverage --output docs/coverage.csv --jobs 2

Each experiment draws one sweep from a known law: seeds, test patients and their interplay with the arm vary, cells are
missing. Beside the report's method stand the ones that were tried and left (``intervals_left.py``). Rates of 500
experiments are known to about two points, of 2,000 to one. The simulation is in ``simulated_sweep.py``, what is counted
of laws in ``coverage_of_laws.py``, of epochs, changes of the best arm and other test sets in
``coverage_of_choices.py``.
"""

import argparse
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.comparisons.comparison import compare_at, paired_difference
from analysis.convergence.survival import speed_up
from analysis.intervals.bootstrap import TwoLevelDraws, percentile_interval, resampled_medians, two_level_draws
from analysis.intervals.crossed_effects import crossed_mean
from analysis.intervals.uncertainty import Floats, t_interval
from analysis.labels.falling_curve import falling, labels_at
from analysis.labels.labels_needed import label_equivalence, labels_for_error, labels_near_full
from analysis.scores.error_curve import ErrorCurve
from benchmarks.coverage_of_choices import CHOICES, SATTERTHWAITE, choice_checks
from benchmarks.coverage_of_laws import CONFIDENCE, Check, law_checks, refusal_checks
from benchmarks.intervals_left import bca_interval, pulls_on_median, satterthwaite_interval
from benchmarks.simulated_sweep import NO_LAWS, RACES, SETTINGS, Race, Setting, simulate_curves, simulate_race

RESAMPLES = 500
PLACE = 1  # of the label counts: where errors and equivalences are judged
FACTOR = 2.0  # the arm is worth this many times its labels
MARGIN = 0.25


def main() -> None:
    """Simulate, count, and write one row per setting, number of seeds, quantity and method; after each setting anew.

    Rows of a file that is there stay until the same ones are counted again.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="where the CSV file goes")
    parser.add_argument("--experiments", type=int, default=500, help="per setting and number of seeds (default 500)")
    parser.add_argument("--with-laws", type=int, default=200, help="of these, with fitted laws (default 200)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[3, 5, 10], help="numbers of seeds (default 3 5 10)")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default 1)")
    parser.add_argument("--matching", default="", help="simulate settings alone whose name holds this (default: all)")
    options = parser.parse_args()
    parts = (*SETTINGS, *RACES, *NO_LAWS, *CHOICES)
    names = [part.name for part in parts if options.matching in part.name]
    if not names:
        parser.error(f"--matching: expected a part of a setting's name, found {options.matching!r}, which is in none")
    sizes = options.experiments, options.with_laws
    wanted = [(name, num_seeds, *sizes) for num_seeds in options.seeds for name in names]
    tables = [pd.read_csv(options.output)] if options.output.exists() else []
    with ProcessPoolExecutor(options.jobs) as pool:
        for done in as_completed([pool.submit(run_setting, *each) for each in wanted]):
            tables.append(done.result())
            write(pd.concat(tables), options.output)
            print(f"{tables[-1]['setting'].iloc[0]} with {tables[-1]['num_seeds'].iloc[0]} seeds done", flush=True)


def write(table: pd.DataFrame, path: Path) -> None:
    """Write the table in an order that does not depend on which setting came first; later rows replace earlier ones."""
    order = ["quantity", "method", "setting", "num_seeds", "experiments", "coverage", "high_to_low", "open_ended"]
    table = table.drop_duplicates(order[:4], keep="last")
    table[order].sort_values(order[:4], kind="stable").round(3).to_csv(path, index=False)


def run_setting(name: str, num_seeds: int, experiments: int, with_laws: int) -> pd.DataFrame:
    """Draw the experiments of one setting and count; laws, which take most of the time, in the first of them alone."""
    sweeps, races, lawless = ({each.name: each for each in kind} for kind in (SETTINGS, RACES, NO_LAWS))
    choices = {each.name: each for each in CHOICES}
    checks: list[Check] = []
    for seed in range(experiments):
        generator = np.random.default_rng(seed)
        if name in sweeps:
            checks += sweep_checks(sweeps[name], num_seeds, generator, seed < with_laws)
        elif name in races:
            checks += race_checks(races[name], num_seeds, generator)
        elif name in choices:
            checks += choice_checks(choices[name], num_seeds, generator)
        else:
            checks += refusal_checks(lawless[name], num_seeds, generator)
    return summarise(checks).assign(setting=name, num_seeds=num_seeds)


def summarise(checks: list[Check]) -> pd.DataFrame:
    """Count how often intervals hold the truth, how wide they are, and how often an end is missing."""
    table = pd.DataFrame(checks)
    table["covered"] = (table["low"] <= table["truth"]) & (table["truth"] <= table["high"])
    table["open"] = ~np.isfinite(table["high"]) | (table["low"] == 0)
    table["width"] = table["high"] / table["low"].where(table["low"] > 0)
    grouped = table.groupby(["quantity", "method"])
    return grouped.agg(
        experiments=("covered", "size"),
        coverage=("covered", "mean"),
        high_to_low=("width", "median"),
        open_ended=("open", "mean"),
    ).reset_index()


def sweep_checks(setting: Setting, num_seeds: int, generator: np.random.Generator, with_law: bool) -> Iterator[Check]:
    """Yield every interval on errors and labels of one simulated sweep."""
    reference, arm, twin = simulate_curves(setting, num_seeds, (1.0, FACTOR, 1.0), generator)
    draws = two_level_draws(num_seeds, reference.errors.shape[1], RESAMPLES, generator)
    yield from _error_checks(setting, reference, draws)
    yield from _comparison_checks(reference, twin)
    yield from _true_ratio_checks(setting, reference, arm)
    yield from _label_checks(setting, reference, arm, draws)
    if setting.has_law and with_law:
        yield from law_checks(setting, reference)


def race_checks(race: Race, num_seeds: int, generator: np.random.Generator) -> Iterator[Check]:
    """Yield the interval on the speed-up of one simulated race to the target."""
    reference, arm = simulate_race(race, num_seeds, generator)
    result = speed_up(reference, arm, race.horizon, CONFIDENCE)
    found, uncut = result.ratio, result.uncut
    yield Check("speed-up, cut at the horizon", "report: paired t on logs", race.cut_ratio, found.low, found.high)
    yield Check("speed-up, uncut", "report: open where censored", race.ratio, uncut.low, uncut.high)
    yield Check("speed-up, uncut", "left: interval of the cut one", race.ratio, found.low, found.high)


def _error_checks(setting: Setting, curve: ErrorCurve, draws: TwoLevelDraws) -> Iterator[Check]:
    truth = setting.error(curve.label_counts[PLACE])
    logs = curve.logs.values[:, :, PLACE]
    present = ~np.isnan(logs[:, 0])
    if present.sum() < 2:
        return
    low, high = crossed_mean(logs[present]).interval(CONFIDENCE)
    yield Check("error at a label count", "report: crossed t", truth, np.exp(low), np.exp(high))
    alone = t_interval(logs[present].mean(axis=1), CONFIDENCE).exponential()
    yield Check("error at a label count", "left: t over seeds alone", truth, alone.low, alone.high)
    resampled = _resampled_means(curve, draws)[:, PLACE]
    ends = np.exp(percentile_interval(resampled, CONFIDENCE))
    yield Check("error at a label count", "left: two-level bootstrap, percentile", truth, *ends)
    by_seed = logs[present].mean(axis=1)
    ends = np.exp(bca_interval(resampled, by_seed.mean(), by_seed - by_seed.mean(), CONFIDENCE))
    yield Check("error at a label count", "left: two-level bootstrap, BCa", truth, *ends)
    yield from _median_checks(truth, curve, draws)


def _median_checks(truth: float, curve: ErrorCurve, draws: TwoLevelDraws) -> Iterator[Check]:
    """The median over seeds, of skewed errors at few labels: the interval that has no t interval to be taken from."""
    name, medians = "median error at a label count", resampled_medians(curve.errors, draws)[:, PLACE]
    yield Check(name, "report: two-level bootstrap, percentile", truth, *percentile_interval(medians, CONFIDENCE))
    by_seed = curve.by_seed[:, PLACE][~np.isnan(curve.by_seed[:, PLACE])]
    ends = bca_interval(medians, float(np.median(by_seed)), pulls_on_median(by_seed), CONFIDENCE)
    yield Check(name, "left: two-level bootstrap, BCa", truth, *ends)


def _comparison_checks(reference: ErrorCurve, twin: ErrorCurve) -> Iterator[Check]:
    """Arms that do not differ but in chance: one minus the coverage of 1 is the rate of false alarms."""
    found = compare_at(PLACE, twin, reference, CONFIDENCE).ratio
    if found.is_known:
        yield Check("ratio of equal arms", "report: crossed t", 1.0, found.low, found.high)
        logs = [curve.logs.values[:, :, PLACE] for curve in (twin, reference)]
        alone = paired_difference(*(each.mean(axis=1) for each in logs), CONFIDENCE).ratio
        yield Check("ratio of equal arms", "left: t over seeds alone", 1.0, alone.low, alone.high)
        low, high = satterthwaite_interval(logs[0] - logs[1], CONFIDENCE)
        yield Check("ratio of equal arms", SATTERTHWAITE, 1.0, np.exp(low), np.exp(high))


def _true_ratio_checks(setting: Setting, reference: ErrorCurve, arm: ErrorCurve) -> Iterator[Check]:
    """An arm that is better: how often the interval holds by how much."""
    count = reference.label_counts[PLACE]
    found = compare_at(PLACE, arm, reference, CONFIDENCE).ratio
    if found.is_known:
        truth = setting.error(FACTOR * count) / setting.error(count)
        yield Check("ratio of unequal arms", "report: crossed t", truth, found.low, found.high)


def _label_checks(setting: Setting, reference: ErrorCurve, arm: ErrorCurve, draws: TwoLevelDraws) -> Iterator[Check]:
    counts, logs = reference.label_counts, reference.logs
    truth = float(np.sqrt(counts[1] * counts[2]))
    target = setting.error(truth)
    needed = labels_for_error(logs, target, CONFIDENCE)
    assert needed is not None
    yield Check("labels for an error", "report: inverted t", truth, needed.count.low, needed.count.high)
    means = _resampled_means(reference, draws)
    known = ~np.isnan(means).all(axis=0)
    found = labels_at(counts[known], falling(means[:, known]), np.asarray(np.log(target)))
    ends = percentile_interval(found, CONFIDENCE)
    yield Check("labels for an error", "left: two-level bootstrap, percentile", truth, *ends)
    if logs.is_known[-1]:
        near = labels_near_full(logs, logs, MARGIN, CONFIDENCE)
        assert near is not None
        truth = setting.labels_for((1 + MARGIN) * setting.error(counts[-1]))
        yield Check("labels within 25% of the full error", "report: inverted t", truth, near.count.low, near.count.high)
    for item in label_equivalence(arm.logs, logs, CONFIDENCE):
        if item.label_count == counts[PLACE]:
            truth = FACTOR * item.label_count
            yield Check("label equivalence", "report: inverted t", truth, item.worth.low, item.worth.high)


def _resampled_means(curve: ErrorCurve, draws: TwoLevelDraws) -> Floats:
    """Return the mean log error of every resample of seeds and patients, (resample, label count)."""
    num_seeds, num_patients, num_counts = curve.errors.shape
    means = draws.patients @ curve.errors.transpose(1, 0, 2).reshape(num_patients, -1) / num_patients
    logs = np.log(means.reshape(-1, num_seeds, num_counts))
    weights = draws.seeds[:, :, None] * ~np.isnan(logs)
    totals = weights.sum(axis=1)
    return np.divide(np.nansum(weights * logs, axis=1), totals, out=np.full(totals.shape, np.nan), where=totals > 0)


if __name__ == "__main__":
    main()

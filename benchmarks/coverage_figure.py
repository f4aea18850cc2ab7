"""Draw how often the report's intervals hold a simulated truth, from the rates that ``coverage.py`` has counted.

    python -m benchmarks.coverage_figure docs/coverage.csv docs/coverage.png

One panel a quantity: a point for each setting and number of seeds, with the 95% interval of a rate of that many
simulated experiments (Wilson 1927), against 95% and the aim of 92 to 98%. Settings with other numbers of test patients
stand in the page's table alone.
"""

import argparse
import hashlib
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy import stats

LEVEL, AIM, LOWEST = 0.95, (0.92, 0.98), 0.83
PANELS = {  # quantity: the panel's title
    "error at a label count": "error at a label count",
    "median error at a label count": "median error",
    "ratio of unequal arms": "ratio of unequal arms",
    "ratio of equal arms": "ratio of equal arms",
    "labels for an error": "labels for an error",
    "labels within 25% of the full error": "labels within 25 % of full error",
    "label equivalence": "label equivalence",
    "label equivalence between the counts": "equivalence between the counts",
    "labels at which two arms cross": "labels at which two arms cross",
    "law's error, within the label counts": "law's error between the counts",
    "law's error, four times beyond the label counts": "law's error at 4 times the labels",
    "law's floor": "law's floor",
    "law's exponent": "law's exponent",
    "law's transition": "law's transition",
    "speed-up, cut at the horizon": "speed-up, cut steps",
    "speed-up, uncut": "speed-up, uncut steps",
}
SETTINGS = {  # setting: colour, marker; colours of Okabe and Ito
    "seeds and patients, 4 counts": ("#0072B2", "o"),
    "seeds and patients, 7 counts": ("#E69F00", "s"),
    "plateau at few labels": ("#009E73", "^"),
    "patients differ most": ("#D55E00", "D"),
    "heavy tails at few labels": ("#CC79A7", "v"),
    "no run is censored": ("#0072B2", "P"),
    "a tenth of the reference's runs are censored": ("#E69F00", "X"),
    "half of the reference's runs are censored": ("#009E73", "*"),
    "one of three arms stays the best": ("#D55E00", "<"),
    "the best of three arms changes": ("#CC79A7", ">"),
}


def main() -> None:
    """Read the rates, draw them, and write a PNG."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rates", type=Path, help="the CSV file of benchmarks.coverage")
    parser.add_argument("output", type=Path, help="where the PNG goes")
    options = parser.parse_args()
    draw(shown_rates(options.rates), options.output)


def shown_rates(path: Path) -> pd.DataFrame:
    """Return the rates of the report's own methods in the settings that are drawn, with the ends of their intervals."""
    table = pd.read_csv(path)
    is_shown = table["quantity"].isin(list(PANELS)) & table["setting"].isin(list(SETTINGS))
    table = table[is_shown & table["method"].str.startswith("report")].reset_index(drop=True)
    ends = [rate_interval(*each) for each in zip(table["coverage"], table["experiments"], strict=True)]
    return table.assign(low=[low for low, _ in ends], high=[high for _, high in ends])


def rate_interval(rate: float, experiments: int) -> tuple[float, float]:
    """Return Wilson's 95% interval of a rate that was counted in so many experiments."""
    found = stats.binomtest(round(rate * experiments), experiments).proportion_ci(LEVEL, method="wilson")
    return float(found.low), float(found.high)


def fingerprint(rates: pd.DataFrame) -> str:
    """Return a hash of what is drawn, which the PNG carries: a test finds a figure that is older than its rates."""
    shown = rates[["quantity", "setting", "num_seeds", "experiments", "coverage"]]
    return hashlib.sha256(shown.to_csv(index=False).encode()).hexdigest()


def draw(rates: pd.DataFrame, path: Path) -> None:
    """Draw one panel a quantity and write them."""
    figure, axes = plt.subplots(4, 4, figsize=(12, 10.4), sharex=True, sharey=True)
    seeds = sorted(rates["num_seeds"].unique())
    for axis, (quantity, title) in zip(axes.flat, PANELS.items(), strict=True):
        draw_panel(axis, rates[rates["quantity"] == quantity], seeds)
        axis.set_title(title, fontsize=10)
    for axis in axes[:, 0]:
        axis.set_ylabel("intervals that hold the truth, %", fontsize=9)
    for axis in axes[-1]:
        axis.set_xlabel("seeds")
    handles = {
        name: points for axis in axes.flat for points, name in zip(*axis.get_legend_handles_labels(), strict=True)
    }
    known = [name for name in SETTINGS if name in handles]
    figure.legend([handles[name] for name in known], known, loc="lower center", ncols=4, fontsize=9, frameon=False)
    figure.tight_layout(rect=(0, 0.09, 1, 1))
    figure.savefig(path, dpi=100, metadata={"Software": None, "Source": fingerprint(rates)})
    plt.close(figure)


def draw_panel(axis: Any, rates: pd.DataFrame, seeds: list[int]) -> None:
    """Draw a quantity's rates over the numbers of seeds, settings side by side."""
    axis.axhspan(100 * AIM[0], 100 * AIM[1], color="0.92", linewidth=0)
    axis.axhline(100 * LEVEL, color="0.4", linewidth=1)
    present = [name for name in SETTINGS if name in set(rates["setting"])]
    shifts = np.linspace(-0.28, 0.28, len(present)) if len(present) > 1 else [0.0]
    for shift, name in zip(shifts, present, strict=True):
        chosen = rates[rates["setting"] == name].sort_values("num_seeds")
        colour, marker = SETTINGS[name]
        places = [seeds.index(number) + shift for number in chosen["num_seeds"]]
        reach = 100 * np.stack([chosen["coverage"] - chosen["low"], chosen["high"] - chosen["coverage"]]).clip(min=0)
        style = {"color": colour, "marker": marker, "markersize": 5, "linestyle": "none", "elinewidth": 1.2}
        axis.errorbar(places, 100 * chosen["coverage"], yerr=reach, label=name, **style)
    axis.set_xticks(range(len(seeds)), [str(number) for number in seeds])
    axis.set_ylim(100 * LOWEST, 100.5)
    axis.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    main()

"""Does early stopping change what a sweep concludes? The same cells stopped, at their full budget, and under a cosine.

    python -m benchmarks.early_stopping [key=value ...] [--patience 5] [--seeds 3] [--steps 320]

A small grid on the demo's data in this process: two arms, two label counts. ``stopped`` has ``finetune.stop``, ``full``
the same schedule with a patience that never runs out, ``cosine`` the default. Out: the share of training steps saved,
the geometric mean test error of each, that of ``stopped`` and ``cosine`` over ``full`` with its interval over seeds
(the cells of a seed averaged first), and whether the same arm has the lowest mean at each label count. Test patients
are the same in all cells; the interval does not cover others.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.convergence.stopped_cells import num_stopped, saved_words
from analysis.intervals.uncertainty import t_interval
from analysis.loading.load import load_results
from sweep.data_efficiency import main as run_sweep

ARMS = ("random", "supervised-natural")
LABEL_COUNTS = (16, 64)
FULL = "full"
NEVER = 1_000_000  # evaluations
CELL = ["arm", "label_count", "seed"]


def main() -> None:
    """Run the three sweeps and print how they differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("settings", nargs="*", metavar="key=value", help="of the experiment, such as model.width=16")
    parser.add_argument("--patience", type=int, default=5, metavar="K", help="evaluations (default 5)")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="default 3")
    parser.add_argument("--steps", type=int, default=320, metavar="N", help="the budget of a cell (default 320)")
    options = parser.parse_intermixed_args()
    stops = {
        "stopped": f"{{patience: {options.patience}}}",
        FULL: f"{{patience: {NEVER}}}",
        "cosine": "null",
    }
    with tempfile.TemporaryDirectory() as folder:
        cells = {name: sweep(Path(folder), name, stop, options) for name, stop in stops.items()}
    for name, errors in cells.items():
        print(f"{name}: mean test error {np.exp(np.log(errors['error']).mean()):.4f}{_against(errors, cells[FULL])}")
    for count in LABEL_COUNTS:
        print(f"lowest mean at {count} slices: {'; '.join(f'{name} {lowest(cells[name], count)}' for name in cells)}")


def sweep(folder: Path, name: str, stop: str, options: argparse.Namespace) -> pd.DataFrame:
    """Run one sweep and return its cells; the stages are trained once for all."""
    grid = [f"grid.arms=[{','.join(ARMS)}]", f"grid.label_counts={list(LABEL_COUNTS)}"]
    grid += [f"grid.subset_seeds={list(range(options.seeds))}", "grid.intermediate_label_counts=null"]
    settings = [f"finetune.steps={options.steps}", f"finetune.stop={stop}", f"compute.encoders={folder / 'encoders'}"]
    command = ["--preset", "demo", "--launcher", "serial", "--results", str(folder / name)]
    if code := run_sweep([*command, *grid, *settings, *options.settings]):
        sys.exit(code)
    results = load_results(folder / name)
    print(f"{name}: {num_stopped(results.cells)} of {len(results.cells)} cells stopped; {saved_words(results)}")
    return results.cells


def lowest(cells: pd.DataFrame, label_count: int) -> str:
    """Return the arm with the lowest geometric mean error at a label count."""
    logs = np.log(cells.loc[cells["label_count"] == label_count].set_index("arm")["error"])
    return str(logs.groupby(level="arm").mean().idxmin())


def ratios_by_seed(cells: pd.DataFrame, others: pd.DataFrame) -> pd.Series:
    """Return each seed's mean difference of log errors over the cells that both sweeps have."""
    both = cells[[*CELL, "error"]].merge(others[[*CELL, "error"]], on=CELL, suffixes=("", "_of_others"))
    return np.log(both["error"] / both["error_of_others"]).groupby(both["seed"]).mean()


def _against(cells: pd.DataFrame, full: pd.DataFrame) -> str:
    if cells is full:
        return ""
    found = t_interval(ratios_by_seed(cells, full).to_numpy(dtype=np.float64), 0.95)
    ratio = found.exponential()
    return f", {ratio.value:.3f} times that of {FULL} (95% interval {ratio.low:.3f} to {ratio.high:.3f})"


if __name__ == "__main__":
    main()

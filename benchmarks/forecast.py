"""Is the forecast true? Forecasts a preset, runs it on Ray and prints what it took over what was said.

    python -m benchmarks.forecast --preset smoke [key.path=value ...]

Out: ratios of device-hours (cells, pretraining), of the time on the clock and of the disk; above 1 the run took more.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from sweep.account import read_account
from sweep.estimate import estimate
from sweep.experiment import load_preset
from sweep.inputs import read_inputs
from sweep.plan import build_plan

TABLES = ("cells", "curves", "cases", "pretraining", "encoders")


def main() -> None:
    """Parse the command line, forecast, run and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="smoke")
    parser.add_argument("overrides", nargs="*")
    options = parser.parse_intermixed_args()
    experiment = load_preset(options.preset, options.overrides)
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results"
        inputs = read_inputs(experiment)
        plan = build_plan(experiment, inputs, results)
        found = estimate(experiment, plan, inputs, "ray", is_asked=True)
        if isinstance(found, str):
            sys.exit(f"no forecast: {found}")
        log = Path(folder) / "log.jsonl"
        command = [sys.executable, "-m", "sweep.data_efficiency", "--preset", options.preset, *options.overrides]
        subprocess.run([*command, "--results", str(results), "--log-json", str(log)], check=True)
        moments = [json.loads(line) for line in log.read_text().splitlines()]
        last = [moment for moment in moments if moment["event"] == "progress"][-1]
        account = read_account(results, [cell.job.axes for cell in plan.cells])
        num_bytes = sum(
            path.stat().st_size for name in TABLES for path in (results / name).rglob("*") if path.is_file()
        )
    _print_ratio("fine-tuning, device-seconds", account.finetuning_seconds, found.total.finetuning_seconds)
    _print_ratio("pretraining, device-seconds", account.pretraining_seconds, found.total.pretraining_seconds)
    _print_ratio("on the clock, seconds", last["seconds"], found.wall_seconds)
    _print_ratio("disk, bytes", num_bytes, found.total.num_bytes)


def _print_ratio(what: str, measured: float, forecast: float) -> None:
    print(f"{what}: forecast {forecast:.4g}, measured {measured:.4g}, ratio {measured / forecast:.2f}")


if __name__ == "__main__":
    main()

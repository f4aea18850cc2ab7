"""Is the forecast true? Forecasts a preset, runs it, forecasts it again, and prints what it took over what was said.

    python -m benchmarks.forecast --preset smoke [--launcher serial] [key.path=value ...]

Out: device-seconds of cells and of pretraining, seconds on the clock and bytes; ratios above 1 where the run took more.
The second forecast knows nothing of the run: where the two differ, others used the machine more at one time than at the
other, and the ratios mean no more than that.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from sweep.costs.account import read_account
from sweep.costs.estimate import estimate
from sweep.costs.forecast import Forecast
from sweep.experiment import Experiment, load_preset
from sweep.inputs import Inputs, read_inputs
from sweep.plan import Plan, build_plan

TABLES = ("cells", "curves", "cases", "pretraining", "encoders")


def main() -> None:
    """Parse the command line, forecast, run and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="smoke")
    parser.add_argument("--launcher", choices=("ray", "serial"), default="ray")
    parser.add_argument("overrides", nargs="*")
    options = parser.parse_intermixed_args()
    experiment = load_preset(options.preset, options.overrides)
    inputs = read_inputs(experiment)
    with tempfile.TemporaryDirectory() as folder:
        plan = build_plan(experiment, inputs, Path(folder) / "nothing has run here")
        before = _forecast(experiment, plan, inputs, options.launcher)
        command = [sys.executable, "-m", "sweep.data_efficiency", "--preset", options.preset, *options.overrides]
        results, log = Path(folder) / "results", Path(folder) / "log.jsonl"
        more = ["--launcher", options.launcher, "--results", str(results), "--log-json", str(log)]
        subprocess.run([*command, *more], check=True)
        after = _forecast(experiment, plan, inputs, options.launcher)
        moments = [json.loads(line) for line in log.read_text().splitlines()]
        seconds = next(each["seconds"] for each in reversed(moments) if each["event"] == "progress")
        account = read_account(results)
        paths = [path for name in TABLES for path in (results / name).rglob("*") if path.is_file()]
        num_bytes = sum(path.stat().st_size for path in paths)
    both = (before, after)
    _print("cells, device-seconds", account.finetuning_seconds, [each.total.finetuning_seconds for each in both])
    _print(
        "pretraining, device-seconds", account.pretraining_seconds, [each.total.pretraining_seconds for each in both]
    )
    _print("on the clock, seconds", seconds, [each.wall_seconds for each in both])
    _print("disk, bytes", num_bytes, [before.total.num_bytes])


def _forecast(experiment: Experiment, plan: Plan, inputs: Inputs, launcher: str) -> Forecast:
    found = estimate(experiment, plan, inputs, launcher, is_asked=True)
    return found if isinstance(found, Forecast) else sys.exit(f"no forecast: {found}")


def _print(what: str, measured: float, forecasts: list[float]) -> None:
    said = " and ".join(f"{each:.4g}" for each in forecasts)
    ratios = " and ".join(f"{measured / each:.2f}" for each in forecasts)
    print(f"{what}: forecast {said}, measured {measured:.4g}, ratio {ratios}")


if __name__ == "__main__":
    main()

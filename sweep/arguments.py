"""The options of python -m sweep.data_efficiency. In: nothing. Out: a parser; importing it is quick."""

import argparse
import math
from pathlib import Path

EXIT_CODES = (
    "Exit codes: 0 all cells finished, 1 error, 2 usage, 3 finished with failed cells, 4 out of time or money, "
    "130 interrupted."
)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m sweep.data_efficiency",
        description="Learn which pretraining, how many pretraining epochs and how many labels a segmentation needs.",
        epilog=EXIT_CODES,
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--preset", type=_given, metavar="NAME", help="smoke, demo (default), small, acdc-small, methods or acdc"
    )
    source.add_argument("--config", metavar="FILE", type=_path, help="an experiment as YAML (see --print-config)")
    parser.add_argument("--results", metavar="DIR", type=_path, help="results folder (default: results/NAME)")
    parser.add_argument("--launcher", choices=("ray", "serial"), default="ray", help="default: ray")
    parser.add_argument(
        "--address", type=_given, help="a running Ray cluster (default: RAY_ADDRESS, or Ray on this machine)"
    )
    _add_limits(parser)
    parser.add_argument("--dry-run", action="store_true", help="print what would run and its forecast cost")
    _add_logs(parser)
    parser.add_argument(
        "--mirror",
        type=_given,
        metavar="URI",
        help="copy what has finished to s3://BUCKET/PREFIX or another URI, and begin with what lies there; the "
        "results folder itself stays on a disk or NFS",
    )
    parser.add_argument("--print-config", action="store_true", help="print the resolved experiment as YAML")
    parser.add_argument("overrides", nargs="*", metavar="key.path=value", help="such as grid.subset_seeds=[0,1,2,3,4]")
    return parser


def options_with_value() -> set[str]:
    """Return the names of the options that take a value, which are no keys of an experiment."""
    defaults = vars(build_parser().parse_args([]))
    return {name.replace("_", "-") for name, value in defaults.items() if not isinstance(value, bool | list)}


def _add_limits(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--max-hours",
        type=_hours,
        metavar="H",
        help="start nothing after so many hours; cells that run are finished, and the same command goes on",
    )
    parser.add_argument(
        "--max-cost",
        type=_cost,
        metavar="C",
        help="start nothing once this run's device-hours times compute.price_per_device_hour have reached C; likewise",
    )


def _add_logs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--log-json",
        type=_given,
        metavar="FILE",
        help="add one JSON object for each event to FILE; - is standard output",
    )
    parser.add_argument(
        "--tensorboard",
        choices=("none", "stages", "cells"),
        default="stages",
        help="what to mirror in RESULTS/tensorboard: the stages (default), also each cell, or nothing",
    )


def _path(text: str) -> Path:
    return Path(_given(text))


def _given(text: str) -> str:
    """Refuse what a shell puts for a variable that is not set: it would mean the default, or this folder."""
    if not text.strip():
        raise argparse.ArgumentTypeError(f"expected a value, found {text!r}; is a variable of the shell not set?")
    return text


def _hours(text: str) -> float:
    return _above_zero(text, "number of hours")


def _cost(text: str) -> float:
    return _above_zero(text, "cost")


def _above_zero(text: str, what: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"expected a {what} above 0, found {text!r}")
    return number

"""Look at weights before they are used: python -m trainables.weights SOURCE --encoder resnet50

Prints what was matched and what ignored. Exit codes: 0 they fit, 1 they do not or cannot be read, 2 usage.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trainables.config import ModelConfig

FITS, REFUSED = 0, 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, try to load the weights and return the exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    config = _network(options, parser)
    from trainables.weights import WeightsError, check_weights

    try:
        found = check_weights(options.source, config, options.channels)
    except (WeightsError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return REFUSED
    print(f"{found.report}\n{found.weights_id}; licence: {found.licence}")
    return FITS


def _network(options: argparse.Namespace, parser: argparse.ArgumentParser) -> "ModelConfig":
    """Return the network that the options name; end with a usage error where there is no such network."""
    from pydantic import ValidationError

    from trainables.config import ModelConfig

    if options.channels < 1:
        parser.error(f"argument --channels: expected at least 1, found {options.channels}")
    try:
        return ModelConfig(encoder=options.encoder, width=options.width)
    except ValidationError as error:
        problem = error.errors()[0]
        expected = problem["msg"].replace("Input should be", "expected")
        parser.error(f"argument --{problem['loc'][0]}: {expected}, found {problem['input']!r}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m trainables.weights",
        description="Say whether weights fit an encoder, key by key.",
        epilog="Exit codes: 0 they fit, 1 they do not or cannot be read, 2 usage.",
    )
    parser.add_argument("source", help="such as file:PATH, torchvision:NAME, timm:NAME or hf:ORG/REPO")
    parser.add_argument("--encoder", default="resnet50", help="resnet10, resnet18, resnet34 or resnet50 (default)")
    parser.add_argument("--width", type=int, default=64, help="channels of the first stage (default: 64)")
    parser.add_argument("--channels", type=int, default=1, help="of the images (default: 1)")
    return parser


if __name__ == "__main__":
    sys.exit(main())

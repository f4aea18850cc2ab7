"""Look at weights before they are used: python -m trainables.weights SOURCE --encoder resnet50

Prints what was matched and what ignored, and whether a decoder is taken, as for a cell that starts from the weights.
Without options the network is ModelConfig's. Exit codes: 0 they fit, 1 they do not or cannot be read, 2 usage.
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
    from trainables.weights import WeightsError, check_decoder, check_weights

    try:
        found = check_weights(options.source, config, options.channels)
        num_tensors = check_decoder(options.source, config)
    except (WeightsError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return REFUSED
    decoder = f"; its decoder is taken, too: {num_tensors} tensors" if num_tensors else ""
    print(f"{found.report}{decoder}\n{found.weights_id}; licence: {found.licence}")
    return FITS


def _network(options: argparse.Namespace, parser: argparse.ArgumentParser) -> "ModelConfig":
    """Return the network that the options name; end with a usage error where there is no such network."""
    from pydantic import ValidationError

    from trainables.config import ModelConfig

    if options.channels < 1:
        parser.error(f"argument --channels: expected at least 1, found {options.channels}")
    try:
        return ModelConfig.model_validate({name: getattr(options, name) for name in ModelConfig.model_fields})
    except ValidationError as error:
        problem = error.errors()[0]
        expected = problem["msg"].removeprefix("Value error, ").replace("Input should be", "expected")
        if not problem["loc"]:  # of the network as a whole, such as "model.decoder_channels: expected ..."
            name, _, message = expected.removeprefix("model.").partition(": ")
            parser.error(f"argument --{name.replace('_', '-')}: {message}")
        parser.error(f"argument --{problem['loc'][0]}: {expected}, found {problem['input']!r}")


def _parser() -> argparse.ArgumentParser:
    from trainables.config import ModelConfig

    network = ModelConfig()
    parser = argparse.ArgumentParser(
        prog="python -m trainables.weights",
        description="Say whether weights fit a network, key by key.",
        epilog="Exit codes: 0 they fit, 1 they do not or cannot be read, 2 usage.",
    )
    parser.add_argument("source", help="such as file:PATH, torchvision:NAME, timm:NAME or hf:ORG/REPO")
    encoders = "resnet10, resnet18, resnet34 or resnet50 (default: %(default)s)"
    parser.add_argument("--encoder", default=network.encoder, help=encoders)
    parser.add_argument(
        "--width", type=int, default=network.width, help="channels of the first stage (default: %(default)s)"
    )
    channels = " ".join(map(str, network.decoder_channels))
    parser.add_argument(
        "--decoder-channels",
        type=int,
        nargs=5,
        metavar="N",
        default=network.decoder_channels,
        help=f"of the decoder, for weights that hold one, too (default: {channels})",
    )
    parser.add_argument("--channels", type=int, default=1, help="of the images (default: 1)")
    return parser


if __name__ == "__main__":
    sys.exit(main())

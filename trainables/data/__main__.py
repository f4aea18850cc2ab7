"""Look at a data set: python -m trainables.data ROOT [key=value ...] [--picture FILE]

Prints what was found and every problem with its file and reason. Keys are those of an experiment's data section. A
folder of natural images or of unlabelled ones is looked at as such, and named with the setting that takes it.
Exit codes: 0 usable as what it is, 1 something would be refused or cannot be read, 2 usage, 130 stopped by Ctrl-C.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # imported late: --help must not wait for torch
    from pydantic_core import ErrorDetails

    from trainables.config import DataConfig
    from trainables.data.inspection import Inspection

USABLE, REFUSED, USAGE, INTERRUPTED = 0, 1, 2, 130
NUM_EXAMPLES = 24


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, inspect and print, turning every expected error into one clear message."""
    options = _parser().parse_intermixed_args(arguments)
    try:
        return _show(options)
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        return INTERRUPTED
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return REFUSED


def _show(options: argparse.Namespace) -> int:
    try:
        config = _config(options)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE
    from trainables.data.inspection import inspect
    from trainables.data.inspection_tables import console, print_inspection
    from trainables.data.progress import counted
    from trainables.data.readers import kind_at

    kind = kind_at(config)
    _warn_of_unused(options, kind)
    if kind == "natural":
        return _show_natural(Path(options.root))
    with counted("decoding", console(sys.stderr)) as progress:
        found = inspect(config, None, NUM_EXAMPLES if options.picture else 0, progress)
    print_inspection(found, console(sys.stdout))
    try:
        _write_files(found, options)
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE
    return REFUSED if found.problems else USABLE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m trainables.data",
        description="Print what a data set holds, and everything in it that would be refused.",
        epilog="Natural images, and unlabelled ones, are looked at as such; a sweep takes them as natural.root and "
        "data.unlabelled_root. Exit codes: 0 usable as what it is, 1 something would be refused or cannot be read, "
        "2 usage, 130 interrupted.",
    )
    parser.add_argument("root", help="the folder of the data set")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="of the data section, such as spacing_mm=1.5")
    parser.add_argument(
        "--format", help="acdc, nnunet, decathlon, folder, imagefolder or unlabelled (default: recognised)"
    )
    parser.add_argument("--unlabelled", metavar="DIR", help="more images for the pretraining pool")
    parser.add_argument("--picture", metavar="FILE", type=Path, help="write slices with outlined masks as a PNG")
    parser.add_argument("--write-split", metavar="FILE", type=Path, help="the split as nnU-Net's splits_final.json")
    parser.add_argument("--natural", action="store_true", help="the same as --format imagefolder")
    return parser


def _warn_of_unused(options: argparse.Namespace, kind: str) -> None:
    """Name what was asked for of labelled images, where there are none."""
    given = {"unlabelled": options.unlabelled, "picture": options.picture, "write-split": options.write_split}
    unused = [f"--{name}" for name, value in given.items() if value] if kind != "labelled" else []
    unused += options.overrides if kind == "natural" else []
    if unused:
        images = f"{kind} images, as which {options.root} is looked at"
        print(f"warning: {', '.join(unused)}: of no use for {images}", file=sys.stderr)


def _config(options: argparse.Namespace) -> "DataConfig":
    """Build the data section. Raises ValueError with one line for each mistake."""
    import yaml
    from pydantic import ValidationError

    from trainables.config import DataConfig, mistakes
    from trainables.data.inspection import FIRST_LOOK
    from trainables.setting_yaml import QUOTED, override_value

    values: dict[str, Any] = {"root": options.root, "unlabelled_root": options.unlabelled}
    if options.natural and options.format not in (None, "imagefolder"):
        raise ValueError(f"--natural and --format {options.format}: expected one of them, found both")
    name = "imagefolder" if options.natural else options.format
    values |= {"format": name} if name else {}
    for override in options.overrides:
        key, equals, text = override.removeprefix("data.").partition("=")
        if not equals:
            raise ValueError(f"'{override}': expected key=value, such as spacing_mm=1.5")
        if not text.strip():
            raise ValueError(f"'{override}': expected a value after '=', found nothing; null sets none")
        try:
            values[key] = override_value(key, text)
        except yaml.YAMLError as error:
            raise ValueError(
                f"{key}={text}: expected a YAML value ({' '.join(str(error).split())}); {QUOTED}"
            ) from error
    if not {"image_size", "spacing_mm", "longest_side"} & values.keys():
        values |= FIRST_LOOK
    try:
        return DataConfig.model_validate(values)
    except ValidationError as error:
        raise ValueError("\n".join(_explain(*each) for each in mistakes(error))) from error


def _explain(error: "ErrorDetails", message: str) -> str:
    """One line for a mistake, with the nearest key where there is none of the name."""
    import difflib

    from trainables.config import DataConfig

    name = ".".join(map(str, error["loc"]))
    if error["type"] == "extra_forbidden":
        near = difflib.get_close_matches(name, DataConfig.model_fields, 1)
        return f"unknown key '{name}'" + (f"; did you mean '{near[0]}'?" if near else "")
    return ": ".join(filter(None, (name, message)))


def _write_files(found: "Inspection", options: argparse.Namespace) -> None:
    import json

    from trainables.data.contact_sheet import write_contact_sheet
    from trainables.data.splits import as_nnunet_split

    if options.picture and found.examples and found.dataset:
        write_contact_sheet(options.picture, found.examples, found.dataset.class_names)
        print(f"{len(found.examples)} slices with outlined masks: {options.picture}")
    if options.write_split and found.dataset and found.parts:
        split = as_nnunet_split(found.dataset.volumes, found.parts)
        options.write_split.parent.mkdir(parents=True, exist_ok=True)
        options.write_split.write_text(json.dumps(split, indent=1) + "\n")
        print(f"split: {options.write_split}")


def _show_natural(root: Path) -> int:
    from trainables.data.dataset import DataError
    from trainables.data.inspection_tables import console, next_natural, print_natural, print_problems
    from trainables.data.natural import inspect_natural
    from trainables.data.progress import counted

    try:
        with counted("decoding", console(sys.stderr)) as progress:
            counts, problems = inspect_natural(root, progress)
    except DataError as error:
        print_problems(error.problems, console(sys.stdout), root)
        return REFUSED
    out = console(sys.stdout)
    print_natural(root, counts, out)
    print_problems(problems, out, root)
    if not problems:
        out.print(f"next: {next_natural(root)}", soft_wrap=True, markup=False)
    return REFUSED if problems else USABLE


if __name__ == "__main__":
    sys.exit(main())

"""An inspection as tables on a terminal.

In: an Inspection. Out: what was found, classes, split and pool, warnings, and a table of every problem.
"""

import json
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TextIO

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from trainables.data.dataset import Dataset, Problem
from trainables.data.decoded import VolumeFacts
from trainables.data.inspection import FIRST_LOOK, Inspection
from trainables.data.progress import LOG_WIDTH
from trainables.data.splits import PARTS

SMALLEST_COUNT = 3  # labels with which the suggested sweep may begin
MAX_COUNTS = 5


def console(stream: TextIO) -> Console:
    """Return a console; away from a terminal its lines are wide, so that paths stay whole in a log."""
    width = None if stream.isatty() else LOG_WIDTH
    return Console(file=stream, width=width, highlight=False, markup=False, emoji=False)


def print_inspection(found: Inspection, out: Console) -> None:
    """Print everything."""
    if found.dataset is not None:
        out.print(Text(f"{found.dataset.root}"), soft_wrap=True)
        out.print(_overview(found))
        if found.facts:
            out.print(_classes(found))
        if found.parts:
            out.print(_split(found))
    for warning in found.warnings:
        out.print(Text(f"warning: {warning}"))
    print_problems(found.problems, out, found.given.root)
    if not found.problems:
        out.print(Text(f"next: {next_pool(found) if found.is_pool else next_command(found)}"), soft_wrap=True)


def next_pool(found: Inspection) -> str:
    """Say which setting takes unlabelled images, and what to do if they should have had masks."""
    where = shlex.quote(str(found.given.root))
    return (
        f"pretrain on them with data.unlabelled_root={where}, beside images with masks in data.root, which takes no "
        "folder without; no mask was found by its name: where some should be, docs/your-data.md has the layouts"
    )


def next_command(found: Inspection) -> str:
    """Return the sweep to start with: label counts that grow fourfold, up to all training slices or patients."""
    train = [facts for facts in found.facts if found.parts.get(facts.patient) == "train"]
    patients, slices = len({facts.patient for facts in train}), sum(facts.num_slices for facts in train)
    available = patients if found.config.label_unit == "patients" else slices
    counts = [available]
    while counts[0] >= 4 * SMALLEST_COUNT and len(counts) < MAX_COUNTS:
        counts.insert(0, round(counts[0] / 4))
    if len(counts) == 1 and available > SMALLEST_COUNT:  # one count alone tells nothing of the labels needed
        counts.insert(0, round(available / 4))
    names = ("root", *sorted(found.given.model_fields_set - {"root", *FIRST_LOOK}))
    given = {key: getattr(found.given, key) for key in names if getattr(found.given, key) is not None}
    sizes = {key: getattr(found.given, key) for key in FIRST_LOOK}
    given |= sizes if sizes != FIRST_LOOK else {}  # which the preset has
    keys = " ".join(f"data.{key}={shlex.quote(_text(value))}" for key, value in given.items())
    listed_counts = ",".join(map(str, counts))
    return f"python -m sweep.data_efficiency --preset small {keys} grid.label_counts=[{listed_counts}] --dry-run"


def _text(value: object) -> str:
    """Write a value as an override takes it; YAML reads JSON."""
    return json.dumps(value) if value is None or isinstance(value, (dict, list, tuple)) else str(value)


def print_problems(problems: Sequence[Problem], out: Console, root: Path | None = None) -> None:
    """Print a table of problems, or that there are none; places below ``root`` by their path in it."""
    if not problems:
        out.print("no problems found")
        return
    number = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    table = Table(title=f"{number}: nothing would be trained", title_justify="left", box=box.ROUNDED)
    for name in ("where", "found", "expected", "what to do"):
        table.add_column(name, overflow="fold")
    for problem in problems:
        where = problem.where.removeprefix(f"{root.absolute()}/") if root else problem.where
        table.add_row(*map(Text, (where, problem.found, problem.expected, problem.remedy)))
    out.print(table)


def print_natural(root: Path, counts: Mapping[str, int], out: Console) -> None:
    """Print how many images each class has."""
    out.print(Text(f"natural images in {root}"), soft_wrap=True)
    table = _pairs()
    table.add_row("format", "imagefolder")
    table.add_row("classes", str(len(counts)))
    table.add_row("images", f"{sum(counts.values())}, {_range(counts.values())} in a class")
    out.print(table)


def next_natural(root: Path) -> str:
    """Say which settings take natural images, and how to look at them as those of patients."""
    return (
        f"pretrain on them with natural.source=folder natural.root={shlex.quote(str(root))}; if the subfolders are "
        "patients and not classes, look at them with --format unlabelled"
    )


def _pairs() -> Table:
    table = Table(show_header=False, box=box.ROUNDED)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    return table


def _overview(found: Inspection) -> Table:
    dataset, facts = found.dataset, found.facts
    assert dataset is not None
    table = _pairs()
    for name, text in (_of_pool(found) if found.is_pool else _of_labelled(dataset, facts)).items():
        table.add_row(name, Text(text))
    every = found.unlabelled if found.is_pool else facts
    for name, text in (_measured(every) if every else {}).items():
        table.add_row(name, Text(text))
    if facts:
        table.add_row("decoded", f"{found.decoded_bytes / 2**20:.1f} MiB at {found.config.image_size} px, once a node")
    return table


def _of_pool(found: Inspection) -> dict[str, str]:
    assert found.dataset is not None
    volumes, facts = found.dataset.unlabelled, found.unlabelled
    return {
        "format": "unlabelled: a pool of images without masks",
        "channels": _channels(found.dataset),
        "patients": f"{len({volume.patient for volume in volumes})}, as folders and names tell them",
        "volumes": f"{len(volumes)}, of which {len(facts)} could be used",
        "slices": f"{sum(each.num_slices for each in facts)}, all frames of cines among them",
    }


def _of_labelled(dataset: Dataset, facts: Sequence[VolumeFacts]) -> dict[str, str]:
    slices, foreground = sum(each.num_slices for each in facts), sum(each.foreground_slices for each in facts)
    patients = {volume.patient for volume in dataset.volumes}
    return {
        "format": dataset.format,
        "channels": _channels(dataset),
        "patients": str(len(patients)),
        "volumes": f"{len(dataset.volumes)} with a mask, of which {len(facts)} could be used",
        "phases": _counted(volume.phase or "(none)" for volume in dataset.volumes),
        "groups": _counted({volume.patient: volume.group for volume in dataset.volumes}.values()),
        "slices": f"{slices}, {foreground} with foreground and {slices - foreground} without",
    }


def _channels(dataset: Dataset) -> str:
    return f"{dataset.num_channels} ({', '.join(dataset.channel_names)})"


def _measured(facts: Sequence[VolumeFacts]) -> dict[str, str]:
    masks = {"mask types": _counted(each.mask_dtype for each in facts)} if any(f.mask_dtype for f in facts) else {}
    return {
        "slices a volume": _range(each.num_slices for each in facts),
        "size, pixels": f"{_range(f.rows for f in facts)} rows, {_range(f.columns for f in facts)} columns",
        "pixel, mm": _spacings(facts),
        "image types": _counted(each.dtype for each in facts),
        **masks,
        "intensities": f"{min(f.lowest for f in facts):g} to {max(f.highest for f in facts):g}; "
        f"the volumes' largest {_range(f.highest for f in facts)}",
    }


def _counted(values: Iterable[str]) -> str:
    counts = Counter(values)
    shown = [f"{name} {number}" for name, number in sorted(counts.items())[:8]]
    return ", ".join(shown) + (f", ... ({len(counts)} in all)" if len(counts) > 8 else "")


def _range(values: Iterable[float]) -> str:
    every = list(values)
    low, high = min(every), max(every)
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def _spacings(facts: Sequence[VolumeFacts]) -> str:
    known = [value for each in facts if each.spacing_mm for value in each.spacing_mm]
    return _range(round(value, 3) for value in known) if known else "not in the files"


def _classes(found: Inspection) -> Table:
    assert found.dataset is not None
    table = Table(title="classes", title_justify="left", box=box.ROUNDED)
    for name in ("class", "value in masks", "slices", "patients", "share of pixels drawn"):
        table.add_column(name, justify="left" if name == "class" else "right")
    total = sum(sum(each.class_pixels) for each in found.facts)
    for index, name in enumerate(found.dataset.class_names):
        slices = sum(each.class_slices[index] for each in found.facts)
        patients = {each.patient for each in found.facts if each.class_slices[index]}
        pixels = sum(each.class_pixels[index] for each in found.facts)
        value = str(found.dataset.label_values[index + 1])
        table.add_row(name, value, str(slices), str(len(patients)), _share(pixels, total))
    return table


def _share(pixels: int, total: int) -> str:
    """Write a share so that what is rare does not look absent."""
    share = pixels / max(total, 1)
    return f"{share:.1%}" if share >= 0.0005 or not pixels else "<0.1%"


def _split(found: Inspection) -> Table:
    table = Table(title=f"split: {found.config.split}", title_justify="left", box=box.ROUNDED)
    for name in ("part", "patients", "slices", "with foreground", "groups"):
        table.add_column(name, justify="left" if name in ("part", "groups") else "right", overflow="fold")
    for part in PARTS:
        facts = [each for each in found.facts if found.parts.get(each.patient) == part]
        groups = _counted({each.patient: each.group for each in facts}.values())
        table.add_row(part, *_numbers(facts), str(sum(each.foreground_slices for each in facts)), groups)
    if found.unlabelled:
        table.add_row("unlabelled", *_numbers(found.unlabelled), "", "never of validation or test")
    return table


def _numbers(facts: Sequence[VolumeFacts]) -> tuple[str, str]:
    return str(len({each.patient for each in facts})), str(sum(each.num_slices for each in facts))

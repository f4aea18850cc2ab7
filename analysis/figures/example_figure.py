"""Draw example segmentations: a column for each slice, the truth on top, then a row for each arm.

In: Findings. Out: a figure for the fewest and one for the most labels, narrow enough to be read on a telephone. Each
class has a colour of Okabe and Ito's colour-blind-safe set; what is predicted is solid and what is true is dashed, so
that no figure relies on colour alone.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from analysis.counted import labels, number
from analysis.figures.captions import caption
from analysis.figures.drawing import Drawing, arm_id
from analysis.figures.examples import ExampleSheet, ExampleSlice, Pixels, example_sheets
from analysis.figures.panels import short
from analysis.findings import Findings

COLOURS = ("#E69F00", "#56B4E9", "#CC79A7", "#009E73", "#F0E442", "#D55E00", "#0072B2")
TRUTH_COLOUR = "white"
PANEL, GAP, NAME, HEAD, FOOT = 1.2, 0.05, 0.24, 0.9, 0.5  # inches
MARGIN = 0.15  # of the cut's side, around all masks
LONGEST_PATIENT = 16


def draw_examples(findings: Findings) -> list[Drawing]:
    """Draw the sheets of examples that the results hold."""
    sheets = example_sheets(findings)
    names = ("examples_fewest_labels", "examples_most_labels")
    return [_draw(name, sheet, findings) for name, sheet in zip(names, sheets, strict=False)]


def _draw(name: str, sheet: ExampleSheet, findings: Findings) -> Drawing:
    rows = ["truth", *findings.headline]
    width = 3 * PANEL + 4 * GAP
    height = HEAD + len(rows) * (NAME + PANEL) + FOOT
    figure = Figure(figsize=(width, height))
    for column, each in enumerate(sheet.slices):
        left = GAP + column * (PANEL + GAP)
        _head(figure, each, (left + PANEL / 2) / width, height)
        for row, variant in enumerate(rows):
            bottom = height - HEAD - (row + 1) * (NAME + PANEL)
            panel = figure.add_axes((left / width, bottom / height, PANEL / width, PANEL / height))
            _panel(panel, each, variant)
    for row, variant in enumerate(rows):
        top = height - HEAD - row * (NAME + PANEL) - 0.17
        figure.text(GAP / width, top / height, short(variant), fontsize=8.5, weight="bold")
    title = labels(sheet.label_count, findings.results.label_unit)
    figure.text(0.5, 1 - 0.17 / height, title, fontsize=9.5, weight="bold", ha="center")
    _legend(figure, sheet, findings)
    fixed = f"{number(sheet.num_slices, 'test slice')} {'was' if sheet.num_slices == 1 else 'were'}"
    words = {"count": title, "seed": sheet.seed, "num_slices": fixed, "scores": _scores(sheet)}
    return Drawing(name, *caption("examples", findings, words), figure)


def _head(figure: Figure, each: ExampleSlice, centre: float, height: float) -> None:
    patient = each.patient if len(each.patient) <= LONGEST_PATIENT else f"…{each.patient[1 - LONGEST_PATIENT :]}"
    place = f"{each.phase}, slice {each.slice_index + 1}".removeprefix(", ")
    lines = (each.rank, f"mean Dice {each.mean_dice:.2f}", patient, place)
    for line, words in enumerate(lines):
        y = (height - 0.38 - 0.15 * line) / height
        figure.text(centre, y, words, ha="center", fontsize=8, weight="bold" if line == 0 else "normal")


def _panel(panel: Axes, each: ExampleSlice, variant: str) -> None:
    """Draw one slice with the outlines of the truth, or with those of a variant over it."""
    rows, columns = _cut(each)
    panel.imshow(each.image[rows, columns], cmap="gray", vmin=0, vmax=255, interpolation="none")
    panel.set_axis_off()
    truth = each.truth[rows, columns]
    if variant == "truth":
        _outline(panel, truth, None, "solid")
        return
    panel.set_gid(arm_id(variant))
    _outline(panel, truth, TRUTH_COLOUR, "dashed")
    found = each.predictions.get(variant)
    if found:
        _outline(panel, found.mask[rows, columns], None, "solid")
    box = {"facecolor": "black", "alpha": 0.65, "edgecolor": "none", "pad": 1.5}
    words = f"{found.dice:.2f}" if found else "no example"
    panel.text(0.03, 0.04, words, transform=panel.transAxes, color="white", fontsize=8, bbox=box)


def _cut(each: ExampleSlice) -> tuple[slice, slice]:
    """Return the square part of the slice in which any mask lies, with a margin."""
    masks = [each.truth, *(found.mask for found in each.predictions.values())]
    rows, columns = np.nonzero(np.any([mask > 0 for mask in masks], axis=0))
    size = len(each.image)
    span = 1 + max(np.ptp(rows), np.ptp(columns))
    side = min(size, int(np.ceil(span * (1 + 2 * MARGIN))))
    starts = [min(max(0, (int(axis.min()) + int(axis.max()) + 1 - side) // 2), size - side) for axis in (rows, columns)]
    return slice(starts[0], starts[0] + side), slice(starts[1], starts[1] + side)


def _outline(panel: Axes, mask: Pixels, colour: str | None, style: str) -> None:
    """Draw the outline of every class; a colour of its own stands out from black and white alike."""
    places = np.arange(-1, len(mask) + 1)
    for index in (int(each) for each in np.unique(mask) if each):
        inside = np.pad(mask == index, 1).astype(float)  # closed where a structure leaves the cut
        lines = panel.contour(
            places, places, inside, [0.5], colors=[colour or _colour(index)], linewidths=1.1, linestyles=style
        )
        if colour:
            lines.set_path_effects([withStroke(linewidth=2.0, foreground="0.15")])
    panel.set_xlim(-0.5, len(mask) - 0.5)
    panel.set_ylim(len(mask) - 0.5, -0.5)


def _colour(class_index: int) -> str:
    return COLOURS[(class_index - 1) % len(COLOURS)]


def _legend(figure: Figure, sheet: ExampleSheet, findings: Findings) -> None:
    cases = findings.results.cases
    names = dict(zip(cases["class_index"], cases["class_name"], strict=True))
    shown = [
        mask for each in sheet.slices for mask in (each.truth, *(found.mask for found in each.predictions.values()))
    ]
    classes = sorted({int(index) for mask in shown for index in np.unique(mask) if index})
    handles = [
        Line2D([], [], color=_colour(each), lw=2, label=str(names.get(each, f"class {each}"))) for each in classes
    ]
    handles.append(Line2D([], [], color=TRUTH_COLOUR, lw=1.5, ls="dashed", label="truth"))
    legend = figure.legend(
        handles=handles,
        loc="lower center",
        ncols=2,
        fontsize=8,
        facecolor="0.25",
        edgecolor="none",
        labelcolor="white",
        framealpha=1,
        handlelength=1.6,
        columnspacing=1.2,
    )
    legend.set_in_layout(False)


def _scores(sheet: ExampleSheet) -> str:
    """Say every Dice that is shown, for those who do not see it."""
    shown = [(variant, found.dice) for each in sheet.slices for variant, found in each.predictions.items()]
    variants = dict.fromkeys(variant for variant, _ in shown)
    values = {name: ", ".join(f"{score:.2f}" for variant, score in shown if variant == name) for name in variants}
    return "; ".join(f"{name} {numbers}" for name, numbers in values.items())

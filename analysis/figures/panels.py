"""What all figures share: panels, an arm's colour and marker, intervals, the legend. The only home of seaborn.

In: Findings. Out: matplotlib figures and marks, drawn without pyplot and so without a display or global state. Every
arm keeps its colour and marker in all figures; the colours are seaborn's colour-blind palette, and no figure relies on
colour alone.
"""

import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.captions import caption
from analysis.figures.drawing import STYLE, Drawing, arm_id
from analysis.findings import Findings
from analysis.intervals.uncertainty import Floats

LONGEST_NAME, NUM_LAST = 44, 16  # characters of a name, and of these after an ellipsis
MARKERS = "osD^vPX*<>"
FIGURE_STYLE = {**seaborn.axes_style("whitegrid"), **STYLE}
Colour = tuple[float, float, float]


def panels(count: int, columns: int, width: float, height: float, left: float = 0.0) -> tuple[Figure, list[Axes]]:
    """Return a figure with ``count`` panels in rows of ``columns``; sizes in inches a panel."""
    columns = min(count, columns)
    rows = -(-count // columns)
    figure = Figure(figsize=(left + width * columns, height * rows + 0.3), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for empty in axes[count:]:
        empty.remove()
    return figure, axes[:count]


def drawn(name: str, findings: Findings, figure: Figure) -> Drawing:
    """Lay a figure out, once and not anew for every file, and give it its words."""
    engine = figure.get_layout_engine()
    if engine:
        engine.execute(figure)
    figure.set_layout_engine(None)  # "none" would leave one that does nothing, for which each file is drawn twice
    text, alt = caption(name, findings)
    return Drawing(name, text, alt, figure)


def look(findings: Findings, variant: str) -> tuple[Colour, str]:
    """Return an arm's colour and marker; the same in every figure, and for all numbers of epochs."""
    arms = sorted(findings.variants["arm"].unique())
    arm = dict(zip(findings.variants["variant"], findings.variants["arm"], strict=True))[variant]
    palette = [*seaborn.color_palette("colorblind")[:6], *seaborn.color_palette("dark")]
    return palette[arms.index(arm) % len(palette)], MARKERS[arms.index(arm) % len(MARKERS)]


def shades(count: int) -> list[Colour]:
    """Return colours of rising darkness, for label counts."""
    return list(seaborn.color_palette("crest", count))


def whiskers(panel: Axes, places: Floats, lows: Floats, highs: Floats, colour: Colour, variant: str = "") -> None:
    """Draw intervals as upright bars behind their points; none where an end is NaN."""
    gid = arm_id(variant) if variant else None
    panel.vlines(places, lows, highs, color=colour, lw=2, alpha=0.5, gid=gid, zorder=1.5)


def legend(figure: Figure, panel: Axes, columns: int, title: str | None = None) -> None:
    """Place the legend below the panels, where it covers no data."""
    handles, labels = panel.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False, fontsize=9, title=title)


def short(name: str) -> str:
    """Leave out the middle of a name that is longer than any panel has room for."""
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[: LONGEST_NAME - NUM_LAST - 1]}…{name[-NUM_LAST:]}"  # epochs stand last


def wrap(name: str) -> str:
    """Break an arm's long name where its parts join."""
    name = short(name)
    return name.replace(", ", "\n").replace("+", " +\n", 1) if len(name) > 26 else name

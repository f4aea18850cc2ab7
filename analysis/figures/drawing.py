"""A figure with its words, as SVG and PNG, and marks in the SVG that a browser understands.

In: a matplotlib figure. Out: files, and SVG text whose marks carry their arm (``data-arm``) and show a point's numbers
where a pointer rests on it. Printed, the figure is whole.
"""

import io
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

STYLE: dict[Any, Any] = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": "0.9",
    "svg.fonttype": "none",
    "svg.hashsalt": "labelcurve",
    "font.sans-serif": ["DejaVu Sans", "Arial", "Helvetica"],
    "text.parse_math": False,  # a name may hold two dollars
}


@dataclass(frozen=True)
class Drawing:
    """A figure with the words that go with it."""

    name: str
    caption: str
    alt: str
    figure: Figure

    def save(self, folder: Path) -> None:
        """Write the figure as SVG and PNG."""
        folder.mkdir(parents=True, exist_ok=True)
        with matplotlib.rc_context(STYLE):
            (folder / f"{self.name}.svg").write_text(self.svg)
            self.figure.savefig(folder / f"{self.name}.png", format="png", dpi=140)

    @cached_property
    def svg(self) -> str:
        """Return the figure as an SVG element; equal findings give equal text."""
        buffer = io.StringIO()
        with matplotlib.rc_context(STYLE):
            self.figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
        text = buffer.getvalue()
        return _with_marks(text[text.index("<svg") :])


def arm_id(variant: str) -> str:
    """Return the id that says whose mark this is."""
    return f"arm {variant}"


def tip(panel: Axes, x: float, y: float, variant: str, words: str) -> None:
    """Lay an unseen mark on a point that says its numbers where a pointer rests on it."""
    if np.isfinite(x) and np.isfinite(y):
        panel.plot(x, y, "o", ms=13, alpha=0.0, gid=f"tip {variant}|{variant}: {words}")


def _with_marks(svg: str) -> str:
    """Turn the ids that ``arm_id`` and ``tip`` gave into what a browser understands: data-arm and a title on hover.

    Pictures lose theirs, which matplotlib makes of their pixels: a picture that is shown twice would have one id.
    """
    svg = re.sub(r'(<image\b[^>]*?)\sid="[^"]*"', r"\1", svg)
    svg = re.sub(r'<g id="arm ([^"]*)"(/?)>', r'<g data-arm="\1"\2>', svg)  # marks of nothing close at once
    return re.sub(r'<g id="tip ([^"]*)\|(\1: [^"]*)">', r'<g data-arm="\1" class="tip"><title>\2</title>', svg)

"""Draw the findings. The only home of matplotlib and seaborn.

In: Findings. Out: matplotlib figures, drawn without pyplot and so without a display or global state. Every
arm keeps its colour and marker in all figures; the colours are seaborn's colour-blind palette, and no figure
relies on colour alone.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, FuncFormatter, NullLocator

from analysis.captions import caption
from analysis.findings import Findings, epoch_ladder
from analysis.law_fit import LawFit
from analysis.uncertainty import Floats, t_interval

MARKERS = "osD^vPX*<>"
STYLE: dict[Any, Any] = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": "0.9",
    "svg.fonttype": "none",
    "svg.hashsalt": "labelcurve",
    "font.sans-serif": ["DejaVu Sans", "Arial", "Helvetica"],
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
        return text[text.index("<svg") :]


def draw_all(findings: Findings) -> list[Drawing]:
    """Draw every figure that the findings have data for."""
    makers: list[Callable[[Findings], Drawing | None]] = [
        error_vs_labels,
        fitted_laws,
        paired_differences,
        label_equivalence,
        convergence_curves,
        speed_ups,
        pretraining_epochs,
    ]
    with matplotlib.rc_context({**seaborn.axes_style("whitegrid"), **STYLE}):
        drawings = [make(findings) for make in makers]
    return [drawing for drawing in drawings if drawing]


def error_vs_labels(findings: Findings) -> Drawing | None:
    """Draw median test error against labels, all headline variants, with every seed as a faint point."""
    figure, axes = _panels(1, 1, 8.2, 4.6)
    shifts = np.geomspace(0.96, 1.04, len(findings.headline))
    for variant, shift in zip(findings.headline, shifts, strict=True):
        colour, marker = _look(findings, variant)
        errors, medians = findings.errors[variant], findings.medians(variant)
        known = ~np.isnan(medians)
        seeds, columns = np.nonzero(~np.isnan(errors))
        axes[0].plot(
            findings.label_counts[columns] * shift,
            errors[seeds, columns],
            marker,
            color=colour,
            ms=3.5,
            alpha=0.35,
        )
        axes[0].plot(
            findings.label_counts[known] * shift,
            medians[known],
            marker=marker,
            color=colour,
            ms=6,
            lw=1.6,
            label=variant,
        )
    _label_axis(axes[0], findings)
    _error_axis(axes[0])
    _legend(figure, axes[0], 2)
    return _drawing("error_vs_labels", findings, figure)


def fitted_laws(findings: Findings) -> Drawing | None:
    """Draw each headline variant's points with its fitted law and band, one panel per variant."""
    figure, axes = _panels(len(findings.headline), 3, 3.0, 2.6)
    counts = findings.label_counts
    grid = np.geomspace(counts[0], counts[-1], 100)
    reference = findings.medians(findings.reference)
    for panel, variant in zip(axes, findings.headline, strict=False):
        colour, marker = _look(findings, variant)
        errors, fit = findings.errors[variant], findings.laws[variant]
        known = ~np.isnan(reference)
        panel.plot(counts[known], reference[known], color="0.55", lw=1, ls=":", label="reference median")
        seeds, columns = np.nonzero(~np.isnan(errors))
        panel.plot(counts[columns], errors[seeds, columns], marker, color=colour, ms=4, alpha=0.7)
        if isinstance(fit, LawFit):
            low, high = fit.band(grid, findings.results.options.confidence)
            panel.fill_between(grid, low, high, color=colour, alpha=0.2, lw=0)
            panel.plot(grid, fit.law.error(grid), color=colour, lw=1.6)
            panel.text(0.97, 0.95, _law_text(fit), transform=panel.transAxes, ha="right", va="top", fontsize=8.5)
        else:
            panel.text(0.97, 0.95, "no law fitted", transform=panel.transAxes, ha="right", va="top", fontsize=8.5)
        panel.set_title(_wrap(variant), fontsize=9)
        _label_axis(panel, findings)
        _error_axis(panel)
    _share_limits(axes)
    return _drawing("fitted_laws", findings, figure)


def paired_differences(findings: Findings) -> Drawing | None:
    """Draw the mean paired difference to the reference with its t interval, one panel per label count."""
    items = [d for d in findings.differences if d.variant in findings.headline and d.difference.estimate.num_seeds]
    counts = sorted({item.label_count for item in items})
    variants = [name for name in findings.headline if name != findings.reference]
    if not items:
        return None
    figure, axes = _panels(len(counts), min(len(counts), 5), 1.75, 0.9 + 0.34 * len(variants), left=2.3)
    for panel, count in zip(axes, counts, strict=False):
        panel.axvline(0, color="0.3", lw=1)
        for item in (item for item in items if item.label_count == count):
            colour, marker = _look(findings, item.variant)
            estimate, row = item.difference.estimate, variants.index(item.variant)
            panel.plot([estimate.low, estimate.high], [row, row], color=colour, lw=2)
            panel.plot(estimate.value, row, marker, color=colour, ms=6)
        panel.set_title(f"{count} {findings.results.label_unit}", fontsize=9)
        panel.set_ylim(len(variants) - 0.5, -0.5)
        panel.yaxis.set_major_locator(FixedLocator(list(range(len(variants)))))
        first = panel is axes[0] or len(counts) > 5
        panel.yaxis.set_major_formatter(FixedFormatter([_wrap(name) if first else "" for name in variants]))
        panel.locator_params(axis="x", nbins=3)
        panel.tick_params(labelsize=8)
    figure.supxlabel(f"error - error of {findings.reference}   (left of 0: better)", fontsize=9)
    return _drawing("paired_differences", findings, figure)


def label_equivalence(findings: Findings) -> Drawing | None:
    """Draw how many labels of the reference an arm's labels are worth, with open arrows at the edges."""
    figure, axes = _panels(1, 1, 8.2, 4.6)
    panel, counts = axes[0], findings.label_counts
    edge_low, edge_high = counts[0] / 1.35, counts[-1] * 1.35
    panel.plot(counts, counts, color="0.3", lw=1, ls="--", label=f"{findings.reference} (equal worth)")
    others = [name for name in findings.headline if name != findings.reference]
    shifts = np.geomspace(0.92, 1.08, len(others)) if others else np.ones(0)
    for variant, shift in zip(others, shifts, strict=True):
        colour, marker = _look(findings, variant)
        items = findings.equivalences[variant]
        x = np.array([item.label_count for item in items]) * shift
        worth, low, high = (
            np.clip([getattr(item.worth, name) for item in items], edge_low, edge_high)
            for name in ("labels", "low", "high")
        )
        panel.plot(x, worth, marker=marker, color=colour, ms=5.5, lw=1, label=variant)
        panel.vlines(x, low, high, color=colour, lw=2, alpha=0.5)
    for edge, words, align in (
        (edge_low, "fewer than measured", "top"),
        (edge_high, "more than measured", "bottom"),
    ):
        panel.axhline(edge, color="0.75", lw=0.8)
        panel.text(counts[-1] * 1.2, edge, words, fontsize=8, color="0.35", va=align, ha="right")
    _label_axis(panel, findings)
    panel.set_yscale("log")
    panel.yaxis.set_major_locator(FixedLocator(counts.tolist()))
    panel.yaxis.set_major_formatter(FixedFormatter([f"{count:.0f}" for count in counts]))
    panel.yaxis.set_minor_locator(NullLocator())
    panel.set_ylim(edge_low / 1.3, edge_high * 1.3)
    panel.set_ylabel(f"worth this many {findings.results.label_unit}\nof {findings.reference}")
    _legend(figure, panel, 2)
    return _drawing("label_equivalence", findings, figure)


def convergence_curves(findings: Findings) -> Drawing | None:
    """Draw mean validation Dice against steps at the fewest, a middle and the most labels, with t
    intervals.
    """
    counts = [int(count) for count in findings.label_counts]
    chosen = sorted({counts[0], counts[len(counts) // 2], counts[-1]})
    curves = findings.results.curves.merge(findings.results.cells[["cell_id", "variant", "label_count", "seed"]])
    if curves["val_dice"].isna().all():
        return None
    figure, axes = _panels(len(chosen), 3, 3.1, 3.3)
    for panel, count in zip(axes, chosen, strict=False):
        for variant in findings.headline:
            rows = curves[(curves["variant"] == variant) & (curves["label_count"] == count)]
            if not rows.empty:
                table = rows.pivot_table(index="step", columns="seed", values="val_dice", aggfunc="mean")
                _band(
                    panel,
                    table.index.to_numpy(dtype=np.float64),
                    table.to_numpy(dtype=np.float64),
                    findings,
                    variant,
                )
        if count in findings.convergence.targets:
            panel.axhline(findings.convergence.targets[count], color="0.2", lw=1, ls="--")
        panel.set_title(f"{count} {findings.results.label_unit}", fontsize=9.5)
        panel.set_xlabel("optimiser step")
        panel.set_ylim(0, 1)
    axes[0].set_ylabel("validation Dice")
    _legend(figure, axes[0], 2)
    return _drawing("convergence", findings, figure)


def speed_ups(findings: Findings) -> Drawing | None:
    """Draw the speed-up against the reference for every headline variant and label count."""
    study = findings.convergence
    variants = [name for name in findings.headline if name != findings.reference]
    counts = list(study.targets)
    if not variants or not counts:
        return None
    figure, axes = _panels(1, 1, 8.2, 4.2)
    panel = axes[0]
    panel.axhline(1.0, color="0.3", lw=1)
    shifts = np.geomspace(0.9, 1.1, len(variants))
    for variant, shift in zip(variants, shifts, strict=True):
        colour, marker = _look(findings, variant)
        results = {count: study.speed_up(variant, count) for count in counts}
        x = np.array(counts) * shift
        values = np.array([result.ratio.value for result in results.values()])
        exact = np.array([result.bound == "exact" for result in results.values()])
        low, high = (np.array([getattr(r.ratio, end) for r in results.values()]) for end in ("low", "high"))
        panel.vlines(x, low, high, color=colour, lw=2, alpha=0.5)
        panel.plot(x, values, color=colour, lw=0.8, alpha=0.6)
        for chosen, face in ((exact, colour), (~exact, "white")):
            panel.plot(x[chosen], values[chosen], marker, mec=colour, mfc=face, ms=6, ls="none")
        panel.plot([], [], marker, color=colour, ms=6, label=variant)
    _label_axis(panel, findings)
    panel.set_yscale("log")
    _plain_log(panel)
    _limit_ratio(panel, findings)
    panel.set_ylabel(f"times as fast as\n{findings.reference}")
    _legend(figure, panel, 2)
    return _drawing("speed_up", findings, figure)


def pretraining_epochs(findings: Findings) -> Drawing | None:
    """Draw test error against pretraining epochs, one panel per arm with epochs, one line per label count."""
    arms = [str(arm) for arm in findings.variants.loc[findings.variants["pretraining_epochs"] > 0, "arm"].unique()]
    if not arms:
        return None
    figure, axes = _panels(len(arms), 3, 3.1, 3.0)
    shades = seaborn.color_palette("crest", len(findings.label_counts))
    for panel, arm in zip(axes, arms, strict=False):
        ladder = epoch_ladder(findings.variants, arm)
        places = list(range(len(ladder)))
        medians = np.stack([findings.medians(variant) for variant in ladder.values()])
        for index, count in enumerate(findings.label_counts):
            panel.plot(places, medians[:, index], marker="o", ms=5, color=shades[index], lw=1.5, label=f"{count:.0f}")
        panel.xaxis.set_major_locator(FixedLocator(places))
        panel.xaxis.set_major_formatter(FixedFormatter([str(number) for number in ladder]))
        panel.set_xlim(-0.4, len(places) - 0.6)
        panel.set_xlabel("pretraining epochs")
        panel.set_title(_wrap(arm), fontsize=9)
        _error_axis(panel)
    _share_limits(axes)
    _legend(figure, axes[0], len(findings.label_counts), title=f"labelled {findings.results.label_unit}")
    return _drawing("pretraining_epochs", findings, figure)


def _drawing(name: str, findings: Findings, figure: Figure) -> Drawing:
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # laid out once, not anew for every file
    text, alt = caption(name, findings)
    return Drawing(name, text, alt, figure)


def _panels(count: int, columns: int, width: float, height: float, left: float = 0.0) -> tuple[Figure, list[Axes]]:
    columns = min(count, columns)
    rows = -(-count // columns)
    figure = Figure(figsize=(left + width * columns, height * rows + 0.3), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for empty in axes[count:]:
        empty.remove()
    return figure, axes[:count]


def _look(findings: Findings, variant: str) -> tuple[tuple[float, float, float], str]:
    """Return an arm's colour and marker; the same in every figure, and for all numbers of epochs."""
    arms = sorted(findings.variants["arm"].unique())
    arm = dict(zip(findings.variants["variant"], findings.variants["arm"], strict=True))[variant]
    palette = [*seaborn.color_palette("colorblind")[:6], *seaborn.color_palette("dark")]
    return palette[arms.index(arm) % len(palette)], MARKERS[arms.index(arm) % len(MARKERS)]


def _label_axis(panel: Axes, findings: Findings) -> None:
    counts = findings.label_counts
    panel.set_xscale("log")
    panel.xaxis.set_major_locator(FixedLocator(counts.tolist()))
    panel.xaxis.set_major_formatter(FixedFormatter([f"{count:.0f}" for count in counts]))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.set_xlim(counts[0] / 1.25, counts[-1] * 1.25)
    panel.set_xlabel(f"labelled {findings.results.label_unit}")
    if len(counts) > 6:
        panel.tick_params(axis="x", labelrotation=45)


def _error_axis(panel: Axes) -> None:
    panel.set_yscale("log")
    _plain_log(panel)
    panel.set_ylabel("test error (1 - Dice)")


def _plain_log(panel: Axes) -> None:
    """Label a logarithmic y axis with plain numbers at 1, 2, 5 of every decade."""
    ticks = [digit * 10.0**power for power in range(-4, 4) for digit in (1, 2, 3, 5)]
    panel.yaxis.set_major_locator(FixedLocator(ticks))
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panel.yaxis.set_minor_locator(NullLocator())


def _share_limits(axes: list[Axes]) -> None:
    low, high = min(panel.get_ylim()[0] for panel in axes), max(panel.get_ylim()[1] for panel in axes)
    for panel in axes:
        panel.set_ylim(low, high)


def _limit_ratio(panel: Axes, findings: Findings) -> None:
    """Keep wide intervals from hiding the points: show at most a factor 5 beyond the most extreme ratio."""
    study = findings.convergence
    values = [study.speed_up(name, count).ratio.value for name in findings.headline for count in study.targets]
    known = [value for value in values if not np.isnan(value)] or [1.0]
    low, high = panel.get_ylim()
    panel.set_ylim(max(low, min(known) / 5), min(high, max(known) * 5))


def _band(panel: Axes, steps: Floats, values: Floats, findings: Findings, variant: str) -> None:
    """Draw mean and t interval over seeds of (step, seed) values."""
    colour, marker = _look(findings, variant)
    estimates = [t_interval(row, findings.results.options.confidence) for row in values]
    means, lows, highs = (np.array([getattr(e, end) for e in estimates]) for end in ("value", "low", "high"))
    panel.fill_between(steps, lows.clip(0, 1), highs.clip(0, 1), color=colour, alpha=0.15, lw=0)
    panel.plot(
        steps,
        means,
        color=colour,
        lw=1.6,
        label=variant,
        marker=marker,
        ms=4,
        markevery=max(1, len(steps) // 6),
    )


def _legend(figure: Figure, panel: Axes, columns: int, title: str | None = None) -> None:
    """Place the legend below the panels, where it covers no data."""
    handles, labels = panel.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False, fontsize=9, title=title)


def _law_text(fit: LawFit) -> str:
    law, floor = fit.law, f"{fit.law.floor:.3f}"
    values = dict(zip(law.family.parameters, law.parameters, strict=True))
    if law.family.name not in ("power", "power with floor"):
        return f"{law.family.name}, floor {floor}"
    fall = f"{np.exp(values['log_scale']):.2f}·n^-{values['exponent']:.2f}"
    return f"e = {floor} + {fall}" if law.family.has_floor else f"e = {fall}"


def _wrap(name: str) -> str:
    return name.replace(", ", "\n").replace("+", " +\n", 1) if len(name) > 26 else name

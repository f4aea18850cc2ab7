"""Draw the findings. The only home of seaborn.

In: Findings. Out: matplotlib figures, drawn without pyplot and so without a display or global state. Every
arm keeps its colour and marker in all figures; the colours are seaborn's colour-blind palette, and no figure
relies on colour alone.
"""

from collections.abc import Callable

import matplotlib
import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator
from numpy.typing import NDArray

from analysis.axes import error_axis, label_axis, limit_mean, limit_ratio, plain_log, share_limits
from analysis.captions import caption
from analysis.convergence import SpeedUp
from analysis.distances import mean_distance
from analysis.drawing import STYLE, Drawing, arm_id, tip
from analysis.example_figure import draw_examples
from analysis.falling_curve import describe_labels, describe_labels_interval
from analysis.findings import Findings, epoch_ladder
from analysis.labels_needed import LabelEquivalence
from analysis.law_fit import LawFit
from analysis.uncertainty import Floats, t_interval
from analysis.volumes import mean_ejection_error

MARKERS = "osD^vPX*<>"
UP, DOWN = r"$\uparrow$", r"$\downarrow$"  # ends of intervals that go on


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
        distances_and_ejection,
    ]
    with matplotlib.rc_context({**seaborn.axes_style("whitegrid"), **STYLE}):
        drawings = [make(findings) for make in makers]
        return [*draw_examples(findings), *(drawing for drawing in drawings if drawing)]


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
            gid=arm_id(variant),
        )
        axes[0].plot(
            findings.label_counts[known] * shift,
            medians[known],
            marker=marker,
            color=colour,
            ms=6,
            lw=1.6,
            label=variant,
            gid=arm_id(variant),
        )
        for count, median, spread in zip(findings.label_counts, medians, errors.T, strict=True):
            seeds_known = spread[~np.isnan(spread)]
            words = f"{count:.0f} {findings.results.label_unit}, median error {median:.3f}"
            if len(seeds_known):
                words += f", {seeds_known.min():.3f} to {seeds_known.max():.3f} over {len(seeds_known)} seeds"
            tip(axes[0], count * shift, median, variant, words)
    label_axis(axes[0], findings)
    error_axis(axes[0])
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
        label_axis(panel, findings)
        error_axis(panel)
    share_limits(axes)
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
            gid = arm_id(item.variant)
            panel.plot([estimate.low, estimate.high], [row, row], color=colour, lw=2, gid=gid)
            panel.plot(estimate.value, row, marker, color=colour, ms=6, gid=gid)
            words = f"{count} {findings.results.label_unit}, {estimate.value:+.3f}"
            words += f" ({estimate.low:+.3f} to {estimate.high:+.3f})" if estimate.is_known else " (no interval)"
            tip(panel, estimate.value, row, item.variant, words)
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
        items, curve = findings.equivalences[variant], findings.equivalence_curves[variant]
        x, line = (np.array([item.label_count for item in each]) * shift for each in (items, curve))
        worth, *_ = _worths(items, edge_low, edge_high)
        middle, low, high = _worths(curve, edge_low, edge_high)
        panel.plot(x, worth, marker=marker, color=colour, ms=5.5, ls="none", gid=arm_id(variant))
        panel.plot(line, middle, color=colour, lw=1.2, gid=arm_id(variant))
        panel.plot([], [], marker=marker, color=colour, ms=5.5, lw=1.2, label=variant)
        panel.fill_between(line, low, high, color=colour, alpha=0.15, lw=0, gid=arm_id(variant))
        for item, place, height in zip(items, x, worth, strict=True):
            words = f"{item.label_count:.0f} are worth {describe_labels(item.worth.labels, counts, 'fewer than')}"
            interval = describe_labels_interval(item.worth.low, item.worth.high, counts, "fewer than")
            tip(panel, place, height, variant, f"{words} of {findings.reference} ({interval})")
    for edge, words, align in (
        (edge_low, "fewer than measured", "top"),
        (edge_high, "more than measured", "bottom"),
    ):
        panel.axhline(edge, color="0.75", lw=0.8)
        panel.text(counts[-1] * 1.2, edge, words, fontsize=8, color="0.35", va=align, ha="right")
    label_axis(panel, findings)
    panel.set_yscale("log")
    panel.yaxis.set_major_locator(FixedLocator(counts.tolist()))
    panel.yaxis.set_major_formatter(FixedFormatter([f"{count:.0f}" for count in counts]))
    panel.yaxis.set_minor_locator(NullLocator())
    panel.set_ylim(edge_low / 1.3, edge_high * 1.3)
    panel.set_ylabel(f"worth this many {findings.results.label_unit}\nof {findings.reference}")
    _legend(figure, panel, 2)
    return _drawing("label_equivalence", findings, figure)


def _worths(items: list[LabelEquivalence], lowest: float, highest: float) -> list[Floats]:
    """Return label equivalences with both ends, cut where the panel ends."""
    values = ([getattr(item.worth, name) for item in items] for name in ("labels", "low", "high"))
    return [np.clip(np.array(each, dtype=np.float64), lowest, highest) for each in values]


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
        panel.vlines(x, low, high, color=colour, lw=2, alpha=0.5, gid=arm_id(variant))
        for ends, uncut, arrow in ((low, "low", DOWN), (high, "high", UP)):
            is_open = _open_ends(list(results.values()), uncut)
            panel.plot(x[is_open], ends[is_open], marker=arrow, color=colour, ms=9, ls="none", gid=arm_id(variant))
        panel.plot(x, values, color=colour, lw=0.8, alpha=0.6, gid=arm_id(variant))
        for chosen, face in ((exact, colour), (~exact, "white")):
            panel.plot(x[chosen], values[chosen], marker, mec=colour, mfc=face, ms=6, ls="none", gid=arm_id(variant))
        for place, (count, result) in zip(x, results.items(), strict=True):
            ratio = result.ratio
            words = (
                f"{count} {findings.results.label_unit}, {ratio.value:.2f} times ({ratio.low:.2f} to {ratio.high:.2f})"
            )
            tip(panel, place, ratio.value, variant, f"{words}, {result.bound}")
        panel.plot([], [], marker, color=colour, ms=6, label=variant)
    if any(study.speed_up(name, count).bound != "exact" for name in variants for count in counts):
        panel.plot([], [], marker=UP, color="0.4", ms=9, ls="none", label="open end: runs never reached the target")
    label_axis(panel, findings)
    panel.set_yscale("log")
    plain_log(panel)
    limit_ratio(panel, findings)
    panel.set_ylabel(f"times as fast as\n{findings.reference}")
    _legend(figure, panel, 2)
    return _drawing("speed_up", findings, figure)


def _open_ends(results: list[SpeedUp], end: str) -> NDArray[np.bool_]:
    """Return which intervals have no such end, since runs that never reached the target hide how far they go."""
    return np.array([result.ratio.is_known and getattr(result.uncut, end) in (0.0, np.inf) for result in results])


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
        error_axis(panel)
    share_limits(axes)
    _legend(figure, axes[0], len(findings.label_counts), title=f"labelled {findings.results.label_unit}")
    return _drawing("pretraining_epochs", findings, figure)


def distances_and_ejection(findings: Findings) -> Drawing | None:
    """Draw mean HD95 against labels, and the error of the ejection fraction where the data have one."""
    level = findings.results.options.confidence
    distances = mean_distance(findings.distances, level)
    if distances["unit"].nunique() != 1:  # none was measured, or means would mix millimetres and pixels
        return None
    unit = distances["unit"].iloc[0]
    shown = [("hd95", f"HD95, {unit}", distances)]
    if len(findings.ejection_fractions):
        ejection = mean_ejection_error(findings.ejection_fractions, level)
        shown.append(("error_points", "ejection fraction error, points", ejection))
    figure, axes = _panels(len(shown), 2, 4.6, 3.9)
    for panel, (column, words, table) in zip(axes, shown, strict=True):
        _mean_lines(panel, findings, table, column)
        label_axis(panel, findings)
        panel.set_ylabel(words)
        limit_mean(panel, table.loc[table["variant"].isin(findings.headline), column].max())
    _legend(figure, axes[0], 2)
    return _drawing("distances_and_ejection", findings, figure)


def _mean_lines(panel: Axes, findings: Findings, table: pd.DataFrame, column: str) -> None:
    """Draw a mean against labels with its interval for every headline variant."""
    for variant, shift in zip(findings.headline, np.geomspace(0.97, 1.03, len(findings.headline)), strict=True):
        colour, marker = _look(findings, variant)
        rows = table[table["variant"] == variant].sort_values("label_count")
        places, values = rows["label_count"].to_numpy() * shift, rows[column].to_numpy()
        panel.plot(places, values, marker=marker, color=colour, ms=5, lw=1.4, label=variant, gid=arm_id(variant))
        lows, highs = rows[f"{column}_low"].to_numpy(), rows[f"{column}_high"].to_numpy()
        panel.vlines(places, lows, highs, color=colour, lw=2, alpha=0.5, gid=arm_id(variant))
        for place, count, value, low, high in zip(places, rows["label_count"], values, lows, highs, strict=True):
            interval = "no interval" if np.isnan(low) else f"{low:.1f} to {high:.1f}"
            tip(panel, place, value, variant, f"{count} {findings.results.label_unit}, {value:.1f} ({interval})")


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


def _band(panel: Axes, steps: Floats, values: Floats, findings: Findings, variant: str) -> None:
    """Draw mean and t interval over seeds of (step, seed) values."""
    colour, marker = _look(findings, variant)
    estimates = [t_interval(row, findings.results.options.confidence) for row in values]
    means, lows, highs = (np.array([getattr(e, end) for e in estimates]) for end in ("value", "low", "high"))
    panel.fill_between(steps, lows.clip(0, 1), highs.clip(0, 1), color=colour, alpha=0.15, lw=0, gid=arm_id(variant))
    panel.plot(
        steps,
        means,
        color=colour,
        lw=1.6,
        label=variant,
        marker=marker,
        ms=4,
        markevery=max(1, len(steps) // 6),
        gid=arm_id(variant),
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

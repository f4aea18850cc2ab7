"""The words that go with each figure: a caption for readers and a text for those who do not see it.

In: the name of a figure and the findings. Out: caption and alternative text.
"""

from collections.abc import Mapping

from analysis.convergence.stopped_cells import num_stopped
from analysis.findings import Findings

CAPTIONS = {
    "examples": (
        "Segmentations after {count}, seed {seed}. {num_slices} fixed before any "
        "training, by rule: patients in turn from each group, and of each the slice with most foreground. Shown are "
        "those with the highest, the median and the lowest mean Dice over all arms and seeds at this label count; the "
        "seed is the first at which most arms have finished. Solid: what an arm predicts, with its Dice on the slice, "
        "and in the top row the truth; white, dashed: the truth. Slices are cut to where masks lie. Dice of one slice "
        "is not that of a whole volume.",
        "Outlines of true and predicted structures on the best, median and worst example slice after {count}. "
        "Dice of each arm: {scores}.",
    ),
    "error_vs_labels": (
        "Test error (1 - mean foreground Dice) against the number of labels. Lines join geometric means over seeds, "
        "bars are their {level} t intervals over seeds and test patients, cut far beyond all points; small points are "
        "single seeds. Arms are set slightly apart sideways. Lower is better. Both axes are logarithmic.",
        "Error against labelled {unit} for {num_arms} pretraining arms.",
    ),
    "fitted_laws": (
        "The law that predicts held-out larger label counts best, fitted to every seed's points, with the {level} "
        "interval of the curve over seeds and test patients, which spans the families that predict about as well. On "
        "grey ground, dashed and paler, the law is extrapolated beyond the most labels measured, to ten times as many: "
        "no interval there knows of a law that is not among the five: power laws with and without a floor are "
        "written out, M4 is a bent and MMF an S-shaped power law, and a floor is the error that more labels do not go "
        "below. The dotted grey line joins the geometric mean errors of {reference} over seeds.",
        "Fitted laws of error and labels, one panel per arm, extrapolated to ten times the most labels.",
    ),
    "paired_differences": (
        "Error over that of {reference}, the ratio of geometric means from paired seeds, with its {level} t interval "
        "over seeds and patients. An interval that touches 1 cannot tell the two apart; those far beyond all points "
        "are cut. The axes are logarithmic, and panels have their own scales.",
        "Ratios of error to that of the reference arm for each label count.",
    ),
    "label_equivalence": (
        "How many labels of {reference} reach the error that another arm has with the labels on the axis "
        "below. Above the dashed line the arm saves labels. Marks stand at measured label counts, lines between them "
        "interpolate both arms; bands are pointwise {level} intervals over seeds and patients, somewhat too narrow "
        "between the marks where errors bend. Nothing beyond the measured range is extrapolated: marks there lie at "
        "the edge, where arms may hide one another, and no line leads to them.",
        "Label equivalence of every arm against the reference.",
    ),
    "convergence": (
        "Validation Dice during fine-tuning: mean over seeds with its {level} t interval, cut to 0 and 1. "
        "The dashed line is the common target.{carried}",
        "Validation curves of every arm at up to three label counts.",
    ),
    "speed_up": (
        "Steps that {reference} needs to the common target, divided by the steps of the arm: geometric mean "
        "over paired seeds with its {level} t interval; intervals far beyond all points are cut. Hollow "
        "markers: some runs did not reach the target {within}, so the ratio is a bound; the interval is of steps cut "
        "there, and an arrow at its end says that the interval of all steps goes on without end.",
        "Speed-up against the reference arm at each label count.",
    ),
    "time_to_target": (
        "Share of runs that have reached the common target and hold it, against steps (Kaplan-Meier; a run is a seed). "
        "Ticks: runs that ended before they reached it. A line that ends below 1: training ended before those runs "
        "got there. Lines of arms are lifted slightly apart.{carried}",
        "Share of runs at the target against optimiser steps, for every arm at up to three label counts.",
    ),
    "pretraining_epochs": (
        "Test error against the epochs of the arm's last pretraining stage; 0 epochs is the arm it starts from. "
        "Geometric means over seeds with {level} t intervals over seeds and test patients, cut far beyond all points. "
        "Intervals of two numbers of epochs may overlap though paired differences tell them apart. Epochs are evenly "
        "spaced for legibility.",
        "Error against pretraining epochs for every arm that has them.",
    ),
    "enough_epochs": (
        "Error at each number of pretraining epochs over that at the number with the lowest mean, a geometric mean "
        "over {averaged}, with its paired {level} interval, cut where it is far wider than the margin. Grey: "
        "within the margin of {margin}, which counts as enough where the test says so; the verdict stands above. A bar "
        "inside the grey can still be open, as the verdict is adjusted for all numbers and against every other one.",
        "Ratio of error to the lowest mean error by pretraining epochs, with the margin of {margin}.",
    ),
    "distances_and_ejection": (
        "Surface distance HD95, a mean over structures, phases, test patients and seeds, and where the data have "
        "phases ED and ES the mean absolute error of the ejection fraction. Bars are {level} intervals over seeds and "
        "patients, cut far above all points; arms are set slightly apart sideways. Lower is better. A structure that "
        "is missed or invented counts as the diagonal of the volume, and an ejection fraction without one of its "
        "volumes as 100 points, so a few misses lift a mean far above the distances that were measured: their numbers "
        "are in the tables below.",
        "HD95 and ejection fraction error against labelled {unit} for {num_arms} pretraining arms.",
    ),
}
CARRIED = " A run that was stopped early goes on to its budget with its last Dice."


def caption(name: str, findings: Findings, more: Mapping[str, object] | None = None) -> tuple[str, str]:
    """Return the caption and the alternative text of a figure; ``more`` are words that it alone needs."""
    words = {
        "unit": findings.results.label_unit,
        "reference": findings.reference,
        "num_arms": len(findings.headline),
        "margin": f"{100 * findings.results.options.near_minimum:g}%",
        "within": findings.convergence.within(),
        "averaged": _averaged(findings),
        "carried": CARRIED if num_stopped(findings.results.cells) else "",
        "level": f"{100 * findings.results.options.confidence:g}%",
        **(more or {}),
    }
    text, alt = CAPTIONS[name]
    return text.format(**words), alt.format(**words)


def _averaged(findings: Findings) -> str:
    """Say which label counts the means of the figure of enough epochs are over, by arm where these differ."""
    means = {each.arm: each for each in findings.epochs if each.measure == "error" and each.label_count is None}
    words = {arm: findings.over_labels(each.label_counts) for arm, each in means.items()}
    if len(set(words.values())) == 1:
        return next(iter(words.values()))
    return "label counts (" + "; ".join(f"{arm}: {each}" for arm, each in words.items()) + ")"

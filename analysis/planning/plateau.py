"""From which label count on more labels hardly matter to the arms of a question.

In: Findings and the arms that are compared. Out: a Plateau, or None where it is not shown to begin below the most
labels. The plateau begins at the fewest measured labels at which each arm's error is shown to be within the margin of
interest of its own error at most labels: there the upper end of the interval of the labels needed has been passed
(``labels_needed``).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.findings import Findings
from analysis.intervals.uncertainty import Floats


@dataclass(frozen=True)
class Plateau:
    """Label counts above ``starts_at`` are beyond where the plateau was reached.

    Note: it says that the arms' own errors hardly fall any more, not that the arms are equal there, and nothing of
    more labels than were measured.
    """

    starts_at: int
    margin: float
    most_labels: int

    def is_passed_by(self, label_counts: Sequence[int]) -> bool:
        """Return whether all of these label counts lie beyond."""
        return min(label_counts) > self.starts_at


def plateau(findings: Findings, variants: Sequence[str]) -> Plateau | None:
    """Return the plateau that all of these arms have reached; None where one has not, or a single seed cannot tell."""
    needed = [findings.near_own_minimum.get(variant) for variant in variants]
    ends = np.array([each.count.high if each else np.nan for each in needed])
    start = plateau_start(findings.label_counts, ends)
    if start is None:
        return None
    return Plateau(start, findings.results.options.near_minimum, int(findings.label_counts[-1]))


def plateau_start(label_counts: Floats, ends: Floats) -> int | None:
    """Return the fewest of the rising counts that no arm's upper end is above; None if none is below the most."""
    reached = label_counts[:-1] >= ends.max()  # false for NaN
    return int(label_counts[int(reached.argmax())]) if reached.any() else None

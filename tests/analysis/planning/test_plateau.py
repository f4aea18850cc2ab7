"""Where more labels hardly matter any more, by hand and on a sweep whose laws are known."""

import numpy as np
import pytest

from analysis.findings import find
from analysis.loading.load import load_results
from analysis.planning.plateau import Plateau, plateau, plateau_start

COUNTS = np.array([4.0, 12.0, 36.0, 112.0])
NEVER, FEWEST, UNKNOWN = np.inf, 0.0, np.nan


@pytest.mark.parametrize(
    ("ends", "start"),
    [
        ([20.0, 9.0], 36),  # the later of the two arms, at the next count that was measured
        ([12.0, 12.0], 12),
        ([FEWEST, FEWEST], 4),
        ([40.0, 9.0], None),  # the most labels are within the margin of themselves
        ([NEVER, 9.0], None),
        ([UNKNOWN, 9.0], None),
    ],
)
def test_the_plateau_begins_at_the_fewest_measured_labels_that_all_arms_have_reached(ends, start):
    assert plateau_start(COUNTS, np.array(ends)) == start


def test_counts_above_the_start_are_beyond():
    found = Plateau(starts_at=36, margin=0.1, most_labels=112)
    assert [found.is_passed_by([count]) for count in (12, 36, 112)] == [False, False, True]
    assert not found.is_passed_by([12, 112])


def test_the_plateau_of_a_sweep_is_where_its_law_is_within_the_margin_of_the_floor(small, simulated, monkeypatch):
    """0.1 + 4 / n^2: 0.128 with 12 labels is more than 10 % above 0.1003 with 112, 0.103 with 36 is within."""
    monkeypatch.setattr(simulated, "LAWS", dict.fromkeys(simulated.LAWS, (0.1, 4.0, 2.0)))
    root = small(counts=(4, 12, 36, 112), num_seeds=3, noise=0.003, left_out=0, failed=0)
    findings = find(load_results(root))
    assert plateau(findings, ("random", simulated.REFERENCE)) == Plateau(36, 0.1, 112)

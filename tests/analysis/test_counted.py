"""A count agrees with its noun."""

import pytest

from analysis.counted import labels, number


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 patients"),
        (1, "1 patient"),
        (2, "2 patients"),
        (1.0, "1 patient"),
        (2.5, "2.5 patients"),
        (10**7, "10000000 patients"),
    ],
)
def test_one_is_singular_and_all_else_plural(count: float, words: str) -> None:
    assert number(count, "patient") == words


def test_a_label_count_of_one_is_singular() -> None:
    """The unit of results is a plural."""
    assert [labels(1, "slices"), labels(4, "slices"), labels(1, "patients")] == [
        *("1 labelled slice", "4 labelled slices", "1 labelled patient"),
    ]

"""A count agrees with its noun."""

import pytest

from analysis.counted import number


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

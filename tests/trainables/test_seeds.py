"""Seeds that follow from names and numbers: cells and stages of older programs are repeated with equal ones."""

import pytest

from trainables.config import seed_of


@pytest.mark.parametrize(
    ("parts", "digits"),  # the beginning of what sha256sum says of the parts as JSON without spaces
    [(("network", 0), "f761a9cc86ff"), ((3, "a1b2"), "e4b041fe9848")],
)
def test_a_seed_is_the_beginning_of_the_hash_of_its_parts(parts: tuple[object, ...], digits: str) -> None:
    assert seed_of(*parts) == int(digits, 16)

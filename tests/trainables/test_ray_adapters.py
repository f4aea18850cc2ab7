"""How often and for how long Ray is let to ask for a stage's workers."""

import pytest

from trainables.ray_adapters import requests

pytestmark = pytest.mark.ray


def test_a_fixed_number_of_workers_is_asked_for_once_for_as_long_as_a_stage_may_wait() -> None:
    assert requests(2, 1800.0) == (1800.0, 1)


def test_an_elastic_number_is_soon_asked_for_anew_since_the_nodes_that_were_seen_may_be_gone() -> None:
    assert requests((1, 2), 1800.0) == (25.0, 72)


@pytest.mark.parametrize("wait_seconds", [6.0, 60.0, 1800.0])
def test_the_requests_last_as_long_as_a_stage_may_wait(wait_seconds: float) -> None:
    seconds, number = requests((1, 2), wait_seconds)
    assert wait_seconds <= seconds * number < wait_seconds + seconds

"""How often and for how long Ray is let to ask for a stage's workers."""

import pytest

from trainables.ray_adapters import requests

pytestmark = pytest.mark.ray


def test_a_fixed_number_of_workers_is_asked_for_once_more_than_it_may_fail() -> None:
    assert requests(2, 1800.0, max_failures=0) == (1800.0, 1)
    assert requests(2, 1800.0, max_failures=3) == (450.0, 4)


def test_an_elastic_number_is_soon_asked_for_anew_since_the_nodes_that_were_seen_may_be_gone() -> None:
    assert requests((1, 2), 1800.0, max_failures=3) == (25.0, 72)


@pytest.mark.parametrize("max_failures", [0, 1, 5])
def test_the_requests_last_as_long_as_a_stage_may_wait_and_are_no_fewer_than_its_tries(max_failures: int) -> None:
    for wait_seconds in (6.0, 60.0, 1800.0):
        seconds, number = requests((1, 2), wait_seconds, max_failures)
        assert wait_seconds <= seconds * number < wait_seconds + seconds + 1e-6
        assert number > max_failures

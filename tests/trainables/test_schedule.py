"""Warm-up and cosine against their closed forms."""

import math

import pytest

from trainables.schedule import warmup_cosine


def test_warm_up_rises_linearly_and_never_starts_at_zero() -> None:
    assert [warmup_cosine(step, 100, 4) for step in range(4)] == pytest.approx([0.2, 0.4, 0.6, 0.8])


def test_the_peak_follows_the_warm_up_and_half_way_is_half() -> None:
    assert warmup_cosine(4, 104, 4) == 1
    assert warmup_cosine(54, 104, 4) == pytest.approx(0.5)
    assert warmup_cosine(29, 104, 4) == pytest.approx(0.5 * (1 + math.cos(math.pi / 4)))


def test_a_schedule_without_warm_up_starts_at_the_peak() -> None:
    assert warmup_cosine(0, 10, 0) == 1

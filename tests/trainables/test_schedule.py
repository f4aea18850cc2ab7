"""Warm-up, cosine and cooldown against their closed forms."""

import math

import pytest

from trainables.schedule import warmup_cooldown, warmup_cosine


def test_warm_up_rises_linearly_and_never_starts_at_zero() -> None:
    assert [warmup_cosine(step, 100, 4) for step in range(4)] == pytest.approx([0.2, 0.4, 0.6, 0.8])


def test_the_peak_follows_the_warm_up_and_half_way_is_half() -> None:
    assert warmup_cosine(4, 104, 4) == 1
    assert warmup_cosine(54, 104, 4) == pytest.approx(0.5)
    assert warmup_cosine(29, 104, 4) == pytest.approx(0.5 * (1 + math.cos(math.pi / 4)))


def test_a_schedule_without_warm_up_starts_at_the_peak() -> None:
    assert warmup_cosine(0, 10, 0) == 1


def test_a_cooldown_leaves_the_peak_at_its_first_step_and_would_be_at_zero_after_its_last() -> None:
    rates = [warmup_cooldown(step, 10, 2, 3) for step in range(11)]
    assert rates[:7] == pytest.approx([1 / 3, 2 / 3, 1, 1, 1, 1, 1])
    assert rates[7:] == pytest.approx([1 - math.sqrt(1 / 4), 1 - math.sqrt(2 / 4), 1 - math.sqrt(3 / 4), 0])

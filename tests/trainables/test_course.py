"""The course of a cell: rates and ends worked out by hand, and the rule of patience as the analysis has it."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from analysis.early_stopping import early_stop
from trainables.config import FinetuneConfig
from trainables.course import Course, Patience

RECIPE = {"steps": 100, "warmup_fraction": 0.1, "evaluate_every": 10}


def course(**stop: Any) -> Course:
    return Course(FinetuneConfig.model_validate(RECIPE | {"stop": {"patience": 2, "min_delta": 0.01} | stop}))


def test_patience_runs_out_at_the_evaluation_at_which_the_analysis_would_have_stopped() -> None:
    generator = np.random.default_rng(0)
    for _ in range(300):
        scores = generator.random(15).round(1)
        evaluations, min_delta = int(generator.integers(1, 6)), float(generator.choice([0.0, 0.1, 0.25]))
        patience = Patience(evaluations, min_delta)
        ours = next((place for place, score in enumerate(scores) if patience.runs_out(float(score))), 14)
        assert early_stop(np.arange(15.0), scores, evaluations, min_delta).steps == ours


def test_a_cell_whose_score_stands_still_cools_down_at_once_and_ends() -> None:
    """The first score that counts is at step 10, where the warm-up ends; those at 20 and 30 are no better."""
    found = course()
    for step in (0, 10, 20):
        found.see(step, 0.5)
        assert found.end == 100
    found.see(30, 0.505)
    assert found.end == 30 + 20  # a fifth of the budget
    rates = [found.factor(step) for step in range(50)]
    assert rates[:10] == pytest.approx([(step + 1) / 11 for step in range(10)])
    assert rates[10:30] == [1.0] * 20
    assert rates[30:] == pytest.approx([1 - (k / 21) ** 0.5 for k in range(1, 21)])
    assert found.factor(50) == 0


def test_a_cell_that_keeps_rising_ends_at_its_budget_annealed() -> None:
    found = course()
    for step in range(0, 100, 10):
        found.see(step, step / 100)
    assert found.end == 100
    assert found.factor(79) == 1.0
    assert 0 < found.factor(99) < 0.03
    assert all(later < earlier for earlier, later in pairwise(found.factor(step) for step in range(79, 101)))


def test_patience_can_run_out_where_it_is_below_the_number_of_validations_that_count() -> None:
    """Scores that stand still end a cell, if any do."""
    generator, ended = np.random.default_rng(0), []
    for _ in range(300):
        steps, every, patience = (int(generator.integers(1, highest)) for highest in (60, 12, 8))
        warmup, cooldown = generator.uniform(0, 0.5, 2)
        stop = {"patience": patience, "cooldown_fraction": max(cooldown, 0.01)}
        values = {"steps": steps, "evaluate_every": every, "warmup_fraction": warmup, "stop": stop}
        found = Course(FinetuneConfig.model_validate(values))
        can_end = patience < found.num_counted
        for step in [*range(0, steps, every), steps]:
            if step <= found.end:
                found.see(step, 0.5)
        assert (found.end < steps) == can_end
        ended.append(can_end)
    assert 50 < sum(ended) < 250


def test_scores_of_the_cooldown_no_longer_count() -> None:
    found = course()
    for step in (10, 20, 30, 40, 50):
        found.see(step, 0.5)
    assert found.end == 50


def test_patience_that_runs_out_within_the_last_cooldown_changes_nothing() -> None:
    found = course(patience=1)
    for step in range(0, 80, 10):
        found.see(step, step / 100)
    found.see(80, 0.0)
    found.see(90, 0.0)
    assert found.end == 100


def test_scores_that_stand_still_while_the_rate_warms_up_do_not_count() -> None:
    config = {"steps": 100, "warmup_fraction": 0.5, "stop": {"patience": 2, "cooldown_fraction": 0.1}}
    found = Course(FinetuneConfig.model_validate(config))
    for step in (0, 10, 20, 30, 40, 50, 60):
        found.see(step, 0.0)
    assert found.end == 100
    found.see(70, 0.0)
    assert found.end == 80


def test_evaluations_without_a_score_do_not_count() -> None:
    found = course()
    for step in (10, 20, 30, 40):
        found.see(step, None)
    assert found.end == 100


def test_the_cooldown_is_rounded_up_to_whole_steps() -> None:
    found = Course(FinetuneConfig.model_validate({"steps": 11, "stop": {"patience": 1}}))
    for step in (1, 2):
        found.see(step, 0.5)
    assert found.end == 2 + 3  # a fifth of 11 is 2.2


@pytest.mark.parametrize(
    ("fraction", "steps", "cooldown"), [(0.07, 100, 7), (0.28, 1050, 294), (0.2, 1050, 210), (0.071, 100, 8)]
)
def test_a_share_that_is_a_whole_number_of_steps_is_that_number(fraction: float, steps: int, cooldown: int) -> None:
    stop = {"patience": 1, "cooldown_fraction": fraction}
    found = Course(FinetuneConfig.model_validate({"steps": steps, "warmup_fraction": 0, "stop": stop}))
    for step in (1, 2):
        found.see(step, 0.5)
    assert found.end == 2 + cooldown


def test_without_stop_no_score_ends_a_cell() -> None:
    found = Course(FinetuneConfig.model_validate(RECIPE))
    for step in range(0, 100, 10):
        found.see(step, 0.5)
    assert found.end == 100
    assert found.factor(55) == pytest.approx(0.5)  # half way between warm-up and end: the cosine


@pytest.mark.parametrize(
    ("stop", "message"),
    [
        ({}, r"stop\.patience\n  Field required"),
        ({"patience": 0}, "greater than or equal to 1"),
        ({"patience": 1, "min_delta": -0.1}, "greater than or equal to 0"),
        ({"patience": 1, "cooldown_fraction": 1}, "less than 1"),
        ({"patience": 1, "cooldown_fraction": 0}, "greater than 0"),
        ({"patience": 1, "cooldown_fraction": 0.9}, r"expected below 1, found 0\.1 \+ 0\.9; lower one of them"),
        ({"patience": 1, "delta": 0.1}, "Extra inputs are not permitted"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(stop: dict[str, float], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        FinetuneConfig.model_validate(RECIPE | {"stop": stop})

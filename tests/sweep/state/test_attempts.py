"""Who is tried again, and when a run is given up."""

import pytest

from sweep.state.attempts import FIRST_CELLS, MOST_LOST_NODES, NODE, NOTHING, ROOM, WORKER, Attempts, StageAttempts


@pytest.mark.parametrize("reason", ["RuntimeError: x", "WorkerDiedError: x", "OutOfMemoryError: x", "OSError: x", ""])
@pytest.mark.parametrize("max_retries", [0, 1, 3])
def test_every_kind_of_failure_is_tried_again_as_often_as_asked(reason: str, max_retries: int) -> None:
    attempts = Attempts(max_retries)
    assert [attempts.is_tried_again("a", reason) for _ in range(max_retries + 1)] == [True] * max_retries + [False]
    assert attempts.num_retries == max_retries


def test_kinds_of_failures_share_a_cells_retries_and_cells_do_not() -> None:
    attempts = Attempts(1)
    assert attempts.is_tried_again("a", "RuntimeError: x")
    assert not attempts.is_tried_again("a", "WorkerDiedError: y")
    assert attempts.is_tried_again("b", "WorkerDiedError: y")


@pytest.mark.parametrize("kind", ["FinetuningError", "PretrainingError"])
def test_what_the_same_seed_would_end_in_again_is_not_tried_again(kind: str) -> None:
    assert not Attempts(100).is_tried_again("a", f"{kind}: the training loss is nan before step 3")


def test_lost_nodes_cost_a_cell_no_try_until_there_are_many() -> None:
    attempts = Attempts(0)
    assert [attempts.is_lost_freely("a") for _ in range(MOST_LOST_NODES + 1)] == [True] * MOST_LOST_NODES + [False]
    assert attempts.is_lost_freely("b")


def test_the_first_try_of_the_first_cells_decides_whether_a_run_is_given_up() -> None:
    attempts = Attempts(5)
    for _ in range(FIRST_CELLS):
        attempts.is_tried_again("a", "RuntimeError: x")  # one cell, however often it fails
    assert not attempts.systematic_failure
    for number in range(FIRST_CELLS - 1):
        attempts.is_tried_again(str(number), "RuntimeError: x")
    assert attempts.systematic_failure == "RuntimeError"


def test_failures_of_cells_that_failed_in_an_earlier_run_give_nothing_up() -> None:
    before = [str(number) for number in range(FIRST_CELLS)]
    attempts = Attempts(0, before)
    for cell_id in before:
        assert not attempts.is_tried_again(cell_id, "RuntimeError: x")
        attempts.ended(cell_id, "RuntimeError: x")
    assert not attempts.systematic_failure


def tries(attempts: StageAttempts, lost: str, epochs: list[int]) -> list[bool]:
    """Whether a stage is started again after each of these ends."""
    return [attempts.is_started_again(lost, epochs_done) for epochs_done in epochs]


@pytest.mark.parametrize("max_retries", [0, 1, 3])
def test_a_stage_that_makes_no_progress_is_tried_again_as_often_as_asked(max_retries: int) -> None:
    for lost in (NOTHING, WORKER):
        attempts = StageAttempts(max_retries, epochs_done=7)
        assert tries(attempts, lost, [7] * (max_retries + 1)) == [True] * max_retries + [False]


def test_a_dead_worker_costs_a_stage_no_try_where_it_has_finished_epochs_since_the_last() -> None:
    for max_retries in (0, 1, 3):
        num_again = MOST_LOST_NODES + max_retries
        progress = list(range(1, num_again + 2))
        assert tries(StageAttempts(max_retries), WORKER, progress) == [True] * num_again + [False]
    assert tries(StageAttempts(0, epochs_done=7), WORKER, [7]) == [False]  # these were another run's


def test_epochs_that_are_trained_again_are_no_progress() -> None:
    assert tries(StageAttempts(1), WORKER, [5, 4, 5]) == [True, True, False]


def test_progress_gives_a_stage_back_the_tries_that_dead_workers_took() -> None:
    assert tries(StageAttempts(1), WORKER, [0, 3, 3, 6, 6, 6]) == [True, True, True, True, True, False]


def test_errors_of_the_training_count_over_the_whole_stage() -> None:
    attempts = StageAttempts(1)
    assert tries(attempts, NOTHING, [3]) == [True]
    assert tries(attempts, WORKER, [6]) == [True]
    assert tries(attempts, NOTHING, [9]) == [False]


def test_lost_nodes_cost_a_stage_no_try_until_there_are_many() -> None:
    attempts = StageAttempts(1)
    assert tries(attempts, NODE, [0] * (MOST_LOST_NODES + 2)) == [True] * (MOST_LOST_NODES + 1) + [False]


def test_a_wait_that_ended_is_waited_anew_only_where_it_may_be_many_short_ones_between_epochs() -> None:
    assert tries(StageAttempts(9), ROOM, [5]) == [False]
    assert tries(StageAttempts(9, is_elastic=True), ROOM, [0]) == [False]
    assert tries(StageAttempts(0, is_elastic=True), ROOM, [5, 5]) == [True, False]

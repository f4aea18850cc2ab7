"""How many cells a trial takes: long trials while workers start, ever shorter ones towards the end."""

import heapq
import math

import pytest

from sweep.on_ray.trial_sizes import TRIAL_SECONDS, TrialSizes

BETWEEN_SECONDS = 0.02  # what Tune takes between two trials of a worker, at most
SHORT = 0.008  # seconds of a cell that trains nothing


def with_all_up(cell_seconds: float, num_workers: int = 2) -> TrialSizes:
    sizes = TrialSizes()
    for pid in range(num_workers):
        sizes.trial_ended(cell_seconds, "host", pid)
    return sizes


def run(seconds: list[float], paces: list[float]) -> tuple[list[float], list[float], list[int]]:
    """Give cells of these seconds to workers that are slower by these factors, all up: a plain loop over events.

    Returns when each cell ended, when each worker had nothing more to do, and the trials' sizes.
    """
    sizes = with_all_up(sum(seconds) / len(seconds), len(paces))
    ended: list[float] = []
    taken: list[int] = []
    free = [(0.0, worker) for worker in range(len(paces))]
    idle: list[float] = []
    while free:
        now, worker = heapq.heappop(free)
        left = len(seconds) - sum(taken)
        if not left:
            idle.append(now)
            continue
        size = sizes.next_size(left, len(paces))
        trial = seconds[sum(taken) :][:size]
        taken.append(size)
        began = now
        for cell in trial:
            now += cell * paces[worker]
            ended.append(now)
        sizes.trial_ended((now - began) / size, "host", worker)
        heapq.heappush(free, (now + BETWEEN_SECONDS, worker))
    return sorted(ended), idle, taken


@pytest.mark.parametrize("paces", [[1.0, 1.0], [1.0, 1.5], [1.5, 1.0], [1.0, 1.0, 1.0, 2.0]])
def test_the_last_thousand_of_short_cells_takes_hardly_longer_than_the_first_though_a_worker_is_slow(
    paces: list[float],
) -> None:
    ended, idle, taken = run([SHORT] * 10_000, paces)
    assert len(ended) == sum(taken) == 10_000
    assert (ended[-1] - ended[-1001]) / (ended[1000] - ended[0]) <= 1.2
    together = sum(1 / pace for pace in paces)
    assert max(idle) <= 10_000 * SHORT / together + len(taken) * BETWEEN_SECONDS + 1.0
    assert len(taken) <= 20 * len(paces)  # few, since each costs the driver time


def test_no_worker_is_left_with_several_long_cells_while_another_has_none() -> None:
    """Thirty cells, of which the last ones take thrice as long as the others."""
    seconds = [2.0] * 24 + [6.0] * 6
    _, idle, taken = run(seconds, [1.0, 1.0])
    assert taken[-4:] == [1, 1, 1, 1]
    assert max(idle) - min(idle) <= 6.0 + BETWEEN_SECONDS


def test_a_worker_takes_half_of_its_fair_share_once_all_are_up_and_all_of_it_before() -> None:
    sizes = TrialSizes()
    assert sizes.next_size(100, 2) == 1  # nothing is known of their length yet
    sizes.trial_ended(0.1, "host", 1)
    assert sizes.next_size(100, 2) == 50
    sizes.trial_ended(0.1, "host", 1)  # the same worker again: the other may still be starting
    assert sizes.next_size(100, 2) == 50
    sizes.trial_ended(0.1, "another host", 1)
    assert sizes.next_size(100, 2) == 25
    assert sizes.next_size(100, 3) == 34  # one more may run now, whose worker has to start
    sizes.workers_may_have_gone()
    assert sizes.next_size(100, 2) == 50


@pytest.mark.parametrize("num_up", [0, 2])
def test_no_trial_is_planned_to_last_longer_than_it_should(num_up: int) -> None:
    sizes = with_all_up(0.5, 2)
    if not num_up:
        sizes.workers_may_have_gone()
    assert sizes.next_size(10_000, 2) == TRIAL_SECONDS / 0.5


@pytest.mark.parametrize("num_up", [0, 2])
def test_every_cell_is_taken_and_none_that_is_not_there(num_up: int) -> None:
    for ready in range(200):
        for cell_seconds in (0.0, SHORT, 1.0, 60.0):
            sizes = with_all_up(cell_seconds, 2)
            if not num_up:
                sizes.workers_may_have_gone()
            assert min(ready, 1) <= sizes.next_size(ready, 2) <= math.ceil(ready / 2)

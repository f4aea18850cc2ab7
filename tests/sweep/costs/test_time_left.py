"""How long work takes on a share of a cluster: small schedules worked out by hand."""

from typing import Any

import pytest

from sweep.costs.time_left import Room, StageWork, Work, longest_behind, wall_seconds


def stage(name: str, seconds: float, parent: tuple[str, int] | None = None, **more: Any) -> StageWork:
    return StageWork(name, parent, seconds, {2: seconds, 1: seconds / 2}, **more)


def test_one_device_does_one_thing_after_another() -> None:
    work = Work([stage("a", 10)], {None: 4, ("a", 2): 2}, cell_seconds=3)
    assert wall_seconds(work, Room(1, 1, 1)) == 10 + 6 * 3


def test_cells_run_beside_a_stage_and_take_everything_after_it() -> None:
    work = Work([stage("a", 10)], {None: 4, ("a", 2): 2}, cell_seconds=3)
    # Until 10 s one slot does 10/3 cells; 2/3 of one is left, with the two that waited: two at once from then on.
    assert wall_seconds(work, Room(2, 1, 1)) == pytest.approx(10 + (2 + 2 / 3) * 3 / 2)


def test_cells_of_a_milestone_start_while_its_stage_goes_on() -> None:
    work = Work([stage("a", 10)], {("a", 1): 1}, cell_seconds=3)
    assert wall_seconds(work, Room(2, 1, 1)) == 10
    assert wall_seconds(Work(work.stages, {("a", 1): 1}, cell_seconds=7), Room(2, 1, 1)) == 5 + 7


def test_a_stage_waits_for_the_encoder_that_it_starts_from() -> None:
    chain = [stage("a", 10), stage("b", 4, parent=("a", 2)), stage("c", 3)]
    assert wall_seconds(Work(chain, {}, 1), Room(4, 1, 3)) == 14
    assert wall_seconds(Work(chain, {}, 1), Room(2, 1, 1)) == 17
    parent_elsewhere = [stage("b", 4, parent=("gone", 2))]
    assert wall_seconds(Work(parent_elsewhere, {}, 1), Room(2, 1, 1)) == 4


def test_a_start_is_added_to_every_stage_but_one_that_is_running() -> None:
    stages = [stage("a", 10, is_running=True), stage("b", 10)]
    assert wall_seconds(Work(stages, {}, 1), Room(2, 1, 1, stage_start_seconds=5)) == 25


def test_a_single_cell_takes_its_time_however_many_devices_there_are() -> None:
    assert wall_seconds(Work([], {None: 1}, 8), Room(100, 1, 1)) == 8
    assert wall_seconds(Work([], {None: 0.5}, 8), Room(100, 1, 1)) == 4
    assert wall_seconds(Work([], {}, 8), Room(2, 1, 1)) == 0


def test_behind_a_stage_lies_the_longest_chain_that_starts_from_any_of_its_encoders() -> None:
    """Stage a lasts 10 s and keeps an encoder after 5: b starts at 5 and takes 3, c at 10 and takes 4, d after c 2."""
    stages = [stage("a", 10), stage("b", 3, ("a", 1)), stage("c", 4, ("a", 2)), stage("d", 2, ("c", 2)), stage("e", 11)]
    assert longest_behind(stages) == {"a": 10 + 4 + 2, "b": 3, "c": 4 + 2, "d": 2, "e": 11}
    assert longest_behind([stage("a", 2), stage("b", 9, ("a", 1))])["a"] == 1 + 9


def test_the_stage_with_the_longest_chain_behind_it_starts_first_within_a_replicate() -> None:
    """On two lanes: the order of the list would start the chain of 4 + 8 s at 6 s and end at 18 s."""
    stages = [stage("x", 6), stage("y", 6), stage("a", 4), stage("b", 8, ("a", 2))]
    assert wall_seconds(Work(stages, {}, 1), Room(4, 1, 2)) == 12
    later = [stage("x", 6), stage("y", 6), stage("a", 4, replicate=1), stage("b", 8, ("a", 2), replicate=1)]
    assert wall_seconds(Work(later, {}, 1), Room(4, 1, 2)) == 18

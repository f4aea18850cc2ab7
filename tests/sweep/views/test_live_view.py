"""What a person sees at a moment of a run, on terminals of two widths."""

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console

from sweep.state.counts import Counts, StageProgress
from sweep.views.live_view import Money, live_view

COUNTS = Counts(
    stages_done=1,
    stages_failed=1,
    stages_left=2,
    stages_running=(StageProgress("supervised-natural+byol-domain", 12, 16, 65.0), StageProgress("byol", 0, 400, None)),
    cells_done=12,
    cells_failed=2,
    cells_running=3,
    cells_ready=4,
    cells_waiting=18,
    cells_blocked=5,
    cells_finished_before=6,
    seconds=185.0,
    seconds_left=3720.0,
    device_seconds=1800.0,
    device_seconds_left=7200.0,
    cells_per_hour=1234.0,
    failures=(("byol @4, 3 slices, seed 1", "RuntimeError: " + "no memory " * 30),),
)


def seen(counts: Counts, money: Money, width: int = 80) -> list[str]:
    stream = io.StringIO()
    Console(file=stream, width=width).print(live_view(counts, money))
    return [line.rstrip() for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize("width", [80, 140])
def test_it_tells_stages_cells_by_state_pace_time_cost_and_failures(width: int) -> None:
    lines = seen(COUNTS, Money(3.0, 20.0), width)
    said = re.sub(r"\s+", " ", " ".join(lines))
    for part in (
        "1 of 6 stages done, 2 running, 2 to come, 1 failed",
        "12 finished, 3 running, 4 ready, 18 waiting for an encoder, 2 failed, 5 blocked by a failed stage",
        "3 min 5 s, about 1 h 2 min left, 1,234 cells an hour",
        "0.50 device-hours used, about 2.00 left",
        "1.50 of at most 20.00 used, about 6.00 left",
        "byol @4, 3 slices, seed 1: RuntimeError: no memory",
        "12/16 epochs 1 min 5 s left",
        "0/400 epochs",
    ):
        assert part in said
    assert max(map(len, lines)) <= width
    assert len(lines) <= 10


def test_without_a_price_no_cost_is_told_and_what_is_unknown_is_not_guessed() -> None:
    unknown = replace(COUNTS, seconds_left=None, device_seconds_left=None, cells_per_hour=None, stages_running=())
    said = "\n".join(seen(unknown, Money()))
    assert "cost" not in said
    assert "3 min 5 s, time left not known yet\n" in said
    assert "0.50 device-hours used\n" in said


def test_a_stage_without_workers_waits_whatever_for() -> None:
    """For a start, for room or for another experiment that trains it: nothing here tells which."""
    waiting = StageProgress("byol", 3, 9, 60.0, is_waiting=True)
    assert seen(replace(COUNTS, stages_running=(waiting,)), Money())[-1].endswith("3/9 epochs  waits")
    assert waiting.words == "byol 3/9 (waits)"


def test_many_stages_at_once_stay_a_few_lines() -> None:
    many = tuple(StageProgress(f"stage {number}", 1, 9, 1.0) for number in range(40))
    lines = seen(replace(COUNTS, stages_running=many), Money())
    assert lines[-1].strip() == "and 34 more"
    assert len(lines) == 6 + 6 + 1  # the cells' states take two

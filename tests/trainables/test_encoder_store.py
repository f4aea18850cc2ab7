"""Encoders that several experiments share: one of them trains a stage, the others find it with its rows."""

import errno
import fcntl
import multiprocessing
import time
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import pytest

from trainables.encoder_store import (
    EPOCHS,
    adopt_epochs,
    are_kept,
    clear_state,
    encoder_path,
    epochs_done,
    record_epochs,
    resume_path,
    trained_by_one,
)
from trainables.results import SCHEMAS, ResultsError, num_rows, open_results, read_table

ROW: dict[str, Any] = {
    field.name: "x" if field.name in ("stage_id", "stage", "objective", "data", "initial_weights") else 1
    for field in SCHEMAS["pretraining"]
}


def test_a_stage_is_kept_when_all_the_epochs_that_are_wanted_are_there(tmp_path: Path) -> None:
    path = encoder_path(tmp_path, "stage", 4)
    path.parent.mkdir()
    path.touch()
    assert are_kept(tmp_path, "stage", [4])
    assert not are_kept(tmp_path, "stage", [4, 16])


def test_rows_of_a_stage_that_another_experiment_trained_are_taken_over_once(tmp_path: Path) -> None:
    first, second, shared = open_results(tmp_path / "1"), open_results(tmp_path / "2"), tmp_path / "encoders"
    record_epochs(first, shared, "stage", [ROW | {"epoch": 1}, ROW | {"epoch": 2}])
    adopt_epochs(second, shared, "stage")
    assert (num_rows(shared / "stage" / EPOCHS), num_rows(shared / "another" / EPOCHS)) == (2, 0)
    assert read_table(second, "pretraining")[0] == read_table(first, "pretraining")[0]


def test_the_longer_table_of_a_stage_stands(tmp_path: Path) -> None:
    first, second, shared = open_results(tmp_path / "1"), open_results(tmp_path / "2"), tmp_path / "encoders"
    rows = [ROW | {"epoch": epoch} for epoch in (1, 2, 3)]
    record_epochs(first, shared, "stage", rows[:1])  # stopped
    record_epochs(second, shared, "stage", rows)  # went on with it
    adopt_epochs(first, shared, "stage")
    assert num_rows(first / "pretraining" / "stage.parquet") == 3
    record_epochs(first, shared, "stage", rows[:2])  # trains it again, for another milestone
    assert num_rows(shared / "stage" / EPOCHS) == 3


def test_a_stage_that_is_trained_again_goes_on_from_that_training(tmp_path: Path) -> None:
    results, shared = open_results(tmp_path / "1"), tmp_path / "encoders"
    rows = [ROW | {"epoch": epoch} for epoch in (1, 2, 3)]
    record_epochs(results, shared, "stage", rows)
    resume_path(shared, "stage").touch()
    encoder_path(shared, "stage", 3).touch()
    assert epochs_done(shared, "stage", [3]) == 3
    assert epochs_done(shared, "stage", [2, 3]) == 0  # the second epoch was passed without keeping it
    clear_state(shared, "stage")
    assert epochs_done(shared, "stage", [3]) == 3
    assert epochs_done(shared, "stage", [2, 3]) == 0
    record_epochs(results, shared, "stage", rows[:1])
    resume_path(shared, "stage").touch()
    assert epochs_done(shared, "stage", [2, 3]) == 1
    clear_state(shared, "stage")
    assert {path.name for path in (shared / "stage").iterdir()} == {EPOCHS, encoder_path(shared, "stage", 3).name}


def test_a_stage_that_nobody_trained_has_no_rows_to_take_over(tmp_path: Path) -> None:
    adopt_epochs(open_results(tmp_path / "r"), tmp_path / "encoders", "stage")
    assert read_table(tmp_path / "r", "pretraining")[0].num_rows == 0


def hold(encoders: Path, asks: Event, holds: Event) -> None:
    asks.set()
    with trained_by_one(encoders, "stage"):
        holds.set()
        time.sleep(60)


def test_one_process_trains_a_stage_while_others_wait_and_a_killed_one_lets_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainables.encoder_store.POLL_SECONDS", 0.05)  # which forked processes have, too
    context = multiprocessing.get_context("fork")
    asks, holds = ([context.Event() for _ in range(2)] for _ in range(2))
    processes = [
        context.Process(target=hold, args=(tmp_path, *events), daemon=True) for events in zip(asks, holds, strict=True)
    ]
    processes[0].start()
    assert holds[0].wait(30)
    processes[1].start()
    assert asks[1].wait(30)
    assert not holds[1].wait(0.5)  # ten looks
    processes[0].kill()
    assert holds[1].wait(30)
    processes[1].kill()
    with trained_by_one(tmp_path, "another stage"):
        pass


def test_who_waits_for_anothers_training_can_give_up(tmp_path: Path) -> None:
    class OutOfTimeError(Exception):
        pass

    looks = []

    def look() -> None:
        looks.append(1)
        if len(looks) == 2:
            raise OutOfTimeError

    with trained_by_one(tmp_path, "stage"), pytest.raises(OutOfTimeError), trained_by_one(tmp_path, "stage", look):
        raise AssertionError("two hold the lock")
    with trained_by_one(tmp_path, "stage", look):
        assert len(looks) == 2  # nobody was waited for


def test_a_file_system_without_locks_is_told_before_a_stage_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", without)
    message = r"stage/.lock has no locks \(No locks available\).*compute.encoders"
    with pytest.raises(ResultsError, match=message), trained_by_one(tmp_path, "stage"):
        raise AssertionError("trained without a lock")

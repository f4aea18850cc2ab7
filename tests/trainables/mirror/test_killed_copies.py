"""Cells at the other end are whole at every moment, wherever a copy is killed and while a run goes on."""

import itertools
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.trainables.mirror.mirrored import CELLS, commit, contents
from trainables.results import MARKER, Mirror, clear_failure, compact, finished_cells, is_finished, pull, push
from trainables.results.place import Place


class Killed(BaseException):  # stands for SIGKILL, which is no error
    """The process is killed here."""


def stops(monkeypatch: pytest.MonkeyPatch, last: int) -> None:
    """Kill this process before its change number ``last`` of a place."""
    steps = itertools.count()
    write, remove = Place.write, Place.remove

    def killed(change: Callable[..., None]) -> Callable[..., None]:
        def change_or_die(*arguments: Any) -> None:
            if next(steps) >= last:
                raise Killed
            change(*arguments)

        return change_or_die

    monkeypatch.setattr("trainables.results.copying.NUM_THREADS", 1)
    monkeypatch.setattr(Place, "write", killed(write))
    monkeypatch.setattr(Place, "remove", killed(remove))


def assert_whole(place: Path, seen: set[str]) -> set[str]:
    """No cell counts as finished without its three curves, one case and two examples; none is lost or there twice."""
    if not (place / MARKER).exists():
        return set()
    rows = contents(place)
    finished = finished_cells(place)
    assert seen <= finished
    assert {each["cell_id"] for each in rows["cells"]} == finished  # what pandas would read is finished, too
    for table, count in (("cells", 1), ("curves", 3), ("cases", 1), ("examples", 2)):
        ids = [each["cell_id"] for each in rows[table]]
        assert {cell: ids.count(cell) for cell in finished} == dict.fromkeys(finished, count)
    return finished


def prepared(root: Path, place: Path, changes: int) -> None:
    """Copy the folder to a place, and change it: by nothing, by one compaction and more cells, or by two."""
    if changes:
        push(root, f"file://{place}")
        compact(root)
        commit(root, "d")
    if changes == 2:
        push(root, f"file://{place}")
        clear_failure(root, "half")
        commit(root, "half")
        compact(root)
        commit(root, "e")


@pytest.mark.parametrize("direction", ["push", "pull"])
@pytest.mark.parametrize("changes", [0, 1, 2])
def test_a_kill_between_any_two_copies_leaves_whole_cells_and_the_next_call_completes(
    root: Path, tmp_path: Path, direction: str, changes: int
) -> None:
    before, there = tmp_path / "before", tmp_path / "there"
    prepared(root, before, changes)
    push(root, f"file://{there}")

    def copy(place: Path) -> None:
        if direction == "push":
            push(root, f"file://{place}")
        else:
            pull(f"file://{there}", place)

    expected, finished = contents(root), assert_whole(root, set())
    at_first = assert_whole(before, set())
    is_done, last = False, -1
    while not is_done:
        last += 1
        place = tmp_path / f"{direction}-{last}"
        if before.exists():
            shutil.copytree(before, place)
        with pytest.MonkeyPatch.context() as patched:
            stops(patched, last)
            try:
                copy(place)
                is_done = True
            except Killed:
                pass
        seen = assert_whole(place, at_first)
        copy(place)
        assert contents(place) == expected
        assert seen <= finished_cells(place) == finished
        assert all(is_finished(place, cell_id) for cell_id in finished)
        shutil.rmtree(place)
    assert last > 12


def test_a_mirror_of_a_folder_in_use_holds_only_whole_cells_at_every_look(
    root: Path, on_disk: str, tmp_path: Path
) -> None:
    stop = threading.Event()

    def write() -> None:
        for number in itertools.count():
            if stop.is_set():
                return
            commit(root, f"cell-{number:04d}")
            if number % 7 == 6:
                compact(root)

    writer = threading.Thread(target=write)
    mirror = Mirror(root, on_disk)
    mirror.claim()
    writer.start()
    try:
        seen: set[str] = set()
        deadline = time.monotonic() + 1.5
        while time.monotonic() < deadline:
            mirror.push(is_last=False)
            seen = assert_whole(tmp_path / "mirror", seen)
    finally:
        stop.set()
        writer.join()
    mirror.push()
    assert contents(tmp_path / "mirror") == contents(root)
    assert len(seen) > len(CELLS)

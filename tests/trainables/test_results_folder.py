"""The results folder in a hostile world: torn and foreign files, full and read-only disks, killed writers, two runs."""

import errno
import fcntl
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from sweep.status import main as status
from tests.ledger_rows import commit, row
from trainables.results import (
    SCHEMAS,
    ResultsError,
    check_results,
    clear_failures_of_finished,
    commit_cell,
    exclusive,
    failure_reason,
    finished_cells,
    folder,
    is_finished,
    is_held,
    on_disk,
    open_results,
    read_table,
    record_failure,
    record_plan,
    remove_abandoned,
    replacing,
    write_rows,
    write_text,
)
from trainables.results.atomic import STRANGE_SECONDS, own_prefix


def of_cell(table: str, cell_id: str) -> dict[str, str]:
    return {"cell_id": cell_id} if "cell_id" in SCHEMAS[table].names else {}


def empty(path: Path) -> None:
    path.write_bytes(b"")


def torn_at_the_end(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def torn_in_the_middle(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def of_another_kind(path: Path) -> None:
    path.write_text("cell_id,test_dice\nb,0.9\n" * 10)


def of_another_table(path: Path) -> None:
    pd.DataFrame({"cell_id": [path.stem], "test_dice": [0.9]}).to_parquet(path)


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def a_dangling_link(path: Path) -> None:
    """As a copy without the files behind links, or an unfetched annex, leaves them."""
    path.unlink()
    path.symlink_to(path.parent / "gone")


DAMAGES = [empty, torn_at_the_end, torn_in_the_middle, of_another_kind, of_another_table, a_folder, a_dangling_link]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("table", SCHEMAS)
def test_a_damaged_file_of_any_table_is_named_and_the_others_are_read(tmp_path: Path, table: str, damage: Any) -> None:
    for name in ("a", "b", "c"):
        write_rows(tmp_path, table, name, [row(table, **of_cell(table, name))])
    damage(tmp_path / table / "b.parquet")
    content, (problem,) = read_table(tmp_path, table)
    assert content.num_rows == 2
    assert f"{tmp_path / table / 'b.parquet'}: not a readable {table} file" in problem


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("table", ["cells", "curves", "cases"])
def test_a_cell_that_lost_one_of_its_files_is_planned_and_run_again(tmp_path: Path, table: str, damage: Any) -> None:
    for name in ("a", "b"):
        commit(tmp_path, name)
    damage(tmp_path / table / "b.parquet")
    assert finished_cells(tmp_path) == {"a"}
    assert is_finished(tmp_path, "a")
    assert not is_finished(tmp_path, "b")


@pytest.mark.parametrize("table", ["cells", "curves", "cases"])
def test_a_file_of_another_cell_is_named_not_read_and_its_cell_is_run_again(tmp_path: Path, table: str) -> None:
    for name in ("aaaa", "bbbb"):
        commit(tmp_path, name)
    shutil.copy(tmp_path / table / "bbbb.parquet", tmp_path / table / "aaaa.parquet")
    content, (problem,) = read_table(tmp_path, table)
    assert content["cell_id"].to_pylist() == ["bbbb"]
    assert "aaaa.parquet" in problem
    assert "rows of cell bbbb, expected those of aaaa" in problem
    assert finished_cells(tmp_path) == {"bbbb"}


def test_a_machine_whose_name_begins_anothers_leaves_its_files_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "sweep-2")
    (tmp_path / f"{own_prefix()}x1").write_text("half")
    monkeypatch.setattr("socket.gethostname", lambda: "sweep")
    assert remove_abandoned(tmp_path) == 0


def test_another_machines_temporary_file_is_left_alone_for_a_day(tmp_path: Path) -> None:
    strange, own = tmp_path / ".tmp-elsewhere-x1", tmp_path / f"{own_prefix()}x2"
    for path in (strange, own):
        path.write_text("half")
    assert remove_abandoned(tmp_path) == 1
    assert strange.exists()
    yesterday = time.time() - 86_500
    os.utime(strange, (yesterday, yesterday))
    assert remove_abandoned(tmp_path) == 1
    assert not strange.exists()


def test_a_clock_that_jumps_takes_no_file_from_a_living_writer(tmp_path: Path) -> None:
    """Set back, another machine's file is of the future; set forward, it looks years old, and only its lock tells."""
    strange, own = tmp_path / ".tmp-elsewhere-x1", tmp_path / f"{own_prefix()}x2"
    for path in (strange, own):
        path.write_text("half")
    for jump in (STRANGE_SECONDS, 365 * STRANGE_SECONDS):
        for path in (strange, own):
            os.utime(path, (time.time() + jump, time.time() + jump))
        with own.open() as held:
            fcntl.flock(held, fcntl.LOCK_SH)
            assert remove_abandoned(tmp_path) == 0
    with strange.open() as held, own.open() as other:
        for file, path in ((held, strange), (other, own)):
            fcntl.flock(file, fcntl.LOCK_SH)
            os.utime(path, (1.0, 1.0))
        assert remove_abandoned(tmp_path) == 0
    assert remove_abandoned(tmp_path) == 2


@pytest.mark.parametrize(("age", "num_removed"), [(STRANGE_SECONDS - 60, 0), (STRANGE_SECONDS + 60, 1)])
def test_another_machines_file_is_a_days_length_from_being_taken_for_abandoned(
    tmp_path: Path, age: float, num_removed: int
) -> None:
    strange = tmp_path / ".tmp-elsewhere-x1"
    strange.write_text("half")
    os.utime(strange, (time.time() - age, time.time() - age))
    assert remove_abandoned(tmp_path) == num_removed


def test_a_row_of_another_cell_under_a_cells_name_does_not_finish_it(tmp_path: Path) -> None:
    commit(tmp_path, "0123456789abcdef")
    for table in ("cells", "curves", "cases"):
        os.link(tmp_path / table / "0123456789abcdef.parquet", tmp_path / table / "fedcba9876543210.parquet")
    assert finished_cells(tmp_path) == {"0123456789abcdef"}
    assert not is_finished(tmp_path, "fedcba9876543210")


def test_a_torn_failure_or_plan_stops_neither_a_run_nor_its_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = open_results(tmp_path / "results")
    record_plan(root, [row("planned", cell_id="a", pretraining_chain="")])
    record_failure(root, row("failures", unit_id="a"))
    torn_in_the_middle(root / "failures" / "a.parquet")
    assert failure_reason(root, "a") == ""
    (plan,) = (root / "planned").iterdir()
    torn_in_the_middle(plan)
    record_plan(root, [row("planned", cell_id="a", pretraining_chain="")])
    assert read_table(root, "planned")[0].num_rows == 1
    assert status([str(root)]) == 3
    assert "a.parquet: not a readable failures file" in capsys.readouterr().out.replace("\n", "")


def test_some_columns_of_a_table_are_read_as_whole_rows_are(tmp_path: Path) -> None:
    for name in ("b", "a"):
        commit(tmp_path, name)
    content, problems = read_table(tmp_path, "cells", ["test_dice", "arm"])
    assert content.to_pylist() == [{"test_dice": 0.5, "arm": "x"}] * 2
    assert not problems


def test_a_failure_that_a_killed_worker_did_not_clear_is_cleared_later(tmp_path: Path) -> None:
    commit(tmp_path, "a")
    for name in ("a", "b"):
        record_failure(tmp_path, row("failures", unit_id=name))
    clear_failures_of_finished(tmp_path, finished_cells(tmp_path))
    assert read_table(tmp_path, "failures")[0].column("unit_id").to_pylist() == ["b"]


WRITER = """
import os, pathlib, signal, sys
from trainables.results import replacing
with replacing(pathlib.Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_writer_leaves_is_removed_and_a_living_writers_file_is_not(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", WRITER, str(tmp_path / "cells" / "a.parquet")])
    assert done.returncode == -signal.SIGKILL
    (left,) = (tmp_path / "cells").iterdir()
    with replacing(tmp_path / "cells" / "b.parquet") as temporary:
        temporary.write_text("half")
        assert remove_abandoned(tmp_path) == 1
        assert not left.exists()
    assert [path.name for path in (tmp_path / "cells").iterdir()] == ["b.parquet"]


def test_a_writer_whose_new_file_is_taken_for_abandoned_begins_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clearing up comes between the creation of the file and the lock on it."""
    real, pending = fcntl.flock, ["once"]

    def late(handle: Any, operation: int) -> None:
        if pending and operation == fcntl.LOCK_SH | fcntl.LOCK_NB:
            pending.clear()
            assert remove_abandoned(tmp_path) == 1
        real(handle, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    write_text(tmp_path / "a.json", "whole")
    assert (tmp_path / "a.json").read_text() == "whole"


def test_a_writer_whose_new_file_is_about_to_be_removed_begins_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clearing up holds the file already, and removes it a moment later."""
    real, taken = fcntl.flock, list[Any]()

    def late(handle: Any, operation: int) -> None:
        if not taken:
            (new,) = tmp_path.iterdir()
            taken.extend([new, new.open("rb+")])
            real(taken[1], fcntl.LOCK_EX | fcntl.LOCK_NB)
        real(handle, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    with replacing(tmp_path / "a.json") as temporary:
        new, held = taken
        new.unlink()
        held.close()
        assert temporary.is_file()


def test_a_file_system_that_always_says_that_a_new_file_is_held_ends_the_writer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def held(handle: Any, operation: int) -> None:
        raise BlockingIOError

    monkeypatch.setattr(fcntl, "flock", held)
    monkeypatch.setattr("trainables.results.atomic.NUM_TRIES", 3)
    with pytest.raises(OSError, match="3 new files were taken for abandoned"), replacing(tmp_path / "a.json"):
        pass


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB; where this user may not mount one, the limit of a file's size stands in for it."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], capture_output=True)
    if mount.returncode == 0:
        yield place
        subprocess.run(["umount", "-l", str(place)], check=True)
        return
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, limits[1]))
    yield place
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_stops_a_cell_before_it_counts_and_keeps_what_was_there(small_disk: Path) -> None:
    root = open_results(small_disk / "results")
    commit(root, "a")
    noise = [row("cases", cell_id="b", patient=os.urandom(80).hex()) for _ in range(20_000)]
    with pytest.raises(OSError, match=r"No space left|File too large") as caught:
        commit_cell(root, row("cells", cell_id="b"), [row("curves", cell_id="b")], noise)
    assert caught.value.errno in (errno.ENOSPC, errno.EFBIG)
    assert finished_cells(root) == {"a"}
    assert not list(root.rglob(".tmp-*"))
    commit(root, "c")
    assert finished_cells(root) == {"a", "c"}


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A finished sweep on a read-only file system."""
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(place)], capture_output=True).returncode:
        pytest.skip("this user may not mount a file system")
    root = open_results(place / "results")
    record_plan(root, [row("planned", cell_id="a", pretraining_chain="")])
    commit(root, "a")
    with exclusive(root):
        pass
    subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
    yield root
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_read_only_folder_can_be_read_and_says_what_cannot_be_done(
    read_only: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from sweep.compact import main as compact

    assert finished_cells(read_only) == {"a"}
    assert not is_held(read_only)
    assert status([str(read_only)]) == 0
    with pytest.raises(ResultsError, match="cannot be written"):
        open_results(read_only)
    assert compact([str(read_only)]) == 1
    said = capsys.readouterr().err
    assert "Read-only file system" in said
    assert "Traceback" not in said


def test_a_run_is_not_refused_because_a_status_looks_at_its_lock(tmp_path: Path) -> None:
    with exclusive(tmp_path):
        pass
    with (tmp_path / folder.LOCK).open() as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)  # as is_held does for a moment
        timer = threading.Timer(0.2, lambda: fcntl.flock(lock, fcntl.LOCK_UN))
        timer.start()
        with exclusive(tmp_path):
            assert is_held(tmp_path)
        timer.join()


def test_two_runs_at_once_are_told_apart_within_two_seconds(tmp_path: Path) -> None:
    holder = (
        "import pathlib, sys, time, trainables.results as r\n"
        "with r.exclusive(pathlib.Path(sys.argv[1])): print(flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", holder, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        process.stdout.readline()
        started = time.monotonic()
        with pytest.raises(ResultsError, match="another run is writing to"), exclusive(tmp_path):
            pass
        assert time.monotonic() - started < 2
        assert is_held(tmp_path)
    finally:
        process.kill()
        process.communicate()
    with exclusive(tmp_path):
        pass


def test_a_file_system_without_locks_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def without(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", without)
    with pytest.raises(ResultsError, match=r"has no locks \(No locks available\)"), exclusive(tmp_path):
        pass
    assert not is_held(tmp_path)
    write_text(tmp_path / "a.json", "whole")
    assert remove_abandoned(tmp_path) == 0


@pytest.mark.parametrize("uri", ["s3://bucket/demo", "gs://bucket/demo", "file:///shared/demo"])
@pytest.mark.parametrize("use", [open_results, check_results, on_disk])
def test_a_uri_is_no_results_folder_and_what_keeps_a_copy_there_is_named(
    use: Callable[[Path], Path], uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """As a command line gives it: a path, which has one slash only."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ResultsError, match=f"{uri} is a URI.*--mirror {uri}, and python -m sweep.mirror {uri} results"):
        use(Path(uri))
    assert not list(tmp_path.iterdir())

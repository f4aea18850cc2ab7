"""A cache folder is built once, whole or not at all."""

import multiprocessing
import time
from pathlib import Path

import pytest

from trainables.data.cache import built_once


def slow_build(folder: Path) -> None:
    time.sleep(0.3)
    (folder / "content").write_text("whole")
    with (folder.parent / "log").open("a") as log:
        log.write("built\n")


def ask(root: Path) -> None:
    assert (built_once(root, "key", slow_build) / "content").read_text() == "whole"


def test_many_processes_that_ask_at_once_build_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=ask, args=(tmp_path,)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    assert (tmp_path / "log").read_text() == "built\n"


def test_a_build_that_fails_leaves_nothing_and_the_next_succeeds(tmp_path: Path) -> None:
    def failing(folder: Path) -> None:
        (folder / "half").touch()
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        built_once(tmp_path, "key", failing)
    assert not (tmp_path / "key").exists()
    assert not list(tmp_path.glob("key.building-*"))
    ask(tmp_path)


def test_a_folder_left_by_a_killed_build_is_cleared_away(tmp_path: Path) -> None:
    (tmp_path / "key.building-killed").mkdir()
    ask(tmp_path)
    assert not (tmp_path / "key.building-killed").exists()

"""Which decoded stores are there, and that only those go that nobody needs."""

import gc
import multiprocessing
import os
import shutil
import time
from collections.abc import Iterator
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trainables_datasets import Written

from trainables.config import NaturalConfig
from trainables.data.cache import built_once
from trainables.data.natural import open_natural
from trainables.data.slices import open_store
from trainables.data.stores import list_stores, main, prune

DAY = 24 * 60 * 60


@pytest.fixture
def root(written: dict[str, Written], tmp_path: Path) -> Path:
    shutil.copytree(written["acdc"].root, tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def cache(root: Path, tmp_path: Path, written: dict[str, Written]) -> Iterator[Path]:
    """One data set in two sizes and a procedural set, all opened long ago and let go."""
    for size in (32, 48):
        open_store(written["acdc"].config(root=root, image_size=size), tmp_path / "cache")
    open_natural(NaturalConfig(num_images=12, image_size=16), tmp_path / "cache")
    gc.collect()
    for folder in (tmp_path / "cache").glob("*-*"):
        os.utime(folder, (time.time() - 40 * DAY,) * 2)
    return tmp_path / "cache"


def test_every_store_is_listed_with_its_size_age_and_source(cache: Path, root: Path) -> None:
    found = list_stores(cache)
    assert [each.sources for each in found] == [(root,), (root,), ()]
    assert {round(each.unused_days) for each in found} == {40}
    size = sum(path.stat().st_size for path in found[0].folder.iterdir())
    assert found[0].num_bytes == size > (found[0].folder / "images.npy").stat().st_size
    assert not any(each.is_orphaned or each.is_in_use for each in found)


def test_opening_a_store_makes_it_used_today(cache: Path, root: Path, written: dict[str, Written]) -> None:
    open_store(written["acdc"].config(root=root, image_size=48), cache)
    assert sorted(round(each.unused_days) for each in list_stores(cache)) == [0, 40, 40]


def test_stores_that_were_long_not_opened_are_removed_and_made_again_when_asked_for(
    cache: Path, root: Path, written: dict[str, Written]
) -> None:
    assert not prune(cache, 41)
    config = written["acdc"].config(root=root, image_size=48)
    images = np.array(open_store(config, cache).images)
    gc.collect()
    assert len(prune(cache, 30)) == 2
    assert len(list_stores(cache)) == 1
    assert len(prune(cache, 0)) == 1
    np.testing.assert_array_equal(open_store(config, cache).images, images)


def test_stores_whose_source_is_gone_are_removed_however_young(cache: Path, root: Path) -> None:
    shutil.rmtree(root)
    assert [each.sources for each in prune(cache, 100)] == [(root,)] * 2
    assert [each.sources for each in list_stores(cache)] == [()]


def test_a_split_whose_store_was_removed_is_decoded_again(cache: Path, root: Path, written: dict[str, Written]) -> None:
    config = written["acdc"].config(root=root, image_size=48)
    before = np.array(open_store(config, cache).images)
    gc.collect()
    for folder in cache.glob("slices-*/"):
        shutil.rmtree(folder)
    np.testing.assert_array_equal(open_store(config, cache).images, before)


def read_slowly(written: Written, cache: Path, is_open: Event, is_asked: Event) -> None:
    store = open_store(written.config(split="fractions"), cache)
    is_open.set()
    assert is_asked.wait(30)
    assert store.images.any()  # which are mapped only now
    assert store.rows("pool").any()


def test_a_store_that_another_process_has_open_is_left(written: dict[str, Written], tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    is_open, is_asked = context.Event(), context.Event()
    open_store(
        written["acdc"].config(split="fractions"), tmp_path
    )  # built here: a fork has none of its parent's threads
    assert [each.is_in_use for each in list_stores(tmp_path)] == [False]
    reader = context.Process(target=read_slowly, args=(written["acdc"], tmp_path, is_open, is_asked))
    reader.start()
    assert is_open.wait(30)
    assert [each.is_in_use for each in list_stores(tmp_path)] == [True]
    assert not prune(tmp_path, 0)
    is_asked.set()
    reader.join()
    assert reader.exitcode == 0
    assert len(prune(tmp_path, 0)) == 1


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Ways of opening a lock's file that are refused, as another user's is; root would be let through."""
    flags: list[int] = []
    real = os.open

    def opened(path: Any, how: int, *rest: Any, **named: Any) -> int:
        if str(path).endswith((".in-use", ".lock")) and any(how & each == each for each in flags):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, how, *rest, **named)

    monkeypatch.setattr(os, "open", opened)
    return flags


def test_the_lock_of_another_user_may_only_be_read_and_tells_all_the_same(cache: Path, refused: list[int]) -> None:
    refused.append(os.O_RDWR)
    list_stores(cache)
    for each in list_stores(cache):
        (each.folder.with_name(f"{each.folder.name}.in-use")).touch()
    assert not any(each.is_in_use for each in list_stores(cache))
    assert len(prune(cache, 30)) == 3


def test_a_store_stays_in_use_through_another_users_lock_in_a_sticky_folder(
    cache: Path, root: Path, written: dict[str, Written], refused: list[int]
) -> None:
    """Where ``fs.protected_regular`` is on, Linux refuses to create what is there already and another user's."""
    refused.append(os.O_CREAT)
    store = open_store(written["acdc"].config(root=root, image_size=48), cache)
    assert sorted(each.is_in_use for each in list_stores(cache)) == [False, False, True]
    del store


def test_another_users_locks_hinder_no_build(tmp_path: Path, refused: list[int]) -> None:
    for name in ("slices-1.lock", "slices-2.lock"):
        (tmp_path / name).touch()
    (tmp_path / "slices-2.building-x").mkdir()  # of a killed build
    refused.append(os.O_RDWR)
    assert built_once(tmp_path, "slices-1", lambda folder: (folder / "a").touch()).is_dir()
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {"slices-1"}


def test_a_store_that_cannot_be_locked_counts_as_in_use_and_stays(
    cache: Path, refused: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    refused.append(os.O_RDONLY)
    assert all(each.is_in_use for each in list_stores(cache))
    assert main(["--cache", str(cache), "--prune"]) == 0
    assert "3 stores" in capsys.readouterr().out.splitlines()[-1]


def test_a_store_that_cannot_be_renamed_stays(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(path: Path, _: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "rename", refusing)
    assert not prune(cache, 0)
    assert len(list_stores(cache)) == 3


@pytest.mark.parametrize("content", ["", '{"sources": [', "[]", "{}"])
def test_a_torn_note_of_the_source_is_none(cache: Path, content: str) -> None:
    first = list_stores(cache)[0].folder
    (first / "origin.json").write_text(content)
    found = {each.folder: each for each in list_stores(cache)}
    assert found[first].sources is None
    assert not found[first].is_orphaned


def test_what_a_killed_removal_left_hinders_no_other(cache: Path) -> None:
    for each in list_stores(cache):
        left = each.folder.with_name(f"{each.folder.name}.building-removed")
        left.mkdir()
        (left / "images.npy").touch()
    assert len(prune(cache, 30)) == 3


def test_the_command_lists_first_and_removes_only_where_asked(
    cache: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--cache", str(cache)]) == 0
    printed = capsys.readouterr().out
    assert printed.count(f"40 days unused, from {root}\n") == 2
    assert printed.count("from no files\n") == 1
    assert "3 stores" in printed.splitlines()[-1]
    assert "2 splits" in printed.splitlines()[-1]
    assert main(["--cache", str(cache), "--prune"]) == 0
    assert "0 stores, 0.0 MiB, 0 splits; 3 removed" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["--prune", "--unused-days", "0"])

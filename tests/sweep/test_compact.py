"""A run that leaves many small files merges them at its end; one that cannot says so and ends as it would have."""

from pathlib import Path

import pyarrow as pa
import pytest

from sweep import compact as command
from sweep.compact import compact_many
from tests.ledger_rows import commit
from trainables.results import finished_cells, open_results


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(command, "COMPACTED_FROM", 3)
    return open_results(tmp_path / "results")


def files(folder: Path) -> int:
    return len(list((folder / "cells").glob("*.parquet")))


def test_few_files_stay_as_they_are(folder: Path) -> None:
    said: list[str] = []
    for number in range(2):
        commit(folder, f"cell-{number}")
    compact_many(folder, said.append)
    assert (files(folder), said) == (2, [])


def test_many_files_become_one_and_are_not_counted_again(folder: Path) -> None:
    said: list[str] = []
    for number in range(3):
        commit(folder, f"cell-{number}")
    compact_many(folder, said.append)
    assert files(folder) == 1
    assert finished_cells(folder) == {"cell-0", "cell-1", "cell-2"}
    compact_many(folder, said.append)
    assert said == ["merged the cells' files (9), as python -m sweep.compact does"]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(28, "No space left on device"), r"[Errno 28] No space left"),
        (pa.ArrowInvalid("broken"), "broken"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
    ],
)
def test_what_keeps_files_from_being_merged_is_said_and_ends_nothing(
    error: BaseException, words: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: Path) -> None:
        raise error

    said: list[str] = []
    for number in range(3):
        commit(folder, f"cell-{number}")
    monkeypatch.setattr(command, "compact", full)
    compact_many(folder, said.append)
    assert files(folder) == 3
    assert f"not merged: {words}" in said[0]

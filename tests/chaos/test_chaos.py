"""A sweep under a few random kills ends as an undisturbed one, and what tells so can fail; ``python -m tests.chaos``
kills more.
"""

import csv
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.small_sweep import assert_same_numbers
from tests.chaos.witness import Witness
from tests.ledger_rows import commit, row
from trainables.results import open_results, read_table, write_rows

ROOT = Path(__file__).parents[2]


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.parametrize("place", ["machine", "cluster"])
def test_a_sweep_under_kills_of_everybody_ends_with_the_tables_of_an_undisturbed_one(
    tmp_path: Path, place: str
) -> None:
    table = tmp_path / "kills.csv"
    command = [sys.executable, "-m", "tests.chaos", "--kills", "8", "--seed", "1", "--places", place]
    command += ["--output", str(table), "--folder", str(tmp_path / "chaos")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    with table.open() as file:
        assert len(list(csv.DictReader(file))) == 8


@pytest.mark.slow
def test_kills_of_those_who_write_and_compact_the_ledger_mislead_no_reader_and_lose_no_row() -> None:
    command = [sys.executable, "-m", "tests.chaos.ledger", "--kills", "20", "--seed", "1"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2640 rows are as they were written" in done.stdout  # twice 120 cells with 1 + 5 + 5 rows


@pytest.mark.slow
def test_kills_of_who_copies_to_a_mirror_leave_whole_cells_there_and_lose_no_row() -> None:
    command = [sys.executable, "-m", "tests.chaos.mirror", "--kills", "8", "--seed", "1"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "every row as in the folder" in done.stdout


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two finished cells and a stage."""
    root = open_results(tmp_path / "results")
    for cell_id in ("a", "b"):
        commit(root, cell_id)
    write_rows(root, "pretraining", "stage", [row("pretraining", stage_id="stage")])
    return root


@pytest.mark.parametrize(
    ("table", "name", "change"),
    [
        ("cells", "a", {"test_dice": 0.5 + 1e-15}),
        ("curves", "b", {"val_loss": 0.4}),
        ("cases", "b", {"false_positives": 2}),
        ("pretraining", "stage", {"loss": 0.4}),
    ],
)
def test_runs_that_differ_in_one_number_are_told_apart(
    root: Path, tmp_path: Path, table: str, name: str, change: dict[str, Any]
) -> None:
    other = Path(shutil.copytree(root, tmp_path / "other"))
    assert assert_same_numbers(root, other) == 7
    (found,) = (each for each in read_table(root, table)[0].to_pylist() if name in each.values())
    write_rows(other, table, name, [found | change])
    with pytest.raises(AssertionError, match=next(iter(change))):
        assert_same_numbers(root, other)


def test_a_witness_notices_a_lost_cell_and_an_encoder_that_was_written_again(root: Path) -> None:
    witness, encoder = Witness(root), root / "encoders" / "stage" / "epoch-0001.safetensors"
    encoder.parent.mkdir(parents=True)
    encoder.write_bytes(b"one")
    witness.look()
    (root / "curves" / "b.parquet").unlink()
    with pytest.raises(AssertionError, match=r"finished cells are missing.*'b'"):
        witness.look()
    again = Witness(root)
    again.look()
    encoder.unlink()
    encoder.write_bytes(b"one")
    with pytest.raises(AssertionError, match=r"epoch-0001\.safetensors was written again"):
        again.look()

"""Copies: what comes back is what was there, nothing crosses twice, and locks and scratch stay."""

import re
from pathlib import Path

from tests.trainables.mirror.mirrored import CELLS, contents, epochs, files
from trainables.results import clear_failure, finished_cells, pull, push, read_table, write_text


def test_what_comes_back_is_what_was_there(root: Path, uri: str, tmp_path: Path) -> None:
    pushed = push(root, uri, "heart")
    pulled = pull(uri, tmp_path / "back", "heart")
    back = tmp_path / "back"
    assert contents(back) == contents(root)
    assert finished_cells(back) == set(CELLS)
    assert pushed.num_files == pulled.num_files == 3 * 4 + 1 + 1 + 1 + 1 + 2 + 2
    assert (back / "encoders/stage/epoch-0002.safetensors").read_text() == "epoch-0002.safetensors"


def test_a_second_copy_copies_nothing_either_way(root: Path, uri: str, tmp_path: Path) -> None:
    for _ in range(2):
        pushed, pulled = (
            push(root, uri, "heart", with_state=True),
            pull(uri, tmp_path / "back", "heart", with_state=True),
        )
    assert (pushed.num_files, pushed.num_removed) == (pulled.num_files, pulled.num_removed) == (0, 0)


def test_locks_temporary_files_scratch_and_unasked_states_stay(root: Path, on_disk: str, tmp_path: Path) -> None:
    push(root, on_disk)
    mirrored = files(tmp_path / "mirror")
    assert not [name for name in mirrored if re.search(r"tmp-|lock|tensorboard|report|ray|resume", name)]
    push(root, on_disk, with_state=True)
    assert files(tmp_path / "mirror") - mirrored == {"encoders/stage/resume.pt"}


def test_a_mirror_on_a_disk_is_a_results_folder(root: Path, on_disk: str, tmp_path: Path) -> None:
    push(root, on_disk, "heart")
    assert contents(tmp_path / "mirror") == contents(root)


def test_the_uri_of_a_folder_is_decoded(root: Path, tmp_path: Path) -> None:
    push(root, f"file://{tmp_path}/my%20run%231%3F")
    assert contents(tmp_path / "my run#1?") == contents(root)


def test_rewritten_files_are_copied_by_content_and_successes_clear_failures(
    root: Path, uri: str, tmp_path: Path
) -> None:
    push(root, uri)
    pull(uri, tmp_path / "back")
    epochs(root, 2, loss=0.25)  # as large as before
    write_text(root / "experiment.yaml", "name: heart\nseeds: 7\n")
    clear_failure(root, "half")
    assert push(root, uri).num_removed == 1
    pull(uri, tmp_path / "back")
    assert contents(tmp_path / "back") == contents(root)
    assert (tmp_path / "back/experiment.yaml").read_text() == "name: heart\nseeds: 7\n"


def test_epochs_are_not_replaced_by_fewer_in_either_direction(root: Path, on_disk: str, tmp_path: Path) -> None:
    push(root, on_disk)
    epochs(root, 1)
    push(root, on_disk)
    assert read_table(tmp_path / "mirror", "pretraining")[0].num_rows == 2
    epochs(root, 3)
    pull(on_disk, root)
    assert read_table(root, "pretraining")[0].num_rows == 3


def test_a_torn_copy_is_made_good(root: Path, on_disk: str, tmp_path: Path) -> None:
    push(root, on_disk)
    torn = tmp_path / "mirror" / "cases" / "a.parquet"
    torn.write_bytes(torn.read_bytes()[:100])
    assert finished_cells(tmp_path / "mirror") == {"b", "c"}
    assert push(root, on_disk).num_files == 1
    assert finished_cells(tmp_path / "mirror") == set(CELLS)


def test_a_card_stays_with_the_weights_that_it_describes(root: Path, on_disk: str, tmp_path: Path) -> None:
    push(root, on_disk)
    encoder = root / "encoders" / "stage" / "epoch-0002"
    write_text(encoder.with_suffix(".json"), "another machine's card")  # of weights that are as large
    push(root, on_disk)
    assert (tmp_path / "mirror/encoders/stage/epoch-0002.json").read_text() == "epoch-0002.json"

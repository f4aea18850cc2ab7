"""What another node wrote a moment ago is there, though an NFS client remembers what it saw before."""

import errno
import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sweep.plan import Source
from tests.ledger_rows import commit, row
from tests.remembering_client import RememberingClient
from trainables import results as contract
from trainables.config import StageConfig
from trainables.data.cache import built_once
from trainables.encoder_store import adopt_epochs, are_kept, encoder_path, epochs_done, record_epochs, resume_path
from trainables.results import (
    check_results,
    compact,
    exclusive,
    failure_reason,
    finished_cells,
    is_finished,
    is_held,
    num_rows,
    open_results,
    read_table,
    record_failure,
    remove_abandoned,
    replacing,
)
from trainables.results.server import ask_server, is_there
from trainables.trial_notes import NoteTaker, read_notes
from trainables.weights.source import locate


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RememberingClient:
    """This node's view of the server."""
    (tmp_path / "aside").mkdir()
    return RememberingClient(tmp_path / "aside", monkeypatch)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A results folder with two finished cells."""
    root = open_results(tmp_path / "results")
    for cell_id in ("a", "b"):
        commit(root, cell_id)
    return root


def another_name(path: Path) -> Path:
    """A second name for the file that is at a path now."""
    second = path.with_name(f".before-{path.name}")
    os.link(path, second)
    return second


def test_a_file_in_a_folder_that_was_not_there_is_found(tmp_path: Path, client: RememberingClient) -> None:
    (tmp_path / "stage" / "folder").mkdir(parents=True)
    (tmp_path / "stage" / "folder" / "file").touch()
    client.remembers(tmp_path / "stage")
    assert not (tmp_path / "stage" / "folder" / "file").is_file()
    assert is_there(tmp_path / "stage" / "folder" / "file")
    assert not is_there(tmp_path / "another" / "file")
    ask_server(tmp_path / "stage" / "folder" / "file")  # no folder: nothing to ask


def failing(monkeypatch: pytest.MonkeyPatch, path: Path, number: int) -> None:
    """Have the client answer with an error when it is asked for a file."""
    ask = os.stat

    def answer(asked: Any, **options: Any) -> os.stat_result:
        if asked == path:
            raise OSError(number, os.strerror(number), str(path))
        return ask(asked, **options)

    monkeypatch.setattr(os, "stat", answer)


def test_a_file_that_is_removed_while_it_is_looked_for_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoders = [encoder_path(tmp_path, "stage", epoch) for epoch in (1, 2)]
    encoders[0].parent.mkdir()
    for path in encoders:
        path.touch()
    assert are_kept(tmp_path, "stage", (1, 2))
    failing(monkeypatch, encoders[1], errno.ESTALE)
    assert [is_there(path) for path in encoders] == [True, False]
    assert not are_kept(tmp_path, "stage", (1, 2))


def test_a_server_that_does_not_answer_is_no_file_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, tmp_path / "file", errno.EIO)
    with pytest.raises(OSError, match="Input/output error"):
        is_there(tmp_path / "file")


@pytest.mark.parametrize("table", ["cells", "curves", "cases"])
def test_a_cell_that_has_finished_since_it_was_asked_for(root: Path, client: RememberingClient, table: str) -> None:
    client.remembers(root / table / "b.parquet")
    assert is_finished(root, "b")


def test_a_cell_that_the_first_compaction_has_merged_since(root: Path, client: RememberingClient) -> None:
    compact(root)
    client.remembers(root / ".compaction")
    assert is_finished(root, "a")


def test_a_cell_that_the_next_compaction_has_merged_since(root: Path, client: RememberingClient) -> None:
    compact(root)
    before = another_name(root / ".compaction")
    assert is_finished(root, "a")
    commit(root, "c")
    compact(root)
    client.remembers(root / ".compaction", seen=before)
    assert is_finished(root, "a")


def test_a_cell_that_was_written_again_since_a_compaction_read_it_is_not_removed(
    root: Path, client: RememberingClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = contract.compaction.write_text

    def late(path: Path, text: str) -> None:
        before = another_name(root / "cells" / "b.parquet")
        commit(root, "b")
        client.remembers(root / "cells" / "b.parquet", seen=before)
        real(path, text)

    monkeypatch.setattr(contract.compaction, "write_text", late)
    compact(root)
    assert [path.name for path in (root / "cells").iterdir() if path.name[:9] != "compacted"] == ["b.parquet"]


def test_a_folder_that_has_become_one_of_results_since(root: Path, client: RememberingClient) -> None:
    for use in (check_results, open_results):
        client.remembers(root / "labelcurve.json")
        assert use(root) == root


def test_a_run_that_has_begun_since(root: Path, client: RememberingClient) -> None:
    assert not is_held(root)
    with exclusive(root):
        client.remembers(root / ".lock")
        assert is_held(root)


def test_a_failure_that_another_node_recorded(root: Path, client: RememberingClient) -> None:
    record_failure(root, row("failures", unit_id="c", reason="no memory left"))
    client.remembers(root / "failures")
    assert failure_reason(root, "c") == "no memory left"


def test_a_worker_of_another_node_that_has_come_to_a_cell(tmp_path: Path, client: RememberingClient) -> None:
    notes = NoteTaker(tmp_path / "notes")
    notes.begun("a")
    client.remembers(tmp_path / "notes")
    assert read_notes(tmp_path / "notes").running == "a"


def of_stage(root: Path) -> tuple[Path, Path]:
    """A stage after its second epoch, which another node has trained; returns the encoders and its encoder."""
    encoders = root / "encoders"
    record_epochs(root, encoders, "stage", [row("pretraining", stage_id="stage", epoch=epoch) for epoch in (1, 2)])
    encoder_path(encoders, "stage", 2).write_text("weights")
    return encoders, encoder_path(encoders, "stage", 2)


USES: dict[str, Callable[[Path, Path], Any]] = {
    "its encoders are kept": lambda encoders, encoder: are_kept(encoders, "stage", [2]),
    "its epochs are done": lambda encoders, encoder: epochs_done(encoders, "stage", [2]) == 2,
    "cells can start": lambda encoders, encoder: (
        Source(f"file:{encoder}", "", "", StageConfig.__new__(StageConfig)).exists
    ),
    "its weights can be read": lambda encoders, encoder: locate(f"file:{encoder}").path.is_file(),
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("is_folder", [True, False])
def test_a_stage_that_was_trained_since(root: Path, client: RememberingClient, use: str, is_folder: bool) -> None:
    encoders, encoder = of_stage(root)
    client.remembers(encoder.parent if is_folder else encoder)
    assert USES[use](encoders, encoder)


def test_a_state_that_a_stage_can_go_on_from(root: Path, client: RememberingClient) -> None:
    encoders, _ = of_stage(root)
    resume_path(encoders, "stage").touch()
    client.remembers(resume_path(encoders, "stage"))
    assert epochs_done(encoders, "stage", [1, 2]) == 0  # as without a state it would not be
    assert resume_path(encoders, "stage").is_file()


def test_epochs_that_another_experiment_has_behind_it(tmp_path: Path, root: Path, client: RememberingClient) -> None:
    encoders, encoder = of_stage(root)
    second = open_results(tmp_path / "second")
    client.remembers(encoder.parent / "epochs.parquet")
    adopt_epochs(second, encoders, "stage")
    assert num_rows(second / "pretraining" / "stage.parquet") == 2
    client.remembers(encoder.parent / "epochs.parquet")
    record_epochs(second, encoders, "stage", [row("pretraining", stage_id="stage", epoch=1)])
    assert num_rows(encoder.parent / "epochs.parquet") == 2


def test_a_store_that_another_node_built_while_this_one_waited(
    tmp_path: Path, client: RememberingClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = fcntl.flock

    def waited(handle: Any, operation: int) -> None:
        real(handle, operation)
        (tmp_path / "key").mkdir()
        client.remembers(tmp_path / "key")

    monkeypatch.setattr(fcntl, "flock", waited)
    assert built_once(tmp_path, "key", lambda folder: pytest.fail("it is built already")) == tmp_path / "key"


def test_a_number_of_a_compaction_that_was_replaced_while_it_was_read(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compact(root)
    real, pending = Path.read_text, ["before the look", "after it"]

    def stale(path: Path, *arguments: Any, **options: Any) -> str:
        if path.name == ".compaction" and pending:
            pending.pop()
            raise OSError(errno.ESTALE, "Stale file handle")
        return real(path, *arguments, **options)

    monkeypatch.setattr(Path, "read_text", stale)
    assert finished_cells(root) == {"a", "b"}
    assert not pending


def test_what_is_left_of_removed_files_that_were_open_misleads_nobody(root: Path) -> None:
    before = read_table(root, "cells")
    for table in ("cells", "curves", "cases", "."):
        (root / table / ".nfs000000000000001a00000001").write_text("of a node that died")
    assert read_table(root, "cells") == before
    compact(open_results(root))
    assert read_table(root, "cells") == before
    assert finished_cells(root) == {"a", "b"}


def test_a_new_temporary_file_that_was_removed_leaves_its_link_under_another_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NFS renames a file that is removed while its node has it open."""
    real, pending = fcntl.flock, ["once"]

    def late(handle: Any, operation: int) -> None:
        if pending:
            pending.clear()
            (new,) = tmp_path.iterdir()
            new.rename(tmp_path / ".nfs000000000000001a00000001")
        real(handle, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    with replacing(tmp_path / "a.json") as temporary:
        assert temporary.is_file()
        assert remove_abandoned(tmp_path) == 0  # it is held


def test_a_writer_whose_new_file_went_stale_begins_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, pending = os.fstat, ["once"]

    def stale(handle: int) -> os.stat_result:
        if pending:
            pending.clear()
            raise OSError(errno.ESTALE, "Stale file handle")
        return real(handle)

    monkeypatch.setattr(os, "fstat", stale)
    with replacing(tmp_path / "a.json") as temporary:
        temporary.write_text("whole")
    assert not pending
    assert (tmp_path / "a.json").read_text() == "whole"

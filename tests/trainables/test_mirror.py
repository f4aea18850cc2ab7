"""Mirrors: equal tables at the other end, cells whole at every moment, wherever a copy is killed."""

import itertools
import json
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.ledger_rows import row
from tests.object_store import BUCKET, LOGIN, nobody_listens, serving
from trainables.results import (
    MARKER,
    SCHEMAS,
    Mirror,
    MirrorError,
    ResultsError,
    clear_failure,
    commit_cell,
    compact,
    exclusive,
    finished_cells,
    is_finished,
    open_results,
    pull,
    push,
    read_table,
    record_failure,
    shown,
    write_rows,
    write_text,
)
from trainables.results.atomic import own_prefix
from trainables.results.place import Place, open_place

CELLS = ("a", "b", "c")


class Killed(BaseException):  # stands for SIGKILL, which is no error
    """The process is killed here."""


def commit(root: Path, cell_id: str) -> None:
    curves = [row("curves", cell_id=cell_id, step=step) for step in (0, 20, 10)]
    examples = [row("examples", cell_id=cell_id, slice_index=index) for index in (4, 2)]
    commit_cell(root, row("cells", cell_id=cell_id), curves, [row("cases", cell_id=cell_id)], examples)


def epochs(root: Path, count: int, loss: float = 0.5) -> None:
    rows = [row("pretraining", stage_id="stage", epoch=epoch + 1, loss=loss) for epoch in range(count)]
    write_rows(root, "pretraining", "stage", rows)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three finished cells, one that is not, a failure, an encoder, a stage in training, and files of no mirror."""
    root = open_results(tmp_path / "results")
    for cell_id in CELLS:
        commit(root, cell_id)
    write_rows(root, "curves", "half", [row("curves", cell_id="half")])
    record_failure(root, row("failures", unit_id="half"))
    write_rows(root, "planned", "plan", [row("planned", cell_id=each) for each in (*CELLS, "half")])
    epochs(root, 2)
    write_text(root / "experiment.yaml", "name: heart\n")
    write_text(root / "subsets" / "seed-0.json", "{}\n")
    for name in ("epoch-0002.safetensors", "epoch-0002.json", "resume.pt", ".lock", ".tmp-host-x"):
        write_text(root / "encoders" / "stage" / name, name)
    for name in (".tmp-host-y", "tensorboard/events", "report/index.html", ".ray-x/state", "cells/.tmp-host-z"):
        write_text(root / name, "x")
    return root


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The parameters of an S3 server's URIs."""
    with serving(tmp_path_factory.mktemp("s3")) as parameters, pytest.MonkeyPatch.context() as patched:
        for name, value in LOGIN.items():
            patched.setenv(name, value)
        yield parameters


@pytest.fixture(params=["file", "s3"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A prefix that nothing lies at."""
    if request.param == "file":
        return f"file://{tmp_path / 'mirror'}"
    return f"s3://{BUCKET}/{tmp_path.name}?{request.getfixturevalue('store')}"


@pytest.fixture
def on_disk(tmp_path: Path) -> str:
    return f"file://{tmp_path / 'mirror'}"


def contents(root: Path) -> dict[str, list[dict[str, Any]]]:
    tables = {table: read_table(root, table) for table in SCHEMAS}
    assert not any(problems for _, problems in tables.values())
    return {table: content.to_pylist() for table, (content, _) in tables.items()}


def files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


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


def test_rewritten_files_are_copied_by_content_and_successes_clear_failures(
    root: Path, uri: str, tmp_path: Path
) -> None:
    push(root, uri)
    pull(uri, tmp_path / "back")
    epochs(root, 2, loss=0.25)  # as large as before
    write_text(root / "experiment.yaml", "name: hEart\n")
    clear_failure(root, "half")
    assert push(root, uri).num_removed == 1
    pull(uri, tmp_path / "back")
    assert contents(tmp_path / "back") == contents(root)
    assert (tmp_path / "back/experiment.yaml").read_text() == "name: hEart\n"


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

    is_done, last = False, -1
    while not is_done:
        last += 1
        place = tmp_path / f"{direction}-{last}"
        if before.exists():
            shutil.copytree(before, place)
        seen = assert_whole(place, set())
        with pytest.MonkeyPatch.context() as patched:
            stops(patched, last)
            try:
                copy(place)
                is_done = True
            except Killed:
                pass
        seen = assert_whole(place, seen)
        copy(place)
        assert_whole(place, seen)
        assert contents(place) == contents(root)
        assert all(is_finished(place, cell_id) for cell_id in finished_cells(root))
        shutil.rmtree(place)
    assert last > 12


def test_compaction_between_two_copies_is_repeated_at_the_mirror(root: Path, uri: str, tmp_path: Path) -> None:
    push(root, uri)
    compact(root)
    commit(root, "d")
    assert push(root, uri).num_removed == 3 * 4
    pull(uri, tmp_path / "back")
    assert contents(tmp_path / "back") == contents(root)
    assert len(files(tmp_path / "back" / "cells")) == 2
    compact(root)
    assert push(root, uri).num_removed == 4 + 4  # the newer singles, and the older compacted files
    pull(uri, tmp_path / "back")
    assert contents(tmp_path / "back") == contents(root)
    assert is_finished(tmp_path / "back", "d")


def test_a_reader_that_began_before_files_were_replaced_looks_again(root: Path, on_disk: str, tmp_path: Path) -> None:
    push(root, on_disk)
    generation = tmp_path / "mirror" / ".compaction"
    told = []
    for _ in range(2):
        compact(root)
        push(root, on_disk)
        told.append(generation.read_text())
        commit(root, "d")
    assert len({*told, ""}) == 3


def test_what_lacks_cells_is_filled_and_what_it_has_stays(root: Path, on_disk: str, tmp_path: Path) -> None:
    push(root, on_disk, "heart")
    other = open_results(tmp_path / "other")
    write_text(other / "experiment.yaml", "name: heart\nseeds: 5\n")
    commit(other, "a")
    commit(other, "z")
    mine = (other / "curves" / "a.parquet").stat()
    Mirror(other, on_disk, "heart").pull(only_missing=True)
    assert finished_cells(other) == {*CELLS, "z"}
    assert "seeds" in (other / "experiment.yaml").read_text()
    assert (other / "curves" / "a.parquet").stat() == mine


def test_cells_that_are_compacted_here_are_not_brought_again(root: Path, on_disk: str) -> None:
    push(root, on_disk)
    compact(root)
    before = files(root / "cells")
    Mirror(root, on_disk).pull(only_missing=True)
    assert files(root / "cells") == before


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


def test_the_state_of_a_stage_in_training_goes_with_the_stage(root: Path, on_disk: str, tmp_path: Path) -> None:
    mirror = Mirror(root, on_disk, with_state=True)
    mirror.claim()
    mirror.push()
    state = tmp_path / "mirror/encoders/stage/resume.pt"
    write_text(root / "encoders/stage/resume.pt", "a later state")
    mirror.push()
    assert state.read_text() == "a later state"
    (root / "encoders/stage/resume.pt").unlink()
    assert mirror.push().num_removed == 1
    assert not state.exists()


def test_a_state_that_took_long_waits_unless_it_is_the_last_call(
    root: Path, on_disk: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainables.results.copying.STATE_SHARE", 1e9)
    mirror = Mirror(root, on_disk, with_state=True)
    mirror.push(is_last=False)
    write_text(root / "encoders/stage/resume.pt", "a later state")
    assert mirror.push(is_last=False).num_files == 0
    assert mirror.push(is_last=True).num_files == 1


def test_a_server_that_is_gone_is_told_of_within_seconds_and_without_secrets(root: Path, store: str) -> None:
    started = time.monotonic()
    with pytest.raises(MirrorError, match=re.escape(f"s3://{BUCKET}/x at 127.0.0.1:1 cannot be read")) as told:
        push(root, f"s3://who:h%2Fush@{BUCKET}/x?{nobody_listens()}")
    assert time.monotonic() - started < 10
    assert not re.search("who:|h/ush|h%2Fush", str(told.value))


def test_another_bucket_is_refused(root: Path, store: str) -> None:
    with pytest.raises(MirrorError, match=re.escape("s3://elsewhere/x") + ".*(NO_SUCH_BUCKET|does not exist)"):
        push(root, f"s3://elsewhere/x?{store}")


def test_a_bucket_is_made_where_the_uri_allows_it(root: Path, store: str, tmp_path: Path) -> None:
    uri = f"s3://made-anew/x?{store}&allow_bucket_creation=true"
    push(root, uri)
    pull(uri, tmp_path / "back")
    assert contents(tmp_path / "back") == contents(root)


def test_a_large_file_crosses_in_pieces(root: Path, store: str, tmp_path: Path) -> None:
    weights = root / "encoders" / "stage" / "epoch-0002.safetensors"
    weights.write_bytes(bytes(range(256)) * (2**16 + 1))  # 16 MiB and 256 bytes
    uri = f"s3://{BUCKET}/{tmp_path.name}-large?{store}"
    push(root, uri)
    pull(uri, tmp_path / "back")
    assert (tmp_path / "back/encoders/stage/epoch-0002.safetensors").read_bytes() == weights.read_bytes()


@pytest.mark.parametrize(
    ("marker", "message"),
    [
        (None, f"holds files and no {MARKER}; expected nothing"),
        ('{"schema_version": 99}', "has results schema version 99, this program reads and writes version"),
        ("[]", f"{MARKER} in .* is damaged: expected a JSON object"),
        ('{"schema_version": 3, "experiment": "brain"}', "is the mirror of the experiment brain, found heart here"),
    ],
)
def test_a_prefix_of_something_else_is_refused_and_left_alone(
    root: Path, uri: str, marker: str | None, message: str
) -> None:
    place = open_place(uri)
    place.write(MARKER if marker else "holiday.jpg", [(marker or "x").encode()])
    for call in (lambda: push(root, uri, "heart"), lambda: pull(uri, root, "heart")):
        with pytest.raises(MirrorError, match=message):
            call()
    assert set(place.listed("", recursive=True)) == {MARKER if marker else "holiday.jpg"}


def test_nothing_to_bring_back_is_told_and_no_folder_is_made(uri: str, tmp_path: Path) -> None:
    with pytest.raises(MirrorError, match=r"no mirror in .*: expected labelcurve.json there"):
        pull(uri, tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_the_marker_keeps_the_experiment_that_it_names(root: Path, on_disk: str, tmp_path: Path) -> None:
    push(root, on_disk, "heart")
    push(root, on_disk)
    assert json.loads((tmp_path / "mirror" / MARKER).read_text()) == {"schema_version": 3, "experiment": "heart"}


def test_a_folder_that_a_run_holds_is_neither_brought_into_nor_mirrored_to(
    root: Path, on_disk: str, tmp_path: Path
) -> None:
    push(root, on_disk)
    with exclusive(root), pytest.raises(ResultsError, match="another run is writing"):
        pull(on_disk, root)
    with exclusive(tmp_path / "mirror"), pytest.raises(MirrorError, match=r"a run holds .* as its results folder"):
        push(root, on_disk)
    with pytest.raises(MirrorError, match="is the results folder itself"):
        push(root, f"file://{root}")


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("ftp://host/x", "ftp://host/x names no mirror"),
        ("s3://", "expected a bucket after s3://"),
        ("s3://key:hush@bucket/x?endpoint=here", "expected the parameters region, .*, found endpoint;"),
        ("mock://x", "cannot hold a mirror: expected a bucket"),
    ],
)
def test_a_uri_of_no_store_is_refused_without_its_secrets(root: Path, uri: str, message: str) -> None:
    with pytest.raises(MirrorError, match=message) as told:
        push(root, uri)
    assert "hush" not in str(told.value)


def test_a_uri_is_shown_without_login_and_parameters_but_the_endpoint() -> None:
    assert shown("s3://key:hush@bucket/a/b?region=x&endpoint_override=host:1") == "s3://bucket/a/b at host:1"
    assert shown("file:///a/b") == "file:///a/b"


def test_a_refused_mark_of_a_folder_does_not_hide_that_the_object_is_gone(store: str, tmp_path: Path) -> None:
    place = open_place(f"s3://{BUCKET}/{tmp_path.name}?{store}")
    place.write("cells/a.parquet", [b"x"])  # the test server refuses names that end in a slash
    place.remove("cells/a.parquet")
    place.remove("cells/a.parquet")
    assert place.is_empty()


def test_the_endpoint_may_come_from_the_usual_variable(
    root: Path, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = re.search(r"endpoint_override=([^&]*)", store)
    assert address
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{address.group(1)}")
    uri = f"s3://{BUCKET}/{tmp_path.name}-variable"
    push(root, uri)
    pull(uri, tmp_path / "back")
    assert contents(tmp_path / "back") == contents(root)


def test_what_killed_copies_left_on_a_disk_is_removed_by_the_next(root: Path, on_disk: str, tmp_path: Path) -> None:
    push(root, on_disk)
    left = tmp_path / "mirror" / "cells" / f"{own_prefix()}left"
    left.touch()
    push(root, on_disk)
    assert not left.exists()

"""What is no mirror, or another's, is refused in words that hold no secrets, and left alone."""

import json
import re
import time
from pathlib import Path

import pytest

from tests.ledger_rows import commit, row
from tests.object_store import BUCKET, nobody_listens
from trainables.results import (
    MARKER,
    MirrorError,
    ResultsError,
    exclusive,
    open_results,
    pull,
    push,
    record_failure,
    without_secrets,
    write_text,
)
from trainables.results.place import open_place


def test_a_server_that_is_gone_is_told_of_within_seconds_and_without_secrets(root: Path, store: str) -> None:
    started = time.monotonic()
    with pytest.raises(MirrorError, match=re.escape(f"s3://{BUCKET}/x at 127.0.0.1:1 cannot be read")) as told:
        push(root, f"s3://who:h%2Fush@{BUCKET}/x?{nobody_listens()}")
    assert time.monotonic() - started < 10
    assert not re.search("who:|h/ush|h%2Fush", str(told.value))


def test_another_bucket_is_refused(root: Path, store: str) -> None:
    with pytest.raises(MirrorError, match=re.escape("s3://elsewhere/x") + ".*(NO_SUCH_BUCKET|does not exist)"):
        push(root, f"s3://elsewhere/x?{store}")


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


@pytest.fixture
def brain(tmp_path: Path) -> Path:
    """The results folder of another experiment, which no run holds: a finished cell and a failure."""
    folder = open_results(tmp_path / "brain")
    write_text(folder / "experiment.yaml", "data: {name: x}\nname: brain\nreport:\n  name: x\n")
    commit(folder, "z")
    record_failure(folder, row("failures", unit_id="y"))
    return folder


def content_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["heart", None])
def test_the_results_folder_of_another_experiment_is_neither_mirrored_to_nor_brought_in(
    root: Path, brain: Path, name: str | None
) -> None:
    before = content_of(brain)
    with pytest.raises(MirrorError, match=r"brain holds the results of the experiment brain, found heart here"):
        push(root, f"file://{brain}", name)
    with pytest.raises(MirrorError, match=r"brain holds the results of the experiment brain, found heart here"):
        pull(f"file://{brain}", root, name)
    assert content_of(brain) == before


def test_a_mirror_is_not_brought_into_the_results_folder_of_another_experiment(
    root: Path, brain: Path, on_disk: str
) -> None:
    push(root, on_disk)
    before = content_of(brain)
    with pytest.raises(MirrorError, match=r"is the mirror of the experiment heart, found brain here"):
        pull(on_disk, brain)
    assert content_of(brain) == before


@pytest.mark.parametrize("content", ["name: heart\n", "", None])
def test_a_results_folder_is_no_place_for_a_mirror_but_can_be_brought_in(
    root: Path, brain: Path, tmp_path: Path, content: str | None
) -> None:
    if content is None:
        (brain / "experiment.yaml").unlink()
    else:
        write_text(brain / "experiment.yaml", content)
    before = content_of(brain)
    with pytest.raises(MirrorError, match=r"holds results that are no mirror"):
        push(root, f"file://{brain}")
    assert content_of(brain) == before
    pull(f"file://{brain}", tmp_path / "back")
    assert (tmp_path / "back/cells/z.parquet").exists()


def test_results_without_a_name_are_mirrored_but_not_to_the_mirror_of_an_experiment(
    root: Path, brain: Path, on_disk: str, tmp_path: Path
) -> None:
    (brain / "experiment.yaml").unlink()
    for _ in range(2):
        push(brain, f"file://{tmp_path / 'nameless'}")
    push(root, on_disk)
    with pytest.raises(MirrorError, match=r"mirror of the experiment heart, and no experiment.yaml in .*brain tells"):
        push(brain, on_disk)


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


def test_a_mirror_in_the_results_folder_or_around_it_is_refused(root: Path, tmp_path: Path) -> None:
    inner, outer, linked = root / "inner" / "mirror", root.parent, tmp_path / "linked"
    linked.symlink_to(root)
    for place, where in ((inner, "in"), (outer, "around"), (linked / "mirror", "in")):
        with pytest.raises(MirrorError, match=rf"{place} lies {where} the results folder .*; expected a place beside"):
            push(root, f"file://{place}")
        with pytest.raises(MirrorError, match=rf"lies {where} the results folder"):
            pull(f"file://{place}", root)
    assert not (root / "inner").exists()
    push(root, f"file://{root}-mirror")  # a name that begins alike is no folder in it


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("ftp://host/x", "ftp://host/x names no mirror"),
        ("s3://", "expected a bucket after s3://"),
        ("s3://key:hush@bucket/x?endpoint=here", "expected the parameters region, .*; found endpoint;"),
        ("mock://x", "cannot hold a mirror: expected a bucket"),
        ("file:///there/run#1", r"file:///there/run#1 names no mirror: .*; write %23 for a # in it"),
        ("file:///there/run?1", r"file:///there/run names no mirror: .*; write %3F for a \? in it"),
        ("file:///there/run?region=x", r"write %3F"),
        ("file:///there/my run", r"syntax error.*write %20 for a space"),
        ("gs://key:hush@bucket/run#1", r"gs://bucket/run#1 names no mirror: .*write %23"),
        (
            "s3://key:hush@bucket/run?1",
            r"the parameters region, .* behind a \?, which no prefix can have; found 1;",
        ),
        ("s3://key:hush@bucket/run?region=x#1", "found a # in the parameters"),
    ],
)
def test_a_uri_of_no_store_is_refused_without_its_secrets(root: Path, uri: str, message: str) -> None:
    with pytest.raises(MirrorError, match=message) as told:
        push(root, uri)
    assert "hush" not in str(told.value)


def test_a_uri_is_shown_without_login_and_parameters_but_the_endpoint() -> None:
    assert without_secrets("s3://key:hush@bucket/a/b?region=x&endpoint_override=host:1") == "s3://bucket/a/b at host:1"
    assert without_secrets("s3://key:hush@bucket/run#1?region=x") == "s3://bucket/run#1"
    assert without_secrets("file:///a/b") == "file:///a/b"

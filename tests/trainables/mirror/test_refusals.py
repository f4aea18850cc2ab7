"""What is no mirror, or another's, is refused in words that hold no secrets, and left alone."""

import json
import re
import time
from pathlib import Path

import pytest

from tests.object_store import BUCKET, nobody_listens
from trainables.results import MARKER, MirrorError, ResultsError, exclusive, pull, push, without_secrets
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
    assert without_secrets("s3://key:hush@bucket/a/b?region=x&endpoint_override=host:1") == "s3://bucket/a/b at host:1"
    assert without_secrets("file:///a/b") == "file:///a/b"

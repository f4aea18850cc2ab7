"""What an object store needs that a disk does not: buckets, pieces, marks of folders, the usual variables."""

import re
from pathlib import Path

import pytest

from tests.object_store import BUCKET
from tests.trainables.mirror.mirrored import contents
from trainables.results import pull, push
from trainables.results.place import open_place


def test_a_bucket_is_made_where_the_uri_allows_it(root: Path, store: str, tmp_path: Path) -> None:
    uri = f"s3://made-anew/x?{store}&allow_bucket_creation=true"
    push(root, uri)
    pull(uri, tmp_path / "back")
    assert contents(tmp_path / "back") == contents(root)


def test_a_prefix_is_taken_as_it_is_written(root: Path, store: str, tmp_path: Path) -> None:
    """As by ``aws s3 cp``: 'run#1', 'run#2' and 'run' are three prefixes, and so are 'my run' and 'my%20run'."""
    names = ("run#1", "run#2", "run", "my run", "my%20run")
    for number, name in enumerate(names):
        uri = f"s3://{BUCKET}/{tmp_path.name}/{name}?{store}"
        assert open_place(uri).is_empty()
        open_place(uri).write("number", [str(number).encode()])
        assert f"/{name} at " in str(open_place(uri))
    listed = open_place(f"s3://{BUCKET}/{tmp_path.name}?{store}").listed("", recursive=True)
    assert set(listed) == {f"{name}/number" for name in names}
    for number, name in enumerate(names):
        assert open_place(f"s3://{BUCKET}/{tmp_path.name}/{name}?{store}").read("number") == str(number).encode()


def test_a_large_file_crosses_in_pieces(root: Path, store: str, tmp_path: Path) -> None:
    weights = root / "encoders" / "stage" / "epoch-0002.safetensors"
    weights.write_bytes(bytes(range(256)) * (2**16 + 1))  # 16 MiB and 256 bytes
    uri = f"s3://{BUCKET}/{tmp_path.name}-large?{store}"
    push(root, uri)
    pull(uri, tmp_path / "back")
    assert (tmp_path / "back/encoders/stage/epoch-0002.safetensors").read_bytes() == weights.read_bytes()


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

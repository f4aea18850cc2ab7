"""A results folder to mirror, and places to mirror it to: a disk and a server of the S3 protocol."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ledger_rows import row
from tests.object_store import BUCKET, LOGIN, serving
from tests.trainables.mirror.mirrored import CELLS, commit, epochs
from trainables.results import open_results, record_failure, write_rows, write_text


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

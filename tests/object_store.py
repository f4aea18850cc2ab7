"""A server of the S3 protocol on this machine, for tests of mirrors.

In: a folder that holds its buckets. Out: URIs of prefixes in a bucket of it, while the body runs.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

BUCKET = "bucket"
LOGIN = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_EC2_METADATA_DISABLED": "true"}


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serve a bucket from a folder; yield the parameters of its URIs."""
    localbucket = pytest.importorskip("localbucket", reason="the S3 server is not installed: pip install -e .[dev]")

    class Handler(localbucket.S3Handler):  # type: ignore[misc,name-defined]
        data_root = folder
        disable_nagle_algorithm = True

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    (folder / BUCKET).mkdir(parents=True)

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            """Say nothing of clients that were killed."""

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"endpoint_override=127.0.0.1:{server.server_address[1]}&scheme=http"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def nobody_listens() -> str:
    """The parameters of a server that is not there."""
    return "endpoint_override=127.0.0.1:1&scheme=http"

"""A folder of files, on a disk or behind a URI of ``pyarrow.fs``: listed, read, and written whole or not at all.

In: a path or a URI (``s3://bucket/prefix?region=...&endpoint_override=...``, ``gs://``, ``abfs://``, ``file:///``).
Out: names below it with size and time, and their bytes. On a disk a file is written under another name and moved; an
object store shows an object when its upload has ended.

A prefix of S3 is what it says, as for the command line of AWS: ``%20`` and ``#`` are characters of it, and only ``?``
begins parameters. The other URIs are read as such, ``%20`` as a space; a ``#`` in them, and a ``?`` in ``file://``,
would cut a name off, and is refused. Credentials, region and endpoint come from the usual variables of the store
(``AWS_...``) or from the URI, and no message tells what the URI holds of secrets.
"""

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from trainables.results.atomic import replacing
from trainables.results.contract import ResultsError

CHUNK_BYTES = 8 * 2**20
WHOLE_OR_NOT = ("local", "s3", "gcs", "abfs")  # where a file that is being written is not seen
S3_OPTIONS = ("region", "scheme", "endpoint_override", "allow_bucket_creation")
REGION_VARIABLES = ("AWS_REGION", "AWS_DEFAULT_REGION")
ENDPOINT_VARIABLES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")  # the first one stands
CONNECT_SECONDS, REQUEST_SECONDS, NUM_ATTEMPTS = 5.0, 20.0, 3  # so that a server that is gone is told of in seconds


class MirrorError(ResultsError):
    """A mirror that cannot be reached or used; the message says what was expected and found, and what to do."""


@dataclass(frozen=True)
class Found:
    """A file as it was listed."""

    num_bytes: int
    mtime_ns: int


class _Parts(NamedTuple):
    """A URI taken apart, nothing in it decoded."""

    scheme: str
    login: str
    host: str  # or bucket
    path: str
    query: str


def _parts(uri: str) -> _Parts:
    address, _, query = uri.partition("?")
    scheme, _, rest = address.partition("://")
    authority, slash, path = rest.partition("/")
    login, _, host = authority.rpartition("@")
    return _Parts(scheme, login, host, slash + path, query)


def without_secrets(uri: str) -> str:
    """Return a URI without what may be secret in it: who logs in, and all parameters but the endpoint."""
    parts = _parts(uri)
    endpoint = dict(parse_qsl(parts.query)).get("endpoint_override", "")
    at = f" at {endpoint.rpartition('@')[2]}" if endpoint else ""
    return f"{parts.scheme}://{parts.host}{parts.path}{at}"


def is_uri(text: str) -> bool:
    """Return whether a text names a place by URI, and not by path."""
    return "://" in text


class Place:
    """A folder on a disk, or what lies below a URI."""

    def __init__(self, filesystem: fs.FileSystem, base: str, uri: str = "") -> None:
        self._fs, self._base, self._uri = filesystem, base.rstrip("/"), uri
        self.is_local = filesystem.type_name == "local"

    def __str__(self) -> str:
        return without_secrets(self._uri) if self._uri else self._base

    @property
    def folder(self) -> Path:
        """Where a local place lies."""
        return Path(self._base)

    def listed(self, folder: str, recursive: bool = False) -> dict[str, Found]:
        """Return the files in a folder of this place by name; none where there is no such folder."""
        selector = fs.FileSelector(self._path(folder), allow_not_found=True, recursive=recursive)
        with self._told("listed"):
            found = [each for each in self._fs.get_file_info(selector) if each.is_file]
        start = len(self._base) + 1
        return {each.path[start:]: Found(each.size, each.mtime_ns or 0) for each in found}

    def is_empty(self) -> bool:
        """Return whether nothing lies here."""
        with self._told("listed"):
            return not self._fs.get_file_info(fs.FileSelector(self._base, allow_not_found=True))

    def chunks(self, name: str) -> Iterator[bytes]:
        """Yield a file's bytes piece by piece. Raises FileNotFoundError."""
        with self._told("read"), self._fs.open_input_stream(self._path(name)) as stream:
            while chunk := stream.read(CHUNK_BYTES):
                yield chunk

    def read(self, name: str) -> bytes:
        """Return a file's bytes. Raises FileNotFoundError."""
        return b"".join(self.chunks(name))

    def write(self, name: str, chunks: Iterable[bytes]) -> None:
        """Write a file that appears whole; nothing is opened before the first piece is there."""
        pieces = iter(chunks)
        first = next(pieces, b"")
        if self.is_local:
            with self._told("written"), replacing(Path(self._path(name))) as temporary, temporary.open("wb") as file:
                _put(file.write, first, pieces)
            return
        with self._told("written"):
            stream = self._fs.open_output_stream(self._path(name))
            try:
                _put(stream.write, first, pieces)
            except BaseException:  # closing shows what has been written so far
                with contextlib.suppress(OSError):
                    stream.close()
                    self.remove(name)
                raise
            stream.close()

    def remove(self, name: str) -> None:
        """Remove a file; it may be gone already."""
        path = self._path(name)
        with self._told("written"):
            try:
                self._fs.delete_file(path)
            except FileNotFoundError:
                pass
            except OSError:  # pyarrow then writes a mark of the folder, which a store may refuse
                if self._fs.get_file_info(path).type != fs.FileType.NotFound:
                    raise

    def footer(self, name: str) -> pq.FileMetaData | None:
        """Return what the end of a Parquet file tells; None where it is torn. Raises FileNotFoundError."""
        with self._told("read"), self._fs.open_input_file(self._path(name)) as file:
            try:
                return pq.read_metadata(file)
            except pa.ArrowInvalid:
                return None

    def make_bucket(self) -> None:
        """Create the bucket where the URI allows that."""
        if "allow_bucket_creation=true" in self._uri.lower():
            with self._told("written"):
                self._fs.create_dir(self._base.partition("/")[0])

    def _path(self, name: str) -> str:
        return f"{self._base}/{name}" if name else self._base

    @contextlib.contextmanager
    def _told(self, doing: str) -> Iterator[None]:
        """Turn an error of the store into a message; that a file is not there is for the caller."""
        try:
            yield
        except FileNotFoundError:
            raise
        except (OSError, pa.ArrowException) as error:
            if not self._uri:
                raise
            raise MirrorError(
                f"the mirror {self} cannot be {doing}: {_message_without_secrets(str(error), self._uri)}; expected a "
                "place that can be reached, listed, read and written: check its name, the network, and the store's "
                "variables (for S3 AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION)"
            ) from error


def local_place(root: Path) -> Place:
    """Return a folder on a disk."""
    return Place(fs.LocalFileSystem(), str(root))


def open_place(uri: str) -> Place:
    """Return what a URI names; nothing is asked of it yet. Raises MirrorError where no store is told by it."""
    try:
        filesystem, base = _s3(uri) if uri.startswith("s3://") else _from_uri(uri)
    except (ValueError, OSError, pa.ArrowException) as error:
        reason = _message_without_secrets(str(error).splitlines()[0], uri)
        raise MirrorError(
            f"{without_secrets(uri)} names no mirror: {reason}; expected s3://BUCKET/PREFIX or file:///FOLDER"
        ) from error
    if filesystem.type_name not in WHOLE_OR_NOT or not base.strip("/"):
        raise MirrorError(
            f"{without_secrets(uri)} cannot hold a mirror: expected a bucket (s3, gs, abfs) or a folder (file), where "
            f"files appear whole; found {filesystem.type_name or 'nothing'}"
        )
    return Place(filesystem, base, uri)


def _from_uri(uri: str) -> tuple[fs.FileSystem, str]:
    """Return what pyarrow finds behind a URI, which leaves out what follows some signs without a word."""
    is_file = uri.startswith("file:")
    for sign, code in (("#", "%23"), ("?", "%3F"))[: 1 + is_file]:
        if sign in uri:
            raise ValueError(f"a name ends before '{sign}' in a URI; write {code} for a {sign} in it")
    try:
        filesystem, base = fs.FileSystem.from_uri(uri)
        return filesystem, base
    except pa.ArrowInvalid as error:
        hint = " (in names write %20 for a space, %25 for a %)" if "syntax error" in str(error) else ""
        raise ValueError(f"{str(error).splitlines()[0]}{hint}") from error


def _s3(uri: str) -> tuple[fs.FileSystem, str]:
    """Return S3 as a URI tells it; ``FileSystem.from_uri`` would wait longer for a server that is gone."""
    parts = _parts(uri)
    login, bucket = parts.login, parts.host
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if unknown := sorted(set(options) - set(S3_OPTIONS)):
        what = f"expected the parameters {', '.join(S3_OPTIONS)}"
        raise ValueError(f"{what} behind a ?, which no prefix can have; found {', '.join(unknown)}")
    if "#" in parts.query:
        raise ValueError("found a # in the parameters, which follow the prefix")
    if not bucket:
        raise ValueError("expected a bucket after s3://")
    if "endpoint_override" not in options:
        options = _usual_endpoint() | options
    if not {"region", "endpoint_override"} & set(options) and not any(map(os.environ.get, REGION_VARIABLES)):
        options["region"] = fs.resolve_s3_region(bucket)
    return _s3_file_system(options, *map(unquote, login.partition(":")[::2])), f"{bucket}{parts.path}"


def _usual_endpoint() -> dict[str, str]:
    """Return the endpoint that the usual variables name, which older pyarrow does not read."""
    url = next(filter(None, map(os.environ.get, ENDPOINT_VARIABLES)), "")
    return {"endpoint_override": urlsplit(url).netloc, "scheme": urlsplit(url).scheme} if "://" in url else {}


def _s3_file_system(options: dict[str, str], key: str, secret: str) -> fs.FileSystem:
    wanted = {
        **options,
        "access_key": key or None,
        "secret_key": secret or None,
        "allow_bucket_creation": options.get("allow_bucket_creation", "").lower() == "true",
        "connect_timeout": CONNECT_SECONDS,
        "request_timeout": REQUEST_SECONDS,
        "retry_strategy": fs.AwsStandardS3RetryStrategy(max_attempts=NUM_ATTEMPTS),
    }
    try:
        return fs.S3FileSystem(**wanted, allow_delayed_open=True)  # a small object is one request
    except TypeError:  # older pyarrow has no such option: it takes three
        return fs.S3FileSystem(**wanted)


def _put(write: Callable[[bytes], object], first: bytes, pieces: Iterator[bytes]) -> None:
    write(first)
    for piece in pieces:
        write(piece)


def _message_without_secrets(text: str, uri: str) -> str:
    """Return a store's message without the URI's secrets, in one line."""
    text = " ".join(text.replace(uri, without_secrets(uri)).split())
    login = _parts(uri).login
    for secret in sorted({*login.split(":"), *map(unquote, login.split(":"))} - {""}, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text

"""A run as JSON lines for machines: one object for each event, and the run's state every half minute.

In: events of a Scoreboard and moments of a run. Out: lines in a file or on standard output; docs/running.md documents
their fields. A log that can no longer be written is given up with a warning: it never ends a run.
"""

import json
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from sweep.state.counts import Counts
from sweep.views.live_view import Money


class LogError(Exception):
    """A log that cannot be written; the message says where and what to do."""


class EventLog:
    """Where events go; without a stream, nowhere. Threads may write at once."""

    def __init__(self, stream: TextIO | None, warn: Callable[[str], None] = lambda message: None) -> None:
        self._stream, self._warn, self._lock = stream, warn, threading.Lock()

    def write(self, event: str, fields: Mapping[str, Any]) -> None:
        """Write one event as one line, at once."""
        line = json.dumps({"event": event, "time": datetime.now(UTC).isoformat(), **fields})
        with self._lock:
            if self._stream is None:
                return
            try:
                print(line, file=self._stream, flush=True)
            except (OSError, ValueError) as error:  # a full disk; a pipe that nobody reads any more; a closed stream
                self._stream = None
                self._warn(f"warning: events are no longer logged: {error}")

    def progress(self, counts: Counts, money: Money) -> None:
        """Write a moment of the run."""
        left = counts.device_seconds_left
        costs = {"cost": money.of(counts.device_seconds), "cost_left": None if left is None else money.of(left)}
        self.write("progress", asdict(counts) | costs)


def check_log(path: str | None, results: Path) -> None:
    """Raise LogError if nothing could be added to the file at ``path``; ``results`` may still have to be created.

    Nothing is opened: a reader of a pipe would take that for its end.
    """
    if path is None or path == "-":
        return
    file = Path(path).absolute()
    found, place = "", file if file.exists() else file.parent
    if file.is_dir():
        found = "a folder"
    elif not place.exists():
        found = "" if place == results.absolute() else f"no folder {place}"
    elif not os.access(place, os.W_OK):
        found = f"{place}, which may not be written"
    elif not file.exists() and not place.is_dir():
        found = f"{place}, which is no folder"
    if found:
        raise LogError(f"--log-json {path}: expected a file that events can be added to, found {found}; name another")


@contextmanager
def opened(path: str | None, warn: Callable[[str], None]) -> Iterator[EventLog]:
    """Yield a log that adds to the file at ``path``; ``-`` is standard output, None is no log. Raises OSError."""
    if path is None or path == "-":
        yield EventLog(None if path is None else sys.stdout, warn)
        return
    stream = open(path, "a", encoding="utf-8")  # noqa: SIM115  # closed below, where a full disk is no error
    try:
        yield EventLog(stream, warn)
    finally:
        with suppress(OSError):  # what could not be written is tried once more; the log has warned of it
            stream.close()

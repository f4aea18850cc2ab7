"""Copy a results folder to an object store and back: python -m sweep.mirror RESULTS URI, or URI RESULTS [--state]

In: a results folder, running or stopped, and a URI (``s3://bucket/prefix``, ``gs://``, ``abfs://``, ``file:///``).
Out: what is new in the first lies in the second; one line. A call that was killed is completed by the next one
(``trainables.results.mirror``). A sweep with ``--mirror URI`` does the same while it runs, by ``mirrored_to``.
Exit codes: 0 copied, or nothing new; 1 error; 2 usage.
"""

import argparse
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sweep.exit_codes import DONE
from trainables.results import Copied, Mirror, ResultsError, is_uri, pull, push, without_secrets
from trainables.results.programs import EXIT_CODES, program

SECONDS = 30.0  # from one look to the next while a sweep runs

Say = Callable[[str], None]


class _Follower:
    """A thread that copies what has finished every half minute, and a last time at the end."""

    def __init__(self, mirror: Mirror, say: Say) -> None:
        self._mirror, self._say, self._stop = mirror, say, threading.Event()
        self.problem = ""  # why the latest call failed
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread, and copy what it has not."""
        self._stop.set()
        self._thread.join()
        self._update(is_last=True)

    def _follow(self) -> None:
        due = time.monotonic() + SECONDS
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            due = max(due + SECONDS, time.monotonic())
            self._update(is_last=False)

    def _update(self, is_last: bool) -> None:
        try:
            self._mirror.push(is_last)
        except (ResultsError, OSError) as error:
            if not self.problem:
                self._say(f"warning: {error}; the run goes on, and the mirror is tried again")
            self.problem = str(error)
        else:
            if self.problem and not is_last:
                self._say(f"{self._mirror.place}: the mirror is up to date again")
            self.problem = ""


@contextmanager
def mirrored_to(uri: str | None, folder: Path, experiment: str, say: Say) -> Iterator[None]:
    """Bring in what the mirror has and the folder lacks, then keep the mirror up to date until the body ends.

    Raises MirrorError before the body where the mirror cannot be used; a later one is printed, and again at the end.
    """
    if not uri:
        yield
        return
    mirror = Mirror(folder, uri, experiment, with_state=True)
    is_old = mirror.is_there
    mirror.claim()
    if is_old:
        brought = mirror.pull(only_missing=True)
        say(f"{mirror.place}: {brought.num_files} files brought in, {brought.num_bytes / 2**20:.1f} MiB")
    follower = _Follower(mirror, say)
    try:
        yield
    finally:
        follower.close()
        if follower.problem:
            say(
                f"warning: the mirror lacks what has finished lately: {follower.problem}. Nothing is lost here: "
                f"python -m sweep.mirror {folder} URI copies the rest"
            )


def _copy(source: str, target: str, with_state: bool) -> Copied:
    if is_uri(target):
        return push(Path(source), target, with_state=with_state)
    return pull(source, Path(target), with_state=with_state)


@program
def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, copy and return the exit code."""
    about = (__doc__ or "").partition(":")[0]
    parser = argparse.ArgumentParser(prog="python -m sweep.mirror", description=about, epilog=EXIT_CODES)
    parser.add_argument("source", metavar="RESULTS|URI", help="what is copied")
    parser.add_argument("target", metavar="URI|RESULTS", help="where to; one of the two is a URI such as s3://B/PREFIX")
    parser.add_argument("--state", action="store_true", help="also what stages in training go on from (large)")
    options = parser.parse_args(arguments)
    if is_uri(options.source) == is_uri(options.target):
        parser.error("expected a results folder and a URI (s3://BUCKET/PREFIX, file:///FOLDER), in either order")
    done = _copy(options.source, options.target, options.state)
    where = without_secrets(options.target) if is_uri(options.target) else options.target
    removed = f", {done.num_removed} removed that these replace" if done.num_removed else ""
    print(f"{where}: {done.num_files} files copied, {done.num_bytes / 2**20:.1f} MiB{removed}")
    return DONE


if __name__ == "__main__":
    sys.exit(main())

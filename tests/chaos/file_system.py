"""Whether a file system that two nodes share is safe for results:
python -m tests.chaos.file_system FOLDER --node "ssh nodea" --node "ssh nodeb" --seconds 240

In: a new folder there, and how each node is reached: a command that gets a line for the node's shell as one more
argument. The project and the folder have the same paths on both. One node holds the lock of a run that the other must
be refused, and is killed; then both commit cells, write finished ones again, compact and read at once. Out: a summary;
exit code 0 where nothing was wrong, 1 and what was wrong, or 2 where a node cannot be reached.
"""

import argparse
import contextlib
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tests.chaos.file_system_roles import NUM_NODES, Part, await_lock, compare, hold, keep_compacting, look, meet, write
from tests.chaos.remote import END_SECONDS, Node, NodeError, Role

LOCK_SECONDS = 150.0  # for the lock of a killed process; a server's lease of a client is 90 s by default
PATIENCE_SECONDS = 300.0  # beyond the time, for cells that are left and for the comparison
SHOWN = 3  # of what was wrong in one role


class Trial:
    """Two nodes and what they are asked to do."""

    def __init__(self, nodes: list[Node], folder: Path, num_cells: int, seconds: float) -> None:
        self.nodes, self.wrong = nodes, list[str]()
        self._folder, self._num_cells, self._seconds = folder, num_cells, seconds
        self._roles = list[Role]()

    def start(self, body: Callable[[Part], None], node: Node) -> Role:
        """Start a role on a node."""
        self._roles.append(Role(node, body.__name__, self._folder, node.number, self._num_cells, self._seconds))
        return self._roles[-1]

    def finish(self, roles: list[Role], seconds: float) -> Counter[str]:
        """Hear what roles have counted, all within so many seconds, and note what was wrong."""
        counts, until = Counter[str](), time.monotonic() + seconds
        for role in roles:
            try:
                counts += Counter(role.hear("counts", max(0.0, until - time.monotonic())))
                role.close(END_SECONDS)
            except NodeError as error:
                self.wrong.append(str(error))
            self.note(role)
        return counts

    def note(self, role: Role) -> None:
        """Take over what a role found wrong."""
        more = len(role.wrong) - SHOWN
        self.wrong += [f"{role.name}: {each}" for each in role.wrong[:SHOWN]]
        self.wrong += [f"{role.name}: and {more} more"] if more > 0 else []

    def close(self) -> None:
        """End what still runs."""
        for role in self._roles:
            role.close()

    def meet(self) -> None:
        """See that both nodes are there and see one folder. Raises NodeError otherwise."""
        first, second = (self.start(meet, node).hear("met") for node in self.nodes)
        print(f"nodes: {first['machine']} and {second['machine']}", flush=True)
        if first["text"] != second["text"]:
            raise NodeError(f"{self._folder} is not one folder for both nodes")
        if first["boot"] == second["boot"]:
            print("both are one machine: that tells nothing of a file system between two", flush=True)

    def check_lock(self) -> None:
        """Let one node hold the folder as a run does, ask for it on the other, and kill the first."""
        first, second = self.nodes
        holder = self.start(hold, first)
        holder.hear("held")
        other = self.start(await_lock, second)
        if not other.hear("refused"):
            self.wrong.append("the lock: both nodes held it at once; start one run at a time")
            print("lock: both nodes held it at once", flush=True)
            return
        before = time.monotonic()
        holder.kill()
        other.hear("held", LOCK_SECONDS)
        seconds = time.monotonic() - before
        self.note(other)
        print(
            f"lock: the other node was refused, and had it within {seconds:.1f} s of the kill of the first", flush=True
        )

    def soak(self) -> None:
        """Write, compact and read on both nodes at once."""
        roles = [self.start(body, node) for body in (write, keep_compacting, look) for node in self.nodes]
        counts = self.finish(roles, self._seconds + PATIENCE_SECONDS)
        print(
            f"both nodes for {self._seconds:.0f} s: {counts['cells']} cells, {counts['again']:,} written again, "
            f"{counts['compactions']:,} compactions ({counts['refused']:,} more found one at work); "
            f"{counts['looks']:,} looks and {counts['questions']:,} questions after one cell",
            flush=True,
        )

    def compare(self) -> None:
        """Compare all tables with what was written, as each node reads them."""
        rows = sum(self.finish([self.start(compare, node)], PATIENCE_SECONDS)["rows"] for node in self.nodes[::-1])
        print(f"{rows:,} rows were read as they were written", flush=True)


def examine(trial: Trial) -> int:
    """Do everything; return the exit code."""
    try:
        trial.meet()
    except NodeError as error:
        print(error, file=sys.stderr)
        return 2
    try:
        trial.check_lock()
    except NodeError as error:
        trial.wrong.append(f"the lock: {error}")
    trial.soak()
    trial.compare()
    for each in trial.wrong:
        print(f"WRONG {each}")
    print("something was wrong" if trial.wrong else "nothing was wrong")
    return 1 if trial.wrong else 0


def main() -> int:
    """Parse the command line and examine."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos.file_system", description=(__doc__ or "").partition(":")[0]
    )
    parser.add_argument("folder", type=Path, help="a new folder on the file system, by its path on the nodes")
    parser.add_argument("--node", action="append", required=True, help="twice: how a node's shell is reached")
    parser.add_argument("--seconds", type=float, default=240.0)
    parser.add_argument("--cells", type=int, default=200)
    parser.add_argument("--python", default=sys.executable, help="on the nodes (default: that of this program)")
    options = parser.parse_args()
    if len(options.node) != NUM_NODES:
        parser.error(f"--node is given {len(options.node)} times, not {NUM_NODES}")
    if options.cells < NUM_NODES or not options.folder.is_absolute():
        parser.error("each node needs a cell (--cells), and the folder's path starts with /")
    nodes = [Node(number, prefix, options.python) for number, prefix in enumerate(options.node)]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what runs on the nodes is ended, too
    with contextlib.closing(Trial(nodes, options.folder, options.cells, options.seconds)) as trial:
        return examine(trial)


if __name__ == "__main__":
    sys.exit(main())

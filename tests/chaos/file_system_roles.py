"""What runs on the nodes while ``tests.chaos.file_system`` asks whether a file system is safe for results.

In: a role, the folder, which node this is, of how many cells, for how many seconds. Out: lines of JSON on standard
output: the process's id, what was wrong, and at last the counts.
"""

import argparse
import json
import os
import platform
import random
import secrets
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.committing import cell_id, rows
from tests.chaos.ledger import check
from tests.chaos.witness import Witness
from trainables.results import (
    ResultsError,
    commit_cell,
    compact,
    exclusive,
    finished_cells,
    is_finished,
    is_held,
    open_results,
    read_table,
)

NUM_NODES = 2
NEW_FRACTION = 0.7  # of the time is for new cells; all of it for cells that are written again
PAUSE_SECONDS = 0.05  # at most, between two deeds, so that the other node has its turn
HOLD_SECONDS = 600.0  # a holder that nobody killed ends by itself


@dataclass(frozen=True)
class Part:
    """Which node's part it is, of how much."""

    folder: Path
    node: int
    num_cells: int
    seconds: float

    @property
    def results(self) -> Path:
        """The results folder that the nodes share."""
        return self.folder / "results"

    def finished_by(self, node: int) -> Path:
        """The file in which a node says which cells it has finished."""
        return self.folder / f"finished-by-node-{node}.txt"


def say(**message: object) -> None:
    """Tell the program."""
    print(json.dumps(message), flush=True)


def meet(part: Part) -> None:
    """Make the folder, on the first node, and say what both must read there."""
    meeting = part.folder / "meeting.txt"
    if part.node == 0:
        part.folder.mkdir(parents=True, exist_ok=True)
        if any(part.folder.iterdir()):
            raise SystemExit(f"{part.folder} is not empty; choose a new folder")
        open_results(part.results)
        for node in range(NUM_NODES):
            part.finished_by(node).touch()
        meeting.write_text(secrets.token_hex())
    if not meeting.exists():
        raise SystemExit(f"{part.folder} is not the folder that the first node has made; is the same one mounted here?")
    boot = Path("/proc/sys/kernel/random/boot_id").read_text()
    say(met={"text": meeting.read_text(), "boot": boot, "machine": f"{platform.node()} ({platform.release()})"})


def hold(part: Part) -> None:
    """Hold the results folder as a run does, until killed."""
    with exclusive(part.results):
        say(held=True)
        time.sleep(HOLD_SECONDS)


def await_lock(part: Part) -> None:
    """Try to hold what the other node holds, until it is had."""
    tries = 0
    while True:
        try:
            with exclusive(part.results):
                if tries == 0:
                    say(refused=False)
                say(held=True)
                return
        except ResultsError:
            if tries == 0:
                if not is_held(part.results):
                    say(wrong="the lock that was refused was said to be held by nobody")
                say(refused=True)
            tries += 1


def write(part: Part) -> None:
    """Commit this node's cells, write finished ones again, and ask after them and after the other node's."""
    share = range(part.node, part.num_cells, NUM_NODES)
    pace, started = NEW_FRACTION * part.seconds / len(share), time.monotonic()
    generator, counts, num_new = random.Random(part.node), Counter[str](), 0
    while num_new < len(share) or time.monotonic() < started + part.seconds:
        is_new = num_new < len(share) and time.monotonic() >= started + num_new * pace
        number = share[num_new] if is_new else share[generator.randrange(num_new)]
        commit_cell(part.results, rows("cells", number)[0], rows("curves", number), rows("cases", number))
        counts["cells" if is_new else "again"] += 1
        if is_new:
            num_new += 1
            with part.finished_by(part.node).open("a") as file:
                file.write(f"{number}\n")
        counts["questions"] += _ask(part, generator, number)
        time.sleep(generator.uniform(0, PAUSE_SECONDS))
    say(counts=counts)


def _ask(part: Part, generator: random.Random, own: int) -> int:
    """Ask whether a cell of this node, and the last and any of the other, are finished; return how many were asked."""
    others = [
        int(line) for line in part.finished_by(1 - part.node).read_text().splitlines(keepends=True) if "\n" in line
    ]
    asked = [own, *others[-1:], *generator.choices(others or [own])]
    for number in asked:
        if not is_finished(part.results, cell_id(number)):
            say(wrong=f"cell {cell_id(number)}, which is finished, was said not to be")
    return len(asked)


def keep_compacting(part: Part) -> None:
    """Compact until the time is up; that another compaction is at work is no fault."""
    counts, until = Counter[str](), time.monotonic() + part.seconds
    while time.monotonic() < until:
        try:
            compact(part.results)
            counts["compactions"] += 1
        except (ResultsError, OSError) as error:
            if "another compaction is at work" in str(error):
                counts["refused"] += 1
            else:
                say(wrong=f"a compaction failed: {type(error).__name__}: {error}")
        time.sleep(PAUSE_SECONDS)
    say(counts=counts)


def look(part: Part) -> None:
    """Look until the time is up."""
    witness, counts, until = Witness(part.results), Counter[str](), time.monotonic() + part.seconds
    while time.monotonic() < until:
        counts["looks"] += 1
        try:
            witness.look()
            for table in ("cells", "curves", "cases"):
                problems = read_table(part.results, table)[1]
                assert not problems, f"a damaged file of {table}: {problems[0]}"
        except (AssertionError, ResultsError, OSError) as error:
            say(wrong=f"a reader was misled: {type(error).__name__}: {error}")
    say(counts=counts)


def compare(part: Part) -> None:
    """Compare the tables with what was written."""
    try:
        expected = {cell_id(number) for number in range(part.num_cells)}
        missing = expected - finished_cells(part.results)
        assert not missing, f"{len(missing)} of {part.num_cells} cells are missing"
        say(counts={"rows": check(part.results, part.num_cells)})
    except (AssertionError, ResultsError, OSError) as error:
        say(wrong=f"at the end: {type(error).__name__}: {error}")
        say(counts={})


ROLES: dict[str, Callable[[Part], None]] = {
    each.__name__: each for each in (meet, hold, await_lock, write, keep_compacting, look, compare)
}


def main() -> None:
    """Play a role."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.file_system_roles")
    parser.add_argument("role", choices=ROLES)
    parser.add_argument("folder", type=Path)
    parser.add_argument("node", type=int)
    parser.add_argument("cells", type=int)
    parser.add_argument("seconds", type=float)
    options = parser.parse_args()
    say(pid=os.getpid())
    ROLES[options.role](Part(options.folder, options.node, options.cells, options.seconds))


if __name__ == "__main__":
    main()

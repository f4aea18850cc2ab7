"""The ledger alone under kills: python -m tests.chaos.ledger --kills 300 --seed 0

In: how many kills, and their seed. Two processes commit cells without training them, and write finished ones again as
workers left behind by a dead run may; a third compacts; each is killed at random moments, many times a second, and
started again. Out: a line of what was killed and compared; an AssertionError as soon as a reader is misled, or a row at
the end is not as it was written.
"""

import argparse
import multiprocessing
import random
import tempfile
import time
from collections import Counter
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from tests.chaos.committing import NUM_CELLS, NUM_WORKERS, cell_id, keep_compacting, rows, work
from tests.chaos.witness import Witness
from trainables.results import compact, open_results, read_table, remove_abandoned

LIFE_SECONDS = 0.3  # at most, until a process is killed


class Cast:
    """The processes, each started again after its death."""

    def __init__(self, root: Path, generator: random.Random) -> None:
        self.root, self.generator, self.killed = root, generator, Counter[str]()
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(["tests.chaos.committing"])
        self.roles = {f"worker {n}": (work, n) for n in range(NUM_WORKERS)} | {"compaction": (keep_compacting, 0)}
        self.alive = {name: self._started(name) for name in self.roles}

    def _started(self, name: str) -> ForkServerProcess:
        body, argument = self.roles[name]
        process = self.context.Process(target=body, args=(self.root, argument), daemon=True)
        process.start()
        return process

    def kill_one(self) -> None:
        """Kill somebody, and start the role again."""
        workers = [name for name in sorted(self.alive) if name != "compaction"]
        name = self.generator.choice(["compaction", self.generator.choice(workers)])
        assert self.alive[name].is_alive(), f"{name} ended by itself with {self.alive[name].exitcode}"
        self.stop(name)
        self.killed[name.partition(" ")[0]] += 1
        self.alive[name] = self._started(name)

    def stop(self, name: str) -> None:
        """Kill a role for good."""
        self.alive[name].kill()
        self.alive[name].join()


def disturb(root: Path, kills: int, seed: int) -> tuple[Counter[str], int]:
    """Kill until enough are killed and every cell is finished; return who was, and how often a reader looked."""
    cast, witness = Cast(root, random.Random(seed)), Witness(root)
    try:
        while cast.killed.total() < kills or len(witness.finished) < NUM_CELLS:
            time.sleep(cast.generator.uniform(0.02, LIFE_SECONDS))
            cast.kill_one()
            witness.look()
    finally:
        for name in cast.roles:
            cast.stop(name)
    return cast.killed, witness.num_looks


def check(root: Path, num_cells: int = NUM_CELLS) -> int:
    """Compare every row of every cell with what was written, before and after a last compaction; return how many."""
    compared = 0
    for _ in range(2):
        for table in ("cells", "curves", "cases"):
            content, problems = read_table(root, table)
            assert not problems, problems
            expected = [row for number in sorted(range(num_cells), key=cell_id) for row in rows(table, number)]
            assert content.to_pylist() == expected, f"{table} is not as it was written"
            compared += len(expected)
        compact(root)
        assert all(len(list((root / table).iterdir())) == 1 for table in ("cells", "curves", "cases"))
    remove_abandoned(root)
    assert not list(root.rglob(".tmp-*"))
    return compared


def main() -> None:
    """Parse the command line, kill and compare."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.ledger", description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="labelcurve-ledger-") as folder:
        root = open_results(Path(folder) / "results")
        started = time.monotonic()
        killed, looks = disturb(root, options.kills, options.seed)
        told = ", ".join(f"{number} of a {name}" for name, number in sorted(killed.items()))
        seconds = time.monotonic() - started
        print(f"{killed.total()} kills ({told}) in {seconds:.0f} s; a reader looked {looks} times")
        print(f"{check(root)} rows are as they were written")


if __name__ == "__main__":
    main()

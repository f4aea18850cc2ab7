"""A mirror under kills: python -m tests.chaos.mirror --kills 40 --seed 0

In: how many kills, and their seed. A results folder grows and is compacted, ``python -m sweep.mirror`` copies it to a
server of the S3 protocol and is killed at random moments, and after each the mirror is brought back into a new folder.
Out: a line of what was killed and compared; an AssertionError as soon as a cell there is not whole or has vanished, or
a row at the end is not as it is in the folder.
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.ledger_rows import commit
from tests.object_store import BUCKET, LOGIN, serving
from trainables.results import (
    SCHEMAS,
    MirrorError,
    compact,
    finished_cells,
    open_results,
    pull,
    push,
    read_table,
)


def rows(root: Path) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table."""
    tables = {table: read_table(root, table) for table in SCHEMAS}
    assert not any(problems for _, problems in tables.values()), tables
    return {table: content.to_pylist() for table, (content, _) in tables.items()}


class Scene:
    """A growing results folder and its mirror."""

    def __init__(self, folder: Path, uri: str, generator: random.Random) -> None:
        self.root, self.back, self.uri = open_results(folder / "results"), folder / "back", uri
        self.generator, self.num_cells, self.seen = generator, 0, set[str]()

    def grow(self) -> None:
        """Finish some cells, and compact now and then."""
        for _ in range(self.generator.randint(3, 25)):
            commit(self.root, f"cell-{self.num_cells:05d}")
            self.num_cells += 1
        if self.generator.random() < 0.3:
            compact(self.root)

    def copy_or_die(self) -> bool:
        """Copy in another process, which may be killed; return whether it was."""
        command = [sys.executable, "-m", "sweep.mirror", str(self.root), self.uri]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            try:
                assert process.wait(self.generator.uniform(0.3, 1.5)) == 0
            except subprocess.TimeoutExpired:
                process.kill()
                return True
        return False

    def look(self) -> None:
        """Bring the mirror back into a new folder: its cells are whole, and none of them is lost."""
        shutil.rmtree(self.back, ignore_errors=True)
        try:
            pull(self.uri, self.back)
        except MirrorError:
            if self.seen:
                raise
            return  # killed before there was one
        found, finished = rows(self.back), finished_cells(self.back)
        assert self.seen <= finished
        for table in ("cells", "curves", "cases"):
            ids = [each["cell_id"] for each in found[table] if each["cell_id"] in finished]
            assert sorted(ids) == sorted(finished), table
        self.seen = finished


def main() -> None:
    """Kill until enough were killed, complete the mirror and compare."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.mirror", description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    os.environ.update(LOGIN)
    started, kills, whole = time.monotonic(), 0, 0
    with tempfile.TemporaryDirectory() as name, serving(Path(name) / "s3") as parameters:
        scene = Scene(Path(name), f"s3://{BUCKET}/mirror?{parameters}", random.Random(options.seed))
        while kills < options.kills:
            scene.grow()
            was_killed = scene.copy_or_die()
            kills, whole = kills + was_killed, whole + (not was_killed)
            scene.look()
        push(scene.root, scene.uri)
        scene.look()
        assert rows(scene.back) == rows(scene.root)
    seconds = time.monotonic() - started
    print(f"{kills} kills, {whole} whole copies, {scene.num_cells} cells, {seconds:.0f} s: every row as in the folder")


if __name__ == "__main__":
    main()

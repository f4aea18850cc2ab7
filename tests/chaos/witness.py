"""A reader beside the disturbed sweep, whom nothing may ever mislead.

In: a results folder, looked at again and again. Out: an AssertionError as soon as a cell is seen twice, a cell that was
finished is missing, or an encoder was written again.
"""

from pathlib import Path

from trainables.results import finished_cells, is_finished, read_table


class Witness:
    """Remembers what was there."""

    def __init__(self, results: Path) -> None:
        self.results = results
        self.finished: set[str] = set()
        self.encoders: dict[Path, tuple[int, int]] = {}
        self.num_looks = 0

    def look(self) -> None:
        """Compare what is there with what was."""
        before = finished_cells(self.results)
        rows = read_table(self.results, "cells", ["cell_id"])[0].column("cell_id").to_pylist()
        assert len(rows) == len(set(rows)), "a cell is read twice"
        assert self.finished <= before, f"finished cells are missing: {self.finished - before}"
        assert before <= set(rows), f"finished cells have no row: {before - set(rows)}"
        curves = set(read_table(self.results, "curves", ["cell_id"])[0].column("cell_id").to_pylist())
        assert before <= curves, f"finished cells have no curve: {before - curves}"
        denied = [cell_id for cell_id in sorted(before)[:3] if not is_finished(self.results, cell_id)]
        assert not denied, f"finished cells are said not to be: {denied}"
        self.finished = before
        for path in self.results.glob("encoders/*/*.safetensors"):
            state = path.stat().st_ino, path.stat().st_mtime_ns
            assert self.encoders.setdefault(path, state) == state, f"{path} was written again"
        self.num_looks += 1

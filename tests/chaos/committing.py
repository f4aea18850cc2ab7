"""What the processes do that are killed over the ledger: commit cells that nobody trained, and compact.

In: a results folder. Out: rows whose every column tells which cell they are of.
"""

import random
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from trainables.results import SCHEMAS, commit_cell, compact, is_finished

NUM_CELLS, NUM_WORKERS, NUM_POINTS = 120, 2, 5
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def cell_id(number: int) -> str:
    """Sixteen hexadecimal digits, as cells have."""
    return f"{number * 0x9E3779B97F4A7C15 % 2**64:016x}"


def rows(table: str, number: int) -> list[dict[str, Any]]:
    """A cell's rows: every column tells which cell it is."""
    found = []
    for point in range(1 if table == "cells" else NUM_POINTS):
        values = {"string": f"{number}-{point}", "double": number + point / 8, "timestamp[us, tz=UTC]": NOON}
        columns = {field.name: values.get(str(field.type), number % 1000 + point) for field in SCHEMAS[table]}
        found.append(columns | {"cell_id": cell_id(number)})
    return found


def work(root: Path, first: int) -> None:
    """Commit every cell of a share that is not finished, then write finished ones again until killed."""
    share = range(first, NUM_CELLS, NUM_WORKERS)
    for number in share:
        if not is_finished(root, cell_id(number)):
            commit_cell(root, rows("cells", number)[0], rows("curves", number), rows("cases", number))
    for number in random.Random(time.time_ns()).choices(share, k=10_000):
        commit_cell(root, rows("cells", number)[0], rows("curves", number), rows("cases", number))


def keep_compacting(root: Path, _: int) -> None:
    """Compact again and again until killed."""
    while True:
        compact(root)

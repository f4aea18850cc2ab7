"""Kill a sweep at random and see whether it ends as an undisturbed one: python -m tests.chaos --kills 100 --seed 0

In: how many kills, and the seed of their times and victims. Rounds run in turn on a cluster, whose nodes are killed as
well, and on this machine alone. Out: one row a kill as CSV (--output), a summary on standard output; exit code 0 where
every round ended with the undisturbed tables, otherwise an AssertionError that says what was seen.
"""

import argparse
import contextlib
import csv
import dataclasses
import random
import subprocess
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.chaos.nodes import Nodes
from tests.chaos.rounds import Kill, Round
from tests.chaos.small_sweep import command

KILLS_A_ROUND = 25
PLACES = ("cluster", "machine")


def main() -> None:
    """Run rounds until enough was killed."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--mean-seconds", type=float, default=5.0, help="between two kills, beyond the first second")
    parser.add_argument("--minutes", type=float, default=60.0, help="kill nobody after so many")
    parser.add_argument("--places", nargs="+", choices=PLACES, default=PLACES, help="of the rounds, in turn")
    parser.add_argument("--output", type=Path, help="CSV file with a row for each kill")
    parser.add_argument("--folder", type=Path, help="where results and logs are kept (default: a temporary folder)")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = options.folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="labelcurve-chaos-")))
        folder.mkdir(parents=True, exist_ok=True)
        _run(folder, options)


def _run(folder: Path, options: argparse.Namespace) -> None:
    started, generator, rounds = time.monotonic(), random.Random(options.seed), list[Round]()
    with (folder / "reference.log").open("w") as log:
        serial = command(folder / "reference", folder / "cache", "--launcher", "serial")
        subprocess.run(serial, check=True, stdout=log, stderr=log)
    print(f"reference: {time.monotonic() - started:.0f} s", flush=True)
    until = started + 60 * options.minutes
    while (left := options.kills - sum(len(each.kills) for each in rounds)) > 0:
        if time.monotonic() > until:
            print(f"out of time: {left} kills of {options.kills} are left")
            break
        place = options.places[len(rounds) % len(options.places)]
        with contextlib.closing(Nodes(generator)) if place == "cluster" else contextlib.nullcontext() as nodes:
            number, wanted = len(rounds) + 1, min(left, KILLS_A_ROUND)
            results, cache = folder / f"round-{number}", folder / "cache"
            each = Round(results, cache, number, generator, wanted, options.mean_seconds, until, _say, nodes)
            rounds.append(each)
            try:
                rows = each.run(folder / "reference")
            finally:
                if options.output:
                    _write(options.output, [record for finished in rounds for record in finished.kills])
        looks = each.witness.num_looks if each.witness else 0
        print(
            f"round {number} ({place}): {len(each.kills)} kills, {each.num_runs} runs, "
            f"{time.monotonic() - each.started:.0f} s; {rows} rows equal; a reader looked {looks} times",
            flush=True,
        )
    _summarise([record for each in rounds for record in each.kills])


def _say(record: Kill) -> None:
    print(f"  {record.seconds:6.1f} s  {record.victim}", flush=True)


def _summarise(kills: list[Kill]) -> None:
    print(f"{len(kills)} kills: " + ", ".join(f"{n} {kind}" for kind, n in Counter(k.victim for k in kills).items()))
    for place in PLACES:
        outlived = sorted(
            each.seconds_until_gone for each in kills if each.place == place and each.seconds_until_gone is not None
        )
        if outlived:
            middle = outlived[len(outlived) // 2]
            print(
                f"{place}: processes outlived their driver by {middle:.1f} s (median), {outlived[-1]:.1f} s (longest)"
            )


def _write(path: Path, kills: list[Kill]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in dataclasses.fields(Kill)])
        writer.writeheader()
        writer.writerows(dataclasses.asdict(record) for record in kills)


if __name__ == "__main__":
    main()

"""Rounds of chaos: the small sweep is started, killed here and there, and started again until it is done.

In: a seed and a number of kills. Out: a Kill for each, and an AssertionError as soon as anything is not as it would be
without them: what a reader sees meanwhile (``witness``), the tables at the end, and what is left behind.
"""

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.nodes import NUM_NODES, Nodes
from tests.chaos.processes import descendants, is_alive, kill, title, victims
from tests.chaos.small_sweep import NUM_CELLS, assert_same_numbers, command
from tests.chaos.witness import Witness
from trainables.results import check_results, read_table

WEIGHTS = {  # of the kinds that are there; a stage's worker is there least often
    "driver": 3,
    "compaction": 1,
    "trial": 5,
    "train worker": 12,
    "train controller": 1,
    "stage task": 1,
    "idle worker": 0.5,
    "node": 4,
}
BYSTANDERS = {"driver", "node", "idle worker"}  # who is there before anybody works
ALONE = 0.1  # how often somebody is killed before anybody works, so that runs get beyond that
SOME_FAILED = 3  # what a run returns whose stage was given up, such as after its controller died
MAX_RUNS = 60  # of one round: it must come to its end
COMPACT = "import sys, pathlib, trainables.results as r; print(flush=True); r.compact(pathlib.Path(sys.argv[1]))"
GROWS = f"compute.slots={NUM_NODES}"  # a driver may start while nodes are missing
COMPACT_SECONDS = 0.4  # within which a compaction is killed
GONE_SECONDS = 120.0  # after which no process of an ended driver may live; most end after about a minute


@dataclass
class Kill:
    """One kill, and for a driver how long its processes outlived it."""

    place: str
    round: int
    run: int
    seconds: float
    victim: str
    title: str
    cells_finished: int
    seconds_until_gone: float | None = None


class Round:
    """One results folder on its way to the end, on a cluster of ``nodes`` if given. ``say`` receives each kill."""

    def __init__(
        self,
        results: Path,
        cache: Path,
        number: int,
        generator: random.Random,
        kills_wanted: int,
        mean_seconds: float,
        until: float,  # on the monotonic clock: nobody is killed after it
        say: Callable[[Kill], None],
        nodes: Nodes | None = None,
    ) -> None:
        self.results, self.cache, self.number = results, cache, number
        self.generator, self.kills_wanted, self.mean_seconds, self.say = generator, kills_wanted, mean_seconds, say
        self.until, self.nodes = until, nodes
        self.kills: list[Kill] = []
        self.outlived: list[tuple[Kill, float, list[int]]] = []  # kill of a driver, when, its processes
        self.num_runs, self.started = 0, time.monotonic()
        self.witness: Witness | None = None

    def run(self, reference: Path) -> int:
        """Run until done and compare; return how many rows were equal to the reference's."""
        while self._run_once() != 0:
            assert self.num_runs < MAX_RUNS, "the sweep does not come to its end"
        return self._check_end(reference)

    def _run_once(self) -> int:
        self.num_runs += 1
        log = self.results.with_suffix(f".run-{self.num_runs}.log")
        joined = ["--address", self.nodes.address, GROWS] if self.nodes else []
        with log.open("w") as stderr:
            driver = subprocess.Popen(
                command(self.results, self.cache, *joined), stderr=stderr, stdout=stderr, start_new_session=True
            )
            try:
                self._disturb(driver)
            finally:
                kill(driver.pid)
                driver.wait()
        assert driver.returncode in (0, SOME_FAILED, -9), f"exit code {driver.returncode}:\n{log.read_text()[-3000:]}"
        return driver.returncode

    def _disturb(self, driver: "subprocess.Popen[bytes]") -> None:
        """Look, and kill, until the driver has ended."""
        pause = self.generator.expovariate(1 / self.mean_seconds)
        due = time.monotonic() + 1 + pause
        while driver.poll() is None:
            time.sleep(0.2)
            if self.nodes:
                self.nodes.replace_lost()
            self._look()
            now = time.monotonic()
            if now < due or now > self.until or len(self.kills) >= self.kills_wanted:
                continue
            self._kill_one(driver)
            due = time.monotonic() + 1 + self.generator.expovariate(1 / self.mean_seconds)

    def _look(self) -> None:
        if (self.results / "labelcurve.json").exists():
            self.witness = self.witness or Witness(check_results(self.results))
            self.witness.look()
        for record, killed_at, pids in self.outlived:
            if record.seconds_until_gone is None and not any(is_alive(pid) for pid in pids):
                record.seconds_until_gone = time.monotonic() - killed_at

    def _kill_one(self, driver: "subprocess.Popen[bytes]") -> None:
        """Kill a random victim of a random kind, of those that are there."""
        found = self._found(driver.pid)
        if set(found) <= BYSTANDERS and self.generator.random() > ALONE:
            return
        kinds = sorted(found)
        kind = self.generator.choices(kinds, [WEIGHTS[name] for name in kinds])[0]
        pid = self._started_compaction() if kind == "compaction" else self.generator.choice(found[kind])
        record = Kill(
            "cluster" if self.nodes else "machine",
            self.number,
            self.num_runs,
            round(time.monotonic() - self.started, 1),
            kind,
            "raylet" if kind == "node" else title(pid)[:60],
            len(self.witness.finished) if self.witness else 0,
        )
        below = self._below(pid) if kind == "driver" else []
        if not is_alive(pid) or not self._is_killed(kind, pid):
            return
        if kind == "driver":
            driver.wait()
            self.outlived.append((record, time.monotonic(), below))
        self.kills.append(record)
        self.say(record)

    def _found(self, driver: int) -> dict[str, list[int]]:
        """Who can be killed, by kind; not what a driver left that was killed before."""
        left = {pid for _, _, pids in self.outlived for pid in pids}
        workers = victims(os.getpid() if self.nodes else driver)
        found = {kind: sorted(set(pids) - left) for kind, pids in workers.items() if set(pids) - left}
        found["driver"] = [driver]
        if self.nodes and self.nodes.raylets():
            found["node"] = self.nodes.raylets()
        if self.witness and self.witness.finished:
            found["compaction"] = []
        return found

    def _below(self, driver: int) -> list[int]:
        """The processes that are to end with a driver; those that a cluster has idle stay for the next."""
        if not self.nodes:
            return list(descendants(driver))
        return [pid for kind, pids in victims(os.getpid()).items() if kind != "idle worker" for pid in pids]

    def _is_killed(self, kind: str, pid: int) -> bool:
        if kind == "node" and self.nodes:
            return self.nodes.lose(pid) > 0
        return kill(pid)

    def _started_compaction(self) -> int:
        """Start a compaction beside the sweep, and return at a random moment of its work."""
        process = subprocess.Popen([sys.executable, "-c", COMPACT, str(self.results)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(self.generator.uniform(0, COMPACT_SECONDS))
        return process.pid

    def _wait_for_the_dead(self) -> None:
        """Wait until drivers are survived by none of their processes."""
        deadline = time.monotonic() + GONE_SECONDS
        while any(record.seconds_until_gone is None for record, _, _ in self.outlived) or self._cluster_works():
            self._look()
            assert time.monotonic() < deadline, f"processes outlive their driver: {victims(os.getpid())}"
            time.sleep(0.1)

    def _cluster_works(self) -> bool:
        """Whether somebody still works on the cluster."""
        return self.nodes is not None and bool(set(victims(os.getpid())) - BYSTANDERS)

    def _check_end(self, reference: Path) -> int:
        """Compare with an undisturbed run, and look for what was left behind."""
        self._wait_for_the_dead()
        failures = read_table(self.results, "failures")[0].to_pylist()
        assert not failures, failures
        rows = assert_same_numbers(reference, self.results)
        for module in ("sweep.compact", "sweep.status"):
            subprocess.run([sys.executable, "-m", module, str(self.results)], check=True, capture_output=True)
        assert assert_same_numbers(reference, self.results) == rows
        assert len(list((self.results / "cells").iterdir())) == 1, "more than one compacted file"
        assert self.witness is not None
        self.witness.look()
        assert len(self.witness.finished) == NUM_CELLS
        left = [str(path) for pattern in (".tmp-*", ".ray-*", "resume.pt") for path in self.results.rglob(pattern)]
        assert not left, f"left behind: {left}"
        return rows

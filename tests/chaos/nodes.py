"""A small cluster on this machine, whose nodes are lost and replaced: a head that stays, and nodes of one core.

In: a generator, which says how long a lost node is missed. Out: the cluster's address, and processes to kill.
"""

import random
import time

from ray.cluster_utils import Cluster

from tests.chaos.processes import descendants, kill, seconds_until_gone

NUM_NODES = 2
MISSED_SECONDS = (2.0, 10.0)  # until a fresh node takes the place of a lost one
END_SECONDS = 60.0  # within which every process of a cluster that is shut down ends
RAYLET = "raylet"  # Ray's name for the process that a node's workers are children of


class Nodes:
    """The cluster's nodes beside its head; any of them, all at once too, may be lost."""

    def __init__(self, generator: random.Random) -> None:
        self._generator, self._missed_until = generator, list[float]()
        self._cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        for _ in range(NUM_NODES):
            self._add()

    @property
    def address(self) -> str:
        """Where a driver joins."""
        return str(self._cluster.address)

    def raylets(self) -> list[int]:
        """The process ids of the present nodes' raylets."""
        return sorted(self._present())

    def lose(self, raylet: int) -> int:
        """Kill every process of a node, its raylet first, as when its machine stops; return how many."""
        workers = list(descendants(raylet))
        self._cluster.remove_node(self._present()[raylet], allow_graceful=False)
        killed = 1 + sum(kill(pid) for pid in workers)
        self._missed_until.append(time.monotonic() + self._generator.uniform(*MISSED_SECONDS))
        return killed

    def replace_lost(self) -> None:
        """Add a fresh node for each that has been missed for long enough."""
        due = [moment for moment in self._missed_until if moment <= time.monotonic()]
        self._missed_until = [moment for moment in self._missed_until if moment not in due]
        for _ in due:
            self._add()

    def close(self) -> None:
        """End the cluster. Raises AssertionError where one of its processes outlives it."""
        raylets = [*self._present(), *self._processes(self._cluster.head_node)]
        processes = [*raylets, *(pid for raylet in raylets for pid in descendants(raylet))]
        self._cluster.shutdown()
        assert seconds_until_gone(processes, END_SECONDS) < END_SECONDS, "the cluster left processes behind"

    def _add(self) -> None:
        self._cluster.add_node(num_cpus=1)

    def _present(self) -> dict[int, object]:
        return {pid: node for node in self._cluster.worker_nodes for pid in self._processes(node)}

    def _processes(self, node: object) -> list[int]:
        """The process id of a node's raylet."""
        return [each.process.pid for each in node.all_processes[RAYLET]]  # type: ignore[attr-defined]

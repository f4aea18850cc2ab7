"""A role of ``tests.chaos.file_system_roles`` at work on a node that a command reaches.

In: the command, such as ``ssh node``, which gets a line for the node's shell as one more argument. Out: what the role
says, each time within some seconds; a NodeError that says what the node said instead.
"""

import contextlib
import json
import queue
import re
import shlex
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[2]
REACH_SECONDS = 60.0  # for a node to start Python, or to kill a process
END_SECONDS = 10.0  # for a process that has said its last


class NodeError(Exception):
    """A node cannot be reached, or what was started there ended or fell silent."""


@dataclass(frozen=True)
class Node:
    """A machine."""

    number: int
    prefix: str
    python: str

    def start(self, line: str) -> subprocess.Popen[str]:
        """Start a line of shell there; Ctrl-C does not reach it, so that what runs there can be ended in order."""
        try:
            return subprocess.Popen(
                [*shlex.split(self.prefix), line],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,
            )
        except OSError as error:
            raise NodeError(f"node {self.prefix!r} cannot be reached: {error}") from error

    def kill(self, pid: int) -> None:
        """Kill a process there by SIGKILL."""
        with self.start(f"kill -9 {pid}") as process:
            try:
                said = process.communicate(timeout=REACH_SECONDS)[0]
            except subprocess.TimeoutExpired as error:
                process.kill()
                raise NodeError(f"node {self.prefix!r} did not kill a process in {REACH_SECONDS:.0f} s") from error
        if process.returncode:
            raise NodeError(f"node {self.prefix!r} could not kill process {pid}: {said.strip()}")


class Role:
    """What runs on a node, and what it has said."""

    def __init__(self, node: Node, name: str, *arguments: object) -> None:
        self.name, self.wrong = f"{name} on node {node.prefix!r}", list[str]()
        self._node, self._pid, self._other = node, 0, list[str]()
        words = [node.python, "-m", "tests.chaos.file_system_roles", name, *map(str, arguments)]
        self._process = node.start(f"cd {shlex.quote(str(PROJECT))} && exec {shlex.join(words)}")
        self._lines = queue.Queue[str | None]()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        assert self._process.stdout
        with self._process.stdout as lines:
            for line in lines:
                if found := re.search(r'"pid": *(\d+)', line):  # at once: whoever ends a role may never have heard it
                    self._pid = int(found[1])
                self._lines.put(line)
        self._lines.put(None)

    def hear(self, key: str, seconds: float = REACH_SECONDS) -> Any:
        """Wait until the role says something of this name. Raises NodeError where it ends, or time is up, before."""
        until = time.monotonic() + seconds
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                raise NodeError(f"{self.name} said nothing of {key!r} for {seconds:.0f} s{self._said()}") from None
            if line is None:
                raise NodeError(f"{self.name} ended with exit code {self._process.wait()}{self._said()}")
            message = self._understood(line)
            if key in message:
                return message[key]

    def _understood(self, line: str) -> dict[str, Any]:
        try:
            message = json.loads(line)
            assert isinstance(message, dict)
        except (ValueError, AssertionError):
            self._other.append(line.rstrip())  # of the shell, of Python, or a greeting
            return {}
        self.wrong += [message["wrong"]] if "wrong" in message else []
        return message

    def _said(self) -> str:
        last = [line for line in self._other if line][-5:]
        return ": " + "\n  ".join(last) if last else ""

    def kill(self) -> None:
        """Kill what runs on the node."""
        if not self._pid:
            self.hear("pid")
        self._node.kill(self._pid)

    def close(self, seconds: float = 0.0) -> None:
        """Wait so long for the end, then end it."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        if self._process.poll() is None:
            until = time.monotonic() + END_SECONDS
            while not self._pid and self._listener.is_alive() and time.monotonic() < until:  # it has just been started
                time.sleep(0.05)
            if self._pid:
                with contextlib.suppress(NodeError):
                    self._node.kill(self._pid)
            self._process.kill()
        self._process.wait()
        self._listener.join(END_SECONDS)

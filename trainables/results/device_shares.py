"""``device_shares.json``: what share of a device a cell takes, and since when; kept for the account afterwards.

In: a launcher's share whenever it starts, or packs less cells on a GPU. Out: the share under which a cell finished.
Runs hold a results folder one after another, so a moment tells the run; clocks of workers may be off by seconds.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from trainables.results.atomic import write_text

FILE = "device_shares.json"


@dataclass(frozen=True)
class DeviceShares:
    """Shares with the moments from which they held, in order."""

    since: tuple[tuple[datetime, float], ...] = ()

    def at(self, moment: datetime, otherwise: float) -> float:
        """Return the share at a moment; ``otherwise`` before the first that is known."""
        return next((share for start, share in reversed(self.since) if start <= moment), otherwise)

    def device_seconds(self, cell: Mapping[Any, Any], otherwise: float) -> float:
        """Return what a finished cell took of a device: its wall time, on a GPU the share of it that it was given."""
        share = 1.0 if cell["device"] == "cpu" else self.at(cell["finished_at"], otherwise)
        return float(cell["wall_seconds"]) * share


def read_device_shares(folder: Path) -> DeviceShares:
    """Return what runs have noted; nothing where none has, or where the file is damaged."""
    try:
        found = json.loads((folder / FILE).read_text())
        return DeviceShares(
            tuple((datetime.fromisoformat(start).astimezone(UTC), float(share)) for start, share in found)
        )
    except (OSError, ValueError, TypeError):
        return DeviceShares()


def note_device_share(folder: Path, share: float, now: datetime | None = None) -> None:
    """Note what a cell takes from now on. Raises OSError."""
    since = read_device_shares(folder).since
    if since and since[-1][1] == share:
        return
    rows = [*since, (now or datetime.now(UTC), share)]
    write_text(folder / FILE, json.dumps([(start.isoformat(), each) for start, each in rows]) + "\n")

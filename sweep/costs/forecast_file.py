"""``forecast.json``: what runs into a results folder forecast of their units, kept for the account afterwards.

In: device-seconds of a cell of each protocol and of an epoch of each stage. Out: the same. What the first run said of
a unit stands, and nothing is said of one that has rows already: later runs believe what has finished, and would be
compared with themselves.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from trainables.results import write_text

FILE = "forecast.json"


@dataclass(frozen=True)
class KeptForecast:
    """Device-seconds of a cell by protocol, and of an epoch by stage."""

    cell_seconds: dict[str, float] = field(default_factory=dict)
    epoch_seconds: dict[str, float] = field(default_factory=dict)


def read_forecast(folder: Path) -> KeptForecast:
    """Return what runs have forecast; nothing where none has, or where the file is damaged."""
    try:
        found = json.loads((folder / FILE).read_text())
        return KeptForecast(**{key: {str(k): float(v) for k, v in found[key].items()} for key in found})
    except (OSError, ValueError, TypeError, AttributeError):
        return KeptForecast()


def keep_forecast(folder: Path, new: KeptForecast) -> None:
    """Add what a run forecasts to what earlier ones said."""
    said = read_forecast(folder)
    both = KeptForecast(new.cell_seconds | said.cell_seconds, new.epoch_seconds | said.epoch_seconds)
    write_text(folder / FILE, json.dumps(asdict(both), indent=1) + "\n")

"""The live table of a run. In: a moment of it, and money if it is counted. Out: what rich shows in a few lines."""

from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from sweep.state.counts import Counts, StageProgress
from sweep.wording import amount, duration

BAR_CELLS = 16  # width of a bar on the screen
MOST_STAGES = 6  # shown; the others are counted


@dataclass(frozen=True)
class Money:
    """The price of a device-hour, and what may be spent; None where there is none."""

    price: float | None = None
    most: float | None = None

    def of(self, device_seconds: float) -> float | None:
        """Return the cost; None without a price."""
        return None if self.price is None else self.price * device_seconds / 3600


def live_view(counts: Counts, money: Money) -> RenderableType:
    """Return stages, cells by state, pace, time, cost and the latest failures."""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="ellipsis")
    if _num_stages(counts):
        table.add_row("pretraining", _stages_line(counts))
    table.add_row("cells", _cells_line(counts))
    table.add_row("time", _time_line(counts))
    table.add_row("devices", _used_and_left(counts.device_seconds / 3600, _hours_left(counts), "device-hours used"))
    if money.price is not None:
        table.add_row("cost", _cost_line(counts, money, money.price))
    for name, reason in counts.failures:
        table.add_row(Text("failed", style="red"), Text(f"{name}: {reason}", no_wrap=True, overflow="ellipsis"))
    return Group(table, _stage_bars(counts)) if counts.stages_running else table


def _num_stages(counts: Counts) -> int:
    return counts.stages_done + counts.stages_failed + counts.stages_left + len(counts.stages_running)


def _stages_line(counts: Counts) -> str:
    parts = [f"{counts.stages_done} of {_num_stages(counts)} stages done"]
    parts += [f"{len(counts.stages_running)} running"] if counts.stages_running else []
    parts += [f"{counts.stages_left} to come"] if counts.stages_left else []
    return ", ".join(parts + ([f"{counts.stages_failed} failed"] if counts.stages_failed else []))


def _cells_line(counts: Counts) -> str:
    states = {
        "finished": counts.cells_done,
        "running": counts.cells_running,
        "ready": counts.cells_ready,
        "waiting for an encoder": counts.cells_waiting,
        "failed": counts.cells_failed,
        "blocked by a failed stage": counts.cells_blocked,
    }
    always = ("finished", "running")
    return ", ".join(f"{number} {state}" for state, number in states.items() if number or state in always)


def _time_line(counts: Counts) -> str:
    left = "time left not known yet" if counts.seconds_left is None else f"about {duration(counts.seconds_left)} left"
    pace = "" if counts.cells_per_hour is None else f", {counts.cells_per_hour:,.0f} cells an hour"
    return f"{duration(counts.seconds)}, {left}{pace}"


def _hours_left(counts: Counts) -> float | None:
    return None if counts.device_seconds_left is None else counts.device_seconds_left / 3600


def _cost_line(counts: Counts, money: Money, price: float) -> str:
    left = _hours_left(counts)
    used = "used" if money.most is None else f"of at most {amount(money.most)} used"
    return _used_and_left(price * counts.device_seconds / 3600, None if left is None else price * left, used)


def _used_and_left(used: float, left: float | None, what: str) -> str:
    return f"{amount(used)} {what}" + ("" if left is None else f", about {amount(left)} left")


def _stage_bars(counts: Counts) -> RenderableType:
    """A line a stage; where the terminal is narrow the name is cut, not the figures."""
    shown = counts.stages_running[:MOST_STAGES]
    figures = [(f"{stage.epochs_done}/{stage.epochs} epochs", _stage_left(stage)) for stage in shown]
    table = Table.grid(padding=(0, 2))
    table.add_column(overflow="ellipsis", no_wrap=True)
    table.add_column(no_wrap=True, min_width=BAR_CELLS)
    for position in (0, 1):
        table.add_column(no_wrap=True, min_width=max(len(each[position]) for each in figures))
    for stage, texts in zip(shown, figures, strict=True):
        bar = ProgressBar(total=stage.epochs, completed=stage.epochs_done, width=BAR_CELLS)
        table.add_row(f"  {stage.name}", bar, *texts)
    if (others := len(counts.stages_running) - MOST_STAGES) > 0:
        table.add_row(f"  and {others} more")
    return table


def _stage_left(stage: StageProgress) -> str:
    if stage.is_waiting:
        return "waits"
    return "" if stage.seconds_left is None else f"{duration(stage.seconds_left)} left"

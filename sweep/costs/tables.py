"""Forecast and account as tables and lines for people.

In: a Forecast, or an Account. Out: rich tables in device-hours, and plain lines. Prices have no currency: they are in
the one that ``compute.price_per_device_hour`` was given in.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table

from sweep.costs.account import Account
from sweep.wording import amount, duration, size

if TYPE_CHECKING:  # imported by type only: it brings torch, which the status of a results folder does not need
    from sweep.costs.forecast import Forecast, Share


def forecast_table(found: "Forecast") -> Table:
    """Return a row for each arm as if it were alone, and one for all together, shared stages counted once."""
    columns = [
        "cells",
        "pretraining",
        "fine-tuning",
        "sum",
        "disk",
        *(["cost"] if found.price is not None else []),
    ]
    hours = f"forecast, device-hours{' at most' * found.is_most}"
    table = _table(f"{hours} ({found.device}; cells: {found.basis})", "arm, if alone", columns)
    for share in found.arms:
        table.add_row(share.name, *_figures(found, share))
    table.add_section()
    table.add_row("all", *_figures(found, found.total))
    return table


def _figures(found: "Forecast", share: "Share") -> list[str]:
    hours = [
        amount(each / 3600) for each in (share.pretraining_seconds, share.finetuning_seconds, share.device_seconds)
    ]
    cost = found.cost(share)
    return [str(share.num_cells), *hours, size(share.num_bytes), *([] if cost is None else [amount(cost)])]


def forecast_lines(found: "Forecast") -> list[str]:
    """Return the forecast in two lines."""
    total, cost, most = found.total, found.cost(found.total), "at most " * found.is_most
    cell = found.expectation.cell_seconds or 0.0
    units = f"{total.num_cells} cells of {most}{duration(cell) if cell >= 10 else f'{cell:.2g} s'} ({found.basis})"
    if total.pretraining_seconds:
        units = f"pretraining {amount(total.pretraining_seconds / 3600)} device-hours, {units}"
    lines = [f"forecast: {most}{amount(total.device_seconds / 3600)} device-hours in all ({found.device}): {units}"]
    at_once = (
        f"{most or 'about '}{duration(found.wall_seconds)} with {found.slots} at once; {size(total.num_bytes)} on disk"
    )
    priced = "" if cost is None else f"; cost {most}{amount(cost)} at {amount(found.price or 0.0)} a device-hour"
    return [*lines, f"  {at_once}{priced}"]


def account_table(account: Account) -> Table:
    """Return what each arm has used as if it were alone, and all together."""
    price = account.price_per_device_hour
    columns = ["cells", "pretraining", "fine-tuning", "sum", *(["cost"] if price is not None else [])]
    table = _table("used by finished cells and epochs, device-hours", "arm, if alone", columns)

    def add(name: str, num_cells: int, pretraining: float, finetuning: float) -> None:
        hours = [amount(each / 3600) for each in (pretraining, finetuning, pretraining + finetuning)]
        cost = [] if price is None else [amount(price * (pretraining + finetuning) / 3600)]
        table.add_row(name, str(num_cells), *hours, *cost)

    for arm in account.arms:
        add(arm.name, arm.num_cells, arm.pretraining_seconds, arm.finetuning_seconds)
    table.add_section()
    num_cells = sum(arm.num_cells for arm in account.arms)
    add("all", num_cells, account.pretraining_seconds, account.finetuning_seconds)
    return table


def stage_table(account: Account) -> Table:
    """Return what each pretraining stage has used, beside its forecast."""
    table = _table("pretraining stages", "stage", ["epochs", "device-hours", "over forecast"])
    for stage in account.stages:
        expected = stage.forecast_seconds
        ratio = f"{stage.device_seconds / expected:.2f}" if expected else "-"
        table.add_row(stage.name, str(stage.num_epochs), amount(stage.device_seconds / 3600), ratio)
    return table


def comparison_line(account: Account) -> str:
    """Say how far the forecast was off; empty without one."""
    ratio = account.forecast_ratio
    return "" if ratio is None else f"used {ratio:.2f} times the device-hours that were forecast for the same units"


def print_account(account: Account, console: Console) -> None:
    """Show what has been used, by arm and stage."""
    console.print(account_table(account))
    if account.stages:
        console.print(stage_table(account))
    if line := comparison_line(account):
        console.print(line, highlight=False, soft_wrap=True)


def _table(title: str, first: str, columns: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(first, overflow="fold")
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    return table

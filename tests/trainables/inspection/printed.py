"""What an inspection prints, taken apart."""

from collections.abc import Callable

Run = Callable[..., tuple[int, str]]


def rows(printed: str) -> dict[str, list[str]]:
    """The cells of every row of every table by the first one."""
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in printed.splitlines() if "│" in line]
    return {first: others for first, *others in cells}

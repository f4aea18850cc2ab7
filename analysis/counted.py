"""Counts in words. In: a count and a noun. Out: a short text."""


def number(count: float, what: str) -> str:
    """Write a count with its noun: 1 patient, 2 patients, 2.5 patients."""
    written = str(int(count)) if count == int(count) else f"{count:g}"
    return f"{written} {what}{'s' if count != 1 else ''}"


def labels(count: float, unit: str) -> str:
    """Write a label count: 1 labelled slice, 4 labelled slices. ``unit`` is a plural."""
    return number(count, f"labelled {unit.removesuffix('s')}")

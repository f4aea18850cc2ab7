"""Counts in words. In: a count and a noun. Out: a short text."""


def number(count: float, what: str) -> str:
    """Write a count with its noun: 1 patient, 2 patients, 2.5 patients."""
    return f"{count if isinstance(count, int) else format(count, 'g')} {what}{'s' if count != 1 else ''}"

"""How times, sizes and costs are written for people. In: plain numbers. Out: short texts."""

import math


def number(count: int, what: str) -> str:
    """Write a count with its noun: 1 epoch, 2 epochs."""
    return f"{count} {what}{'s' if count != 1 else ''}"


def duration(seconds: float) -> str:
    """Write seconds as 42 s, 7 min 5 s or 3 h 20 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def amount(value: float) -> str:
    """Write hours or money with two digits after the point, or two that count where it is less than 0.1."""
    if value >= 0.1 or value <= 0:
        return f"{value:.2f}"
    return f"{value:.{min(4, 1 - math.floor(math.log10(value)))}f}" if value >= 0.0001 else "<0.0001"


def size(num_bytes: float) -> str:
    """Write bytes as 512 B, 3.4 MB or 1.2 GB, in powers of 1000."""
    if num_bytes < 1000:
        return f"{num_bytes:.0f} B"
    for unit in ("kB", "MB", "GB"):
        num_bytes /= 1000
        if num_bytes < 1000:
            return f"{num_bytes:.0f} {unit}" if num_bytes >= 100 else f"{num_bytes:.1f} {unit}"
    return f"{num_bytes / 1000:.1f} TB"

"""Sizes, times and counts as a person reads them."""

from __future__ import annotations

from collections.abc import Iterable

UNITS = ("B", "kB", "MB", "GB", "TB")  # powers of 1000, as disks are sold and quotas are set


def size(number: float) -> str:
    """Bytes in words: ``0 B``, ``8.6 MB``, ``123 GB``."""
    for unit in UNITS:
        if abs(number) < 999.5 or unit == UNITS[-1]:
            break
        number /= 1000
    return f"{number:.1f} {unit}" if unit != "B" and abs(number) < 99.95 else f"{number:.0f} {unit}"


def duration(seconds: float) -> str:
    """Seconds in words, two units at most: ``7 s``, ``12 min``, ``3 h 20 min``, ``2 d 4 h``."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def counted(number: int, noun: str) -> str:
    """``1 result``, ``1,240 results``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def pairs_of(at: str) -> dict[str, str]:
    """``method=semi_supervised,fold=0``, as records have it, as a dict."""
    return dict(pair.split("=", 1) for pair in at.split(",") if pair)


def wildcards(at: str) -> str:
    """``method=semi_supervised,fold=0,round=1`` as ``semi_supervised fold 0 round 1``."""
    pairs = pairs_of(at).items()
    return " ".join(value if not value.isdecimal() else f"{name} {value}" for name, value in pairs)


def job(stage: str, at: str) -> str:
    """One stage at its wildcards: ``train (semi_supervised fold 0 round 1)``."""
    return f"{stage} ({wildcards(at)})" if at else stage


def table(rows: Iterable[tuple[str, ...]], texts: tuple[int, ...] = (0,)) -> list[str]:
    """Rows in columns: those numbered in ``texts`` to the left, the others to the right; the first row is the head."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    cells = [
        [
            cell.ljust(width) if i in texts else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        for row in rows
    ]
    return ["  ".join(row).rstrip() for row in cells]

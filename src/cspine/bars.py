"""How far something is, as a row of text. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cspine.amounts import duration

PLAIN, LINES = ("#", "-"), ("━", "─")  # done and not yet done
LEAST, MOST = 5, 30  # columns of a bar; in less room there is none


def bar(done: float, total: float, width: int, encoding: str | None = "utf-8") -> str:
    """``width`` characters, of which the share that is done looks done; drawn lines where ``encoding`` has them."""
    full, empty = LINES if (encoding or "").lower().replace("-", "") in ("utf8", "utf16") else PLAIN
    share = min(max(done / total, 0.0), 1.0) if total else 1.0
    filled = int(share * width)
    return full * filled + empty * (width - filled)


def row(name: str, done: int, total: int, words: str, columns: int, encoding: str | None = "utf-8") -> str:
    """``train ━━━━━───── 50% 20/40 steps, 1.5 steps/s`` in at most ``columns``; the bar narrows first."""
    percent = f"{min(done / total, 1.0):4.0%}" if total else "100%"
    room = columns - len(f"{name} {percent} {words}") - 1
    drawn = [bar(done, total, min(room, MOST), encoding)] if room >= LEAST else []
    return " ".join([name, *drawn, percent, words])[: max(columns, 0)]


def words(standing: Mapping[str, Any]) -> str:
    """``20/40 steps, 1.5 steps/s, 13 s to go, loss 0.52`` of what ``progress.json`` holds."""
    done, total, unit, rate = (standing[name] for name in ("done", "total", "unit", "rate"))
    left = [f"{duration((total - done) / rate)} to go"] if rate and done < total else []
    note = [standing["note"]] if standing.get("note") else []
    return ", ".join([f"{done}/{total} {unit}", *([_rate(rate, unit)] if rate else []), *left, *note])


def _rate(rate: float, unit: str) -> str:
    """Units a second, a minute or an hour, whichever of them is the first to reach 1."""
    for seconds, time in ((1, "s"), (60, "min")):
        if rate * seconds >= 1:
            return f"{rate * seconds:.1f} {unit}/{time}"
    return f"{rate * 3600:.1f} {unit}/h"

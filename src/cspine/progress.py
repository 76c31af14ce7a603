"""What a stage tells the person: lines at the terminal and in the stage's log, a bar where the terminal can draw one,
and how far it is in a file."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from cspine import bars, terminal

#: beside an unfinished result: task, done, total, unit, rate (units a second), time, and where there is one a note
STANDING = "progress.json"
#: where it is set, every report is also a line of ``folder``/timings.jsonl: `cspine plan` listens
TIMED = "CSPINE_TIMED"
TIMINGS = "timings.jsonl"
BEGINS = "begins"  #: the task of the first of these lines: what comes before it is imports
SECONDS_BETWEEN_LINES = 5.0
SECONDS_BETWEEN_BARS = 0.1
_streams: list[TextIO] = []
_folders: list[Path] = []
_started: dict[str, tuple[float, int]] = {}
_last: dict[str, float] = {}
_noted: dict[str, str] = {}
_standing: dict[str, Any] = {}
_hushed = False
_drawn = 0.0  # when the bar was drawn last, or could not be


@contextlib.contextmanager
def logged(*streams: TextIO, folder: Path | None = None) -> Iterator[None]:
    """Within, every line also goes to ``streams`` (the store's log.txt, the rule's log) and what is reported to
    ``folder``/progress.json; rates start anew. The bar ends with it."""
    for memory in (_started, _last, _noted, _standing):
        memory.clear()
    _streams[:] = streams
    _folders[:] = [folder] if folder else []
    try:
        yield
        _standing.clear()
    finally:
        terminal.leave_row()
        _streams.clear()
        _folders.clear()


def hush() -> None:
    """From here on this process says nothing: another one does, which does the same."""
    global _hushed
    _hushed = True


def say(line: str) -> None:
    """Print one line to the terminal and to the log."""
    if _hushed:
        return
    print(line, file=sys.stderr, flush=True)
    log_only(line)


def log_only(line: str) -> None:
    """Write one line to the log and not to the terminal."""
    for stream in _streams:
        print(line, file=stream, flush=True)


def note(name: str, value: str) -> None:
    """Note a fact about this run for done.json, e.g. the device used."""
    _noted[name] = value


def noted() -> dict[str, str]:
    """What was noted so far."""
    return dict(_noted)


def report(task: str, done: int, total: int, unit: str = "items", note: str = "", aside: bool = False) -> None:
    """Say how far ``task`` is, with rate and time to go; at most one line every few seconds, and always the last.

    Where the terminal's last row is this process's, a bar in it says so at the terminal, and the lines before the last
    go to the logs alone. The rate counts from the first call, after the first piece of work: before that much is read
    and started.

    Args:
        task: the stage, or what of it takes long.
        done: of ``total``; equal at the end.
        total: how many there are to do.
        unit: of what.
        note: what else there is to say, e.g. the loss.
        aside: something on the way that may be short: it leaves the stage's own standing (``progress.json``) as it is,
            and says nothing at its end unless it has said something before.
    """
    if _hushed:
        return
    now = time.monotonic()
    timed(task, done, aside)
    start, first = _started.setdefault(task, (now, done))
    rate = (done - first) / (now - start) if now > start else 0.0
    standing = {"task": task, "done": done, "total": total, "unit": unit, "rate": float(f"{rate:.4g}")}
    standing |= {"time": round(time.time(), 1), **({"note": note} if note else {})}
    if not aside:
        _standing.clear()
        _standing.update(standing)
    if done < total:
        _draw(standing, now)
        if now - _last.get(task, start) < SECONDS_BETWEEN_LINES:
            return
        _last[task] = now
    _tell(standing, last=done >= total, silent=aside and task not in _last)
    for folder in _folders:
        keep(folder)


def timed(task: str, done: int = 0, aside: bool = False) -> None:
    """Write down when this was reached, in seconds, CPU seconds and MB of memory; only where ``TIMED`` is set."""
    if TIMED not in os.environ:
        return
    from cspine.store.costs import spent, spent_by_workers

    cost = spent()
    cost["cpu_seconds"] = round(cost["cpu_seconds"] + spent_by_workers(), 2)
    line = {"task": task, "done": done, "aside": aside, "at": time.monotonic(), **cost}
    for folder in _folders:
        with (folder / TIMINGS).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")


def _tell(standing: dict[str, Any], last: bool, silent: bool) -> None:
    line = f"{standing['task']}: {bars.words(standing)}"
    if last:
        terminal.leave_row()
        _started.pop(standing["task"], None)
        _last.pop(standing["task"], None)
    if not silent:
        (log_only if terminal.holds_row() else say)(line)


def _draw(standing: dict[str, Any], now: float) -> None:
    global _drawn
    if now - _drawn >= SECONDS_BETWEEN_BARS:
        _drawn = now
        name, done, total, text = standing["task"], standing["done"], standing["total"], bars.words(standing)
        terminal.draw(lambda columns: bars.row(name, done, total, text, columns, sys.stderr.encoding))


def keep(folder: Path) -> dict[str, Any] | None:
    """Write what was reported last to ``folder``/progress.json and return it.

    A rate that is not known yet is the one that an earlier process left there. When nothing was reported nothing is
    written, and the answer is what an earlier process left, or None.
    """
    before = standing(folder)
    if not _standing:
        return before
    if not _standing["rate"] and before and before["task"] == _standing["task"]:
        _standing["rate"] = before["rate"]
    temporary = folder / f"{STANDING}.{os.getpid()}.tmp"
    with contextlib.suppress(OSError):  # a full disk: the stage has more important things to write
        temporary.write_text(json.dumps(_standing), encoding="utf-8")
        temporary.replace(folder / STANDING)
    return dict(_standing)


def seconds_to_go(standing: dict[str, Any]) -> float | None:
    """How long the rest takes at the rate so far; None while no rate is known."""
    return (standing["total"] - standing["done"]) / standing["rate"] if standing["rate"] else None


def standing(folder: Path) -> dict[str, Any] | None:
    """How far the unfinished result in ``folder`` was when it was last heard of, or None."""
    try:
        return json.loads((folder / STANDING).read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return None

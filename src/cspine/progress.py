"""What a stage tells the person at the terminal; every line also lands in the stage's log."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import TextIO

SECONDS_BETWEEN_LINES = 5.0
_streams: list[TextIO] = []
_started: dict[str, tuple[float, int]] = {}
_last: dict[str, float] = {}
_noted: dict[str, str] = {}


@contextlib.contextmanager
def logged(*streams: TextIO) -> Iterator[None]:
    """Within, every line also goes to ``streams`` (the store's log.txt, the rule's log); rates start anew."""
    for memory in (_started, _last, _noted):
        memory.clear()
    _streams[:] = streams
    try:
        yield
    finally:
        _streams.clear()


def say(line: str) -> None:
    """Print one line to the terminal and to the log."""
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


def report(task: str, done: int, total: int, unit: str = "items", note: str = "") -> None:
    """Say how far ``task`` is, with rate and time to go; at most one line every few seconds, and always the last."""
    now = time.monotonic()
    start, first = _started.setdefault(task, (now, done))
    if done < total and now - _last.get(task, start) < SECONDS_BETWEEN_LINES:
        return
    _last[task] = now
    rate = (done - first) / (now - start) if now > start else 0.0
    left = f", {(total - done) / rate:.0f} s to go" if rate > 0 and done < total else ""
    say(f"{task}: {done}/{total} {unit}, {rate:.1f} {unit}/s{left}{', ' + note if note else ''}")

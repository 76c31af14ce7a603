"""Stopping in time: a stage that is asked to stop keeps what it has and ends with status 75; the same command goes on.

It is asked by a signal (SIGTERM, SIGINT), by the deadline of the time budget, by the workflow (a file that appears when
the run itself was told to stop) or by the workflow's death. Most stages are simply interrupted, whatever they do: what
was finished before is in the store. One that saves its own state goes ``polled()`` and asks ``wanted()`` itself.
Nothing here can change a result.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from cspine import budget, progress
from cspine.runtime import orphaned

PAUSED = 75  # exit status: go on later, nothing is wrong (EX_TEMPFAIL of sysexits.h)
STOP = "CSPINE_STOP"  # a file whose appearance asks every job of the run to stop; it says why
PAUSES = "CSPINE_PAUSES"  # a file in which paused jobs leave a line of JSON each for the end of the run
TIME_IS_UP = "the time budget is used up"
SIGNALS = (signal.SIGTERM, signal.SIGINT)
LOOK_EVERY_SECONDS = 0.25
SECONDS_TO_LEAVE = 5.0  # an interrupted stage is left alone for so long, to close what it has open

NEVER = float("-inf")

AT_ONCE, POLLED, HELD = "at once", "polled", "held"
_mode = AT_ONCE
_signal = ""  # the name of the first one received
_nudged = False  # the next one is the watch's own
_left = NEVER  # when the stage was interrupted


class Paused(SystemExit):
    """The stage stops here, to go on later; ends the process with status 75 and without a traceback."""

    def __init__(self, why: str) -> None:
        global _left
        super().__init__(PAUSED)
        self.why, _left = why, time.monotonic()


def asked() -> str | None:
    """Why this process should stop whatever the clock says: a signal, the run was told to stop, or has died."""
    if _signal:
        return f"asked to stop ({_signal})"
    if orphaned():
        return "the workflow that started it is gone"
    return _stop_file()


def wanted() -> str | None:
    """Why this process should stop now: what ``asked`` says, or the deadline has passed; None to go on."""
    return asked() or (TIME_IS_UP if budget.seconds_left() <= 0 else None)


def stop_if_wanted() -> None:
    """Raise ``Paused`` when a stop is wanted."""
    if why := wanted():
        raise Paused(why)


@contextlib.contextmanager
def polled() -> Iterator[None]:
    """Within, the stage asks ``wanted`` itself and raises ``Paused``; only a second signal still interrupts it."""
    with _in_mode(POLLED):
        yield


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Within, nothing interrupts: for what is short and must be whole."""
    with _in_mode(HELD):
        yield


@contextlib.contextmanager
def answered() -> Iterator[None]:
    """Within, SIGTERM and SIGINT pause the process instead of ending it. Outside the main thread this does nothing."""
    global _signal, _left
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _signal, _left = "", NEVER
    before = {number: signal.signal(number, _answer) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _signal = ""


@contextlib.contextmanager
def watched() -> Iterator[None]:
    """Within, everything else that ``wanted`` knows of interrupts the main thread too, wherever it waits."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    done = threading.Event()
    watch = threading.Thread(target=_watch, args=(done,), daemon=True)
    with answered():
        try:
            watch.start()  # it may interrupt at once
            yield
        finally:
            with held():
                done.set()
                if watch.ident is not None:
                    watch.join()


def leave_word(name: str, folder: Path, why: str, keeps: bool, log: Path | None = None) -> None:
    """Say that the job ``name`` paused, and how far it is: here, in its logs, and for the end of the run.

    Args:
        name: as the person is to read it.
        folder: the store's folder of the unfinished result.
        why: why it stopped.
        keeps: whether what is done so far outlives the process.
        log: the rule's log.
    """
    with held():
        standing = progress.keep(folder) if keeps else None
        how_far = f" at {standing['done']} of {standing['total']} {standing['unit']}" if standing else ""
        line = f"{name}: paused{how_far}: {why}"
        progress.say(line)
        for place in (folder / "log.txt", log):
            if place is not None and place.parent.is_dir():
                with place.open("a", encoding="utf-8") as stream:
                    stream.write(line + "\n")
        if PAUSES in os.environ:
            with Path(os.environ[PAUSES]).open("a", encoding="utf-8") as stream:
                stream.write(json.dumps({"name": name, "why": why, **(standing or {})}) + "\n")


def _answer(number: int, _: FrameType | None) -> None:
    global _signal, _nudged
    first = not _signal
    if _nudged:
        _nudged = False
    else:
        _signal = _signal or signal.Signals(number).name
    if _mode == HELD or (_mode == POLLED and first) or time.monotonic() - _left < SECONDS_TO_LEAVE:
        return
    raise Paused(wanted() or "asked to stop")


def _watch(done: threading.Event) -> None:
    global _nudged
    main = threading.main_thread().ident
    assert main is not None
    while not done.wait(LOOK_EVERY_SECONDS):
        heard = signal.getsignal(signal.SIGTERM) == _answer  # else it would end the process
        if _mode == AT_ONCE and heard and wanted():
            _nudged = True
            signal.pthread_kill(main, signal.SIGTERM)  # unlike interrupt_main() it ends a wait in a system call too


@contextlib.contextmanager
def _in_mode(mode: str) -> Iterator[None]:
    global _mode
    before, _mode = _mode, mode
    try:
        yield
    finally:
        _mode = before


def _stop_file() -> str | None:
    place = os.environ.get(STOP)
    try:
        return f"the run was asked to stop ({Path(place).read_text(encoding='utf-8')})" if place else None
    except FileNotFoundError:
        return None

"""One terminal for all processes of a run: whole lines, and below them in the last row the bar of one process.

The jobs of a run and Snakemake write to the same terminal. Two rules keep their lines whole: whoever writes a line
writes all of it at once, over whatever stands in the last row; and only the process that holds that row draws a bar in
it. It is held by a lock on the terminal's own device, of which the kernel lets go when the process dies. Standard
library only.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, TextIO, cast

ERASE = "\r\x1b[K"  # to the start of the row, and all of it away (ECMA-48: EL)
_row: int | None = None  # the terminal's device, open and locked, while this process holds the last row


def redraws(stream: TextIO) -> bool:
    """Whether a row that was written to ``stream`` can be drawn again: a terminal that is not dumb, in the foreground.

    In the background (`snakemake … &`) the last row is where the person types.
    """
    if (os.environ.get("TERM") or "dumb") == "dumb" or not stream.isatty():
        return False
    try:
        return os.tcgetpgrp(stream.fileno()) == os.getpgrp()
    except OSError:  # a terminal that controls no session: nobody types there
        return True


def columns(stream: TextIO) -> int:
    """The width of the terminal behind ``stream``; 80 where it does not say."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except OSError:
        return 80


def draw(text_of: Callable[[int], str]) -> bool:
    """Draw a bar in the last row, where this process has or gets it; else nothing, and the answer is False.

    Args:
        text_of: the text for a number of columns.
    """
    if not _take_row():
        return False
    stream = _below(sys.stderr)
    stream.write(ERASE + text_of(columns(stream) - 1))  # a full row would begin the next one
    stream.flush()
    return True


def holds_row() -> bool:
    """Whether this process holds the last row."""
    return _row is not None


@atexit.register
def leave_row() -> None:
    """Take the bar away, and let another process have the row."""
    global _row
    if _row is not None:
        with contextlib.suppress(OSError, ValueError):  # the terminal is gone
            stream = _below(sys.stderr)
            stream.write(ERASE)
            stream.flush()
        os.close(_row)
        _row = None


@contextlib.contextmanager
def whole_lines() -> Iterator[None]:
    """Within, ``sys.stderr`` writes whole lines, also what libraries print; nothing happens without a terminal."""
    before = sys.stderr
    sys.stderr = whole(before)
    try:
        yield
    finally:
        sys.stderr.flush()
        sys.stderr = before


def whole(stream: TextIO) -> TextIO:
    """``stream``, writing whole lines over the bar that may stand in their row; itself where there can be none."""
    return cast(TextIO, _WholeLines(stream)) if not isinstance(stream, _WholeLines) and redraws(stream) else stream


class _WholeLines:
    """A terminal's stream that keeps text until its line is whole."""

    def __init__(self, stream: TextIO) -> None:
        self.stream, self._begun, self._lock = stream, "", threading.Lock()

    def write(self, text: str) -> int:
        with self._lock:
            whole, end, self._begun = (self._begun + text).rpartition("\n")
            if end:
                self.stream.write(f"{ERASE}{whole}\n")
                self.stream.flush()
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        self.write("".join(lines))

    def flush(self) -> None:
        """Also what is no whole line: a question, or the bar of a library."""
        with self._lock:
            if self._begun:
                self.stream.write(self._begun)
                self._begun = ""
            self.stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def _below(stream: TextIO) -> TextIO:
    return stream.stream if isinstance(stream, _WholeLines) else stream


def _take_row() -> bool:
    global _row
    if _row is None and redraws(sys.stderr):
        try:
            opened = os.open(os.ttyname(sys.stderr.fileno()), os.O_WRONLY | os.O_NOCTTY)
        except OSError:  # of another container, say
            return False
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(opened)
            return False
        _row = opened
    return _row is not None

"""What a terminal shows of what was written to it, and a process that has a terminal of its own."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

CONTROLLED = "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)"  # so that Ctrl-C reaches the process
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def shown(written: str) -> list[str]:
    """The rows of an endless terminal after ``written``: carriage return, newline and "erase to the end" are obeyed."""
    rows, column = [""], 0
    for part in re.findall(r"\r|\n|\x1b\[[0-9;?]*[A-Za-z]|[^\r\n\x1b]+", written):
        if part == "\r":
            column = 0
        elif part == "\n":
            rows.append("")  # the terminal's driver has put a carriage return before it
        elif part == "\x1b[K":
            rows[-1] = rows[-1][:column]
        elif not CONTROL.fullmatch(part):
            rows[-1] = rows[-1][:column] + part + rows[-1][column + len(part) :]
            column += len(part)
    return rows


class Terminal:
    """A Python process with a terminal of its own, of which it is the session's leader."""

    def __init__(self, code: str, folder: Path, columns: int = 100, environment: dict[str, str] | None = None) -> None:
        self.written = ""
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-c", f"{CONTROLLED}\n{code}"], cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs,
            env={**os.environ, "TERM": "xterm", **(environment or {})}, start_new_session=True,
        )  # fmt: skip
        os.close(theirs)

    def read_until(self, text: str) -> None:
        """Wait until the process has written ``text``; its end is an error."""
        while text not in self.written:
            more = self._more()
            assert more, f"{text!r} is not in {self.written!r}"
            self.written += more

    def type(self, text: str) -> None:
        """Type ``text``; ``\\x03`` is Ctrl-C."""
        os.write(self._ours, text.encode())

    def end(self) -> int:
        """Read what is left; returns the exit status."""
        while more := self._more():
            self.written += more
        os.close(self._ours)
        return self.process.wait()

    def _more(self) -> str:
        found = b""
        with contextlib.suppress(OSError):  # all who had the terminal open are gone
            while more := os.read(self._ours, 65536):
                found += more
                if found[-1] < 0x80:  # else in the middle of a character
                    break
        return found.decode(errors="replace")

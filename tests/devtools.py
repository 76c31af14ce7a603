"""A headless Chromium that is spoken to in its DevTools protocol, over a pipe: no port, no library, no driver."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PATIENCE = 60.0  # seconds until an answer is given up: a busy machine starts a browser slowly
FLAGS = (
    "--headless", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
    "--hide-scrollbars", "--no-first-run", "--no-default-browser-check", "--disable-background-networking",
    "--disable-component-update", "--disable-extensions", "--disable-sync", "--force-color-profile=srgb",
    "--mute-audio",
)  # fmt: skip
#: The browser reads commands from descriptor 3 and answers on 4; ours may have these numbers the wrong way round, so
#: they are moved out of the way first.
_AT_3_AND_4 = """
import fcntl, os, sys
read, write = (fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3])
os.dup2(read, 3), os.dup2(write, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
Event = Callable[[str, dict[str, Any]], None]


@cache
def found() -> str | None:
    """Path of the browser, by the names it goes by; None where there is none."""
    return next((path for path in map(shutil.which, NAMES) if path), None)


@cache
def browser() -> Browser:
    """The one browser of this process, started when it is first asked for; skips the test where there is none."""
    path = found()
    if path is None:
        pytest.skip(f"no browser to look at pages with: none of {', '.join(NAMES)} is on the PATH")
    started = Browser(path)
    atexit.register(started.close)
    return started


class Browser:
    """A running browser: ``call`` sends a command and waits for its answer, ``listen`` is told a session's events."""

    def __init__(self, path: str) -> None:
        self.profile = tempfile.TemporaryDirectory(prefix="browser-", ignore_cleanup_errors=True)
        read, self._write = os.pipe()
        self._read, write = os.pipe()
        command = [path, *FLAGS, f"--user-data-dir={self.profile.name}", "about:blank"]
        self._process = subprocess.Popen(
            [sys.executable, "-c", _AT_3_AND_4, str(read), str(write), *command],
            pass_fds=(read, write), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(read)
        os.close(write)
        self._rest = b""  # of the answers, what is not whole yet
        self._last = 0
        self._listeners: dict[str, list[Event]] = defaultdict(list)

    def call(self, method: str, session: str = "", **parameters: Any) -> dict[str, Any]:
        """The answer to one command; events that come before it go to who listens.

        Raises:
            RuntimeError: the browser refused, says why.
        """
        self._last = number = self._last + 1
        message = {"id": number, "method": method, "params": parameters} | ({"sessionId": session} if session else {})
        data = memoryview(json.dumps(message).encode() + b"\0")
        while data:
            data = data[os.write(self._write, data) :]
        while True:
            answer = self._next(method)
            if answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return dict(answer["result"])

    def wait(self, until: Callable[[], bool], what: str) -> None:
        """Take events until ``until()``."""
        while not until():
            self._next(what)

    def listen(self, session: str, event: Event) -> None:
        """Tell ``event`` the (name, parameters) of everything that happens in a session."""
        self._listeners[session].append(event)

    def close(self) -> None:
        """End the browser and all it started."""
        with contextlib.suppress(OSError, RuntimeError):
            self.call("Browser.close")
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._read)
        os.close(self._write)
        self.profile.cleanup()

    def _next(self, what: str) -> dict[str, Any]:
        """The next message; an event's listeners have been told."""
        end = time.monotonic() + PATIENCE
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._read], [], [], max(0.0, end - time.monotonic()))
            chunk = os.read(self._read, 1 << 20) if ready else b""
            if not chunk:
                raise RuntimeError(f"the browser {'is gone' if ready else 'does not answer'}, {what} was asked for")
            self._rest += chunk
        text, self._rest = self._rest.split(b"\0", 1)
        message: dict[str, Any] = json.loads(text)
        for told in self._listeners.get(message.get("sessionId", ""), ()) if "method" in message else ():
            told(message["method"], message["params"])
        return message

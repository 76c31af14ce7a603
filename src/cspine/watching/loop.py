"""Frames shown again and again: in place on a terminal, one after the other elsewhere."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from itertools import count
from typing import TextIO

from cspine.terminal import redraws
from cspine.watching.frames import frame
from cspine.watching.seen import Seen


def watch(look: Callable[[], Seen], seconds: float) -> None:
    """Show what ``look`` sees every so many seconds, until Ctrl-C.

    A terminal's view is drawn over again, and stays when there is no run: one may begin. Anywhere else (a pipe, a file,
    a terminal that is dumb) frames follow each other, an empty line between them, and the first without a run is the
    last: nobody may be there to stop it.
    """
    # A flag, not an exception: one that is raised inside a destructor or a callback is printed and lost.
    ended = threading.Event()
    before = signal.signal(signal.SIGINT, lambda *_: ended.set())
    try:
        if redraws(sys.stdout):
            _in_place(look, seconds, ended)
        else:
            _one_after_the_other(look, seconds, sys.stdout, ended)
    except KeyboardInterrupt:
        pass
    except BrokenPipeError:  # `… | head`: who reads has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it ends
    finally:
        signal.signal(signal.SIGINT, before)


def _in_place(look: Callable[[], Seen], seconds: float, ended: threading.Event) -> None:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(highlight=False)
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        while not ended.is_set():
            lines = frame(look(), console.width, console.height - 1, console.encoding)
            live.update(Text("\n".join(lines), no_wrap=True, overflow="crop"), refresh=True)
            ended.wait(seconds)


def _one_after_the_other(look: Callable[[], Seen], seconds: float, stream: TextIO, ended: threading.Event) -> None:
    for number in count():
        seen = look()
        lines = ["", *frame(seen, encoding=stream.encoding)] if number else frame(seen, encoding=stream.encoding)
        print("\n".join(lines), file=stream, flush=True)
        if seen.run is None or ended.wait(seconds):
            return

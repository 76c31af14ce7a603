"""Frames shown again and again: in place on a terminal, one after the other elsewhere."""

from __future__ import annotations

import os
import sys
import time
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
    try:
        if redraws(sys.stdout):
            _in_place(look, seconds)
        else:
            _one_after_the_other(look, seconds, sys.stdout)
    except KeyboardInterrupt:
        pass
    except BrokenPipeError:  # `… | head`: who reads has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it ends


def _in_place(look: Callable[[], Seen], seconds: float) -> None:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(highlight=False)
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        while True:
            lines = frame(look(), console.width, console.height - 1, console.encoding)
            live.update(Text("\n".join(lines), no_wrap=True, overflow="crop"), refresh=True)
            time.sleep(seconds)


def _one_after_the_other(look: Callable[[], Seen], seconds: float, stream: TextIO) -> None:
    for number in count():
        seen = look()
        lines = ["", *frame(seen, encoding=stream.encoding)] if number else frame(seen, encoding=stream.encoding)
        print("\n".join(lines), file=stream, flush=True)
        if seen.run is None:
            return
        time.sleep(seconds)

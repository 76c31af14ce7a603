"""The processes that do one stage together, one on each device: who they are, how they start, what their ends mean.

The first of them (rank 0) is the one that the store, the logs and the person know. The others call the same stage with
the same arguments, say nothing and write nothing. The runner starts them on this machine (``runtime.devices``); on
several machines torchrun or srun does, and says so in RANK and WORLD_SIZE. Standard library only.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import socket
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.connection import Connection
from typing import Any

from cspine import pausing, progress
from cspine.errors import CspineError
from cspine.pools import CONTEXT, Worker

RANK, SIZE = "RANK", "WORLD_SIZE"  # as torchrun calls them
MEETING = "CSPINE_MEETING"  # the file by which the processes of this machine find each other
ANSWER_SECONDS = 10.0  # for a process that has gone to be known as gone
LOOK_EVERY_SECONDS = 0.05
ENDS_WELL = (0, pausing.PAUSED)
Environment = Mapping[str, str]


@dataclass
class Peer:
    """One of the other processes."""

    process: Worker
    pipe: Connection  # first a None when it is ready to compute; then words, if it fails
    name: str
    words: str = ""

    def failure(self) -> str | None:
        """How it ended, in words; None while it is at work, or when all is well."""
        with contextlib.suppress(EOFError, OSError):
            while not self.words and self.pipe.poll():
                self.words = self.pipe.recv() or ""
        if self.words:
            return f"{self.name}: {self.words}"
        status = self.process.exitcode
        if status is None or status in ENDS_WELL:
            return None
        how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        return f"{self.name} {how}" + ("; is memory short?" if status == -signal.SIGKILL else "")


_peers: list[Peer] = []  # of this process, where it is the first


def rank() -> int:
    """The number of this process among those that do the stage; 0 leads."""
    return _number(RANK, 0)


def size() -> int:
    """How many processes do the stage."""
    return _number(SIZE, 1)


def started_elsewhere() -> bool:
    """Whether torchrun or the like has started all of them, each with a command line of its own."""
    return MEETING not in os.environ and size() > 1


@contextlib.contextmanager
def beside(function: str, arguments: dict[str, Any], environments: Sequence[Environment]) -> Iterator[None]:
    """Within, this process is the first of so many that call a function with the same arguments.

    Args:
        function: as module:name; imported by each of the others for itself.
        arguments: plain values.
        environments: what of the environment is each process's own, this one's first; nothing starts for a single one.

    Raises:
        CspineError: another process failed, and this one therefore could not go on; the message says how.
    """
    if len(environments) < 2:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="cspine-") as folder:
        shared = {SIZE: str(len(environments)), MEETING: f"{folder}/meeting", **_of_this_machine()}
        try:
            for number, own in enumerate(environments[1:], start=1):
                with environment({**shared, **own, RANK: str(number)}):
                    _peers.append(_started(function, arguments, f"process {number + 1} of {len(environments)}"))
            with environment({**shared, RANK: "0"}):
                yield
            for peer in _peers:
                peer.process.join(ANSWER_SECONDS)
        except RuntimeError as error:  # what torch raises when it waits for somebody who is gone
            if words := failure(ANSWER_SECONDS):
                raise CspineError(f"{words}; what was saved stays: the same command goes on") from error
            raise
        finally:
            for peer in _peers:
                peer.process.kill()
                peer.process.join()
            _peers.clear()


def wait_until_ready() -> None:
    """Wait until all others have come as far as this: nobody should wait for one that died on its way.

    Raises:
        RuntimeError: one of them has failed; ``beside`` says how.
    """
    for peer in _peers:
        connection.wait([peer.pipe, peer.process.sentinel])
        with contextlib.suppress(EOFError, OSError):
            if peer.pipe.poll() and peer.pipe.recv() is None:
                continue
        raise RuntimeError(f"{peer.name} did not start")


def failure(patience: float = 0.0) -> str | None:
    """How one of the others has failed; None when none does within ``patience`` seconds."""
    end = time.monotonic() + patience
    while True:
        found = next(filter(None, (peer.failure() for peer in _peers)), None)
        if found or time.monotonic() >= end:
            return found
        time.sleep(LOOK_EVERY_SECONDS)


def when_one_fails(act: Callable[[], None]) -> None:
    """Call ``act`` in a thread when one of the others fails: for waits that nothing else would end."""

    def watch() -> None:
        left = [peer.process.sentinel for peer in _peers]
        while left:
            left = [sentinel for sentinel in left if sentinel not in connection.wait(left)]
            if failure():
                act()
                return

    threading.Thread(target=watch, daemon=True).start()


@contextlib.contextmanager
def environment(values: Environment) -> Iterator[None]:
    """Within, the environment has these values too."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name in values:
            os.environ.pop(name, None)
        os.environ.update({name: value for name, value in before.items() if value is not None})


def _started(function: str, arguments: dict[str, Any], name: str) -> Peer:
    ours, theirs = CONTEXT.Pipe()
    # not a daemon: those may have no children, and an example may be loaded by some
    process = CONTEXT.Process(target=_follow, args=(theirs, function, arguments), name=name)
    process.start()
    theirs.close()  # the end of the process must be the end of the pipe
    return Peer(process, ours, name)


_ready: Callable[[], None] = lambda: None  # noqa: E731 - what says that this process is ready, where it follows another


def say_ready() -> None:
    """In a process that was started by another: from here on it can be waited for."""
    _ready()


def _follow(pipe: Connection, function: str, arguments: dict[str, Any]) -> None:
    """What a process that is not the first does."""
    global _ready
    _ready = lambda: pipe.send(None)  # noqa: E731
    progress.hush()
    module, _, name = function.partition(":")
    try:
        getattr(importlib.import_module(module), name)(**arguments)
    except CspineError as error:
        _leave(pipe, str(error))
    except Exception as error:
        _leave(pipe, "".join(traceback.format_exception(error)))


def _leave(pipe: Connection, words: str) -> None:
    with contextlib.suppress(OSError):
        pipe.send(words)
    sys.exit(1)


def _of_this_machine() -> dict[str, str]:
    """gloo asks for the address of this machine's name, which not every container knows; the loopback is enough."""
    names = {name for _, name in socket.if_nameindex()} & {"lo", "lo0"}
    return {"GLOO_SOCKET_IFNAME": names.pop()} if names else {}


def _number(name: str, otherwise: int) -> int:
    text = os.environ.get(name, str(otherwise))
    if not text.isdecimal():
        raise CspineError(f"{name} is '{text}'; expected a number, as torchrun sets it for each of its processes")
    return int(text)

"""A folder held by one process: by flock, or where the file system has none by an owner file with a heartbeat.

Each folder of the store has its lock; the project's folder has one for the run at work in it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

from cspine.errors import CspineError
from cspine.progress import say
from cspine.runtime import host, start_time, this_process

PATIENCE_SECONDS = 120.0
LOOK_EVERY_SECONDS = 0.2
TRIES = 5  # of a run: whoever only asks ``run_holder`` holds its lock for a moment
BEAT_SECONDS = 10.0
DEAD_AFTER_SECONDS = 60.0  # without a beat, as the file system's own clock has it
RUN_LOCK = Path(".snakemake/run.lock")
#: what flock answers on file systems that cannot lock (network and user-space ones)
CANNOT_LOCK = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}


@contextlib.contextmanager
def locked(folder: Path, patience: float = PATIENCE_SECONDS) -> Iterator[None]:
    """Hold ``folder`` alone. The lock dies with its process; a second process waits, then says who holds it.

    Raises:
        CspineError: another process still held the folder after ``patience`` seconds; the message names it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a+", encoding="utf-8") as stream:
        try:
            _until(lambda: _flocked(stream), lambda: _words(stream), folder, patience)
        except OSError as error:
            if error.errno not in CANNOT_LOCK:
                raise
            with _owned(folder, patience):
                yield
            return
        stream.seek(0)
        stream.truncate()
        stream.write(f"{this_process()}\n")
        stream.flush()
        yield


def holder(folder: Path) -> str | None:
    """Who holds ``folder`` at this moment, in words; None when nobody does."""
    path = folder / "lock"
    if not path.exists():
        return None
    with path.open("a+", encoding="utf-8") as stream:
        try:
            return None if _flocked(stream) else _words(stream)
        except OSError:
            owner = folder / "owner.json"
            return _owner_in_words(owner) if owner.exists() and _alive(owner) else None


def run_alone() -> TextIO:
    """Hold this project's folder against every other run until the stream closes or the process dies, however it dies.

    Raises:
        BlockingIOError: another process holds it.
        OSError: this file system cannot lock.
    """
    RUN_LOCK.parent.mkdir(exist_ok=True)
    stream = RUN_LOCK.open("a+", encoding="utf-8")
    try:
        _take(stream)
    except OSError:
        stream.close()
        raise
    stream.truncate(0)
    stream.write(f"{this_process()}, since {time.strftime('%Y-%m-%d %H:%M')}\n")
    stream.flush()
    return stream


def run_holder() -> str | None:
    """Which run is at work in this project's folder, in words; None when there is none, or nobody can tell."""
    if not RUN_LOCK.exists():
        return None
    with RUN_LOCK.open("a+", encoding="utf-8") as stream:
        try:
            return None if _flocked(stream) else _words(stream)
        except OSError:
            return None


def _take(stream: TextIO) -> None:
    for _ in range(TRIES):
        if _flocked(stream):
            return
        time.sleep(LOOK_EVERY_SECONDS)
    raise BlockingIOError(errno.EWOULDBLOCK, "another process holds it", str(RUN_LOCK))


def _until(taken: Callable[[], bool], owner: Callable[[], str], folder: Path, patience: float) -> None:
    deadline, told = time.monotonic() + patience, False
    while not taken():
        who = owner()
        if time.monotonic() > deadline:
            raise CspineError(f"{folder} is in use by {who}; wait for it or stop it, then go on")
        if not told:
            say(f"{folder} is in use by {who}; waiting")
            told = True
        time.sleep(LOOK_EVERY_SECONDS)


def _flocked(stream: TextIO) -> bool:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False


def _words(stream: TextIO) -> str:
    stream.seek(0)
    return stream.read().strip() or "unknown"


# -- file systems without flock ------------------------------------------------------------------------------------


@contextlib.contextmanager
def _owned(folder: Path, patience: float) -> Iterator[None]:
    path = folder / "owner.json"
    _until(lambda: _created(path), lambda: _owner_in_words(path), folder, patience)
    stop = threading.Event()
    beat = threading.Thread(target=_beat, args=(path, stop), daemon=True)
    beat.start()
    try:
        yield
    finally:
        stop.set()
        beat.join()
        path.unlink(missing_ok=True)


def _created(path: Path) -> bool:
    """Make the owner file; a dead owner's is moved away first, which only one of several can do."""
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    except FileExistsError:
        if _alive(path):
            return False
        dead = path.with_name(f"{path.name}.{os.getpid()}.dead")
        with contextlib.suppress(FileNotFoundError):
            path.rename(dead)
            dead.unlink()
        return False  # the next look makes it, unless another process was quicker
    owner = {"host": host(), "pid": os.getpid(), "start": start_time(os.getpid())}
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        json.dump(owner, stream)
    return True


def _alive(path: Path) -> bool:
    """Whether the owner file's process lives: on this host by its id, on another by its heartbeat."""
    try:
        owner = json.loads(path.read_text(encoding="utf-8"))
        if owner["host"] == host():
            return start_time(owner["pid"]) == owner["start"]
    except (FileNotFoundError, json.JSONDecodeError, KeyError):
        pass  # gone, or not written yet: its age decides
    probe = path.with_name(f"{path.name}.{os.getpid()}.now")
    try:
        probe.touch()  # "now" by the clock that stamps the heartbeats
        return probe.stat().st_mtime - path.stat().st_mtime < DEAD_AFTER_SECONDS
    except FileNotFoundError:
        return False
    finally:
        probe.unlink(missing_ok=True)


def _beat(path: Path, stop: threading.Event) -> None:
    while not stop.wait(BEAT_SECONDS):
        with contextlib.suppress(FileNotFoundError):
            os.utime(path)


def _owner_in_words(path: Path) -> str:
    try:
        owner = json.loads(path.read_text(encoding="utf-8"))
        return f"process {owner['pid']} on {owner['host']}"
    except (OSError, json.JSONDecodeError, KeyError):
        return "unknown"

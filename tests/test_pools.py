"""Worker processes: deaf to the signals of the group they came from, gone when their parent is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cspine.pools import CONTEXT
from cspine.runtime import start_time

LONG = 60.0  # only so that a failure ends
PARENT = """
import os, signal, sys
from cspine.pools import CONTEXT

def answer(pipe):
    while True:
        pipe.recv()
        pipe.send(os.getpid())

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ours, theirs = CONTEXT.Pipe()
    worker = CONTEXT.Process(target=answer, args=(theirs,), daemon=True)
    worker.start()
    for _ in sys.stdin:
        ours.send(None)
        print(ours.recv(), flush=True)
"""


def until(done: Callable[[], bool]) -> None:
    end = time.monotonic() + LONG
    while not done():
        assert time.monotonic() < end, "it did not come about"
        threading.Event().wait(0.02)


@contextmanager
def parent(folder: Path) -> Iterator[tuple[subprocess.Popen[str], Callable[[], int]]]:
    """A process with a pool of one, in a group of its own; and how to ask for its worker's process id."""
    script = folder / "parent.py"
    script.write_text(PARENT, encoding="utf-8")
    running = subprocess.Popen(
        [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert running.stdin is not None and running.stdout is not None
    asks, answers = running.stdin, running.stdout

    def ask() -> int:
        asks.write("\n")
        asks.flush()
        return int(answers.readline())

    try:
        yield running, ask
    finally:
        running.kill()
        running.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_whole_group_leaves_its_workers_alone(tmp_path: Path, number: signal.Signals) -> None:
    with parent(tmp_path) as (running, ask):
        worker = ask()
        os.killpg(running.pid, number)
        assert ask() == worker != running.pid


def test_no_worker_outlives_a_killed_parent(tmp_path: Path) -> None:
    with parent(tmp_path) as (running, ask):
        worker = ask()
        running.kill()
        until(lambda: start_time(worker) == "")


def test_a_worker_can_still_be_ended_by_its_parent() -> None:
    worker = CONTEXT.Process(target=time.sleep, args=(10 * LONG,))
    worker.start()
    worker.terminate()
    worker.join(LONG)
    assert worker.exitcode == -signal.SIGTERM

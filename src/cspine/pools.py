"""Worker processes that end with the process that started them, however that one ends, and not before.

Ctrl-C and a scheduler's SIGTERM go to every process of the group: workers would die of them one by one, and what they
were reading would be blamed. So they belong to a group of their own and it is their parent that stops them. Killed with
SIGKILL it cannot; then they notice that it is gone.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from multiprocessing import connection, resource_tracker
from multiprocessing.context import SpawnContext, SpawnProcess

GROUP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
PR_SET_PDEATHSIG = 1  # prctl(2)


class Worker(SpawnProcess):
    """A process bound to its parent from its first instruction on."""

    lasting: bool  # whether the thread that started it is one that lasts as long as the process

    def start(self) -> None:
        """Start it deaf to the group's signals: it begins with the signal mask of the thread that starts it."""
        resource_tracker.ensure_running()  # started on the way it would lift the mask
        self.lasting = threading.current_thread() is threading.main_thread()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, GROUP_SIGNALS)
        try:
            super().start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def run(self) -> None:
        """Leave the parent's group and hear signals again; of those that came meanwhile only the parent's counts."""
        os.setpgid(0, 0)
        came = signal.sigtimedwait({signal.SIGTERM}, 0) if hasattr(signal, "sigtimedwait") else None  # not on macOS
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # forgets one that came
        for number in GROUP_SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, GROUP_SIGNALS)
        if came is not None and came.si_pid == os.getppid():
            os.kill(os.getpid(), signal.SIGTERM)
        threading.Thread(target=_die_with_parent, daemon=True).start()
        if self.lasting and sys.platform == "linux":
            # also while a decoder written in C holds the interpreter; "parent" means the thread that started us
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        super().run()


class _Context(SpawnContext):
    Process = Worker


#: for whatever starts processes: new interpreters, because a fork of a process with threads (Arrow, OpenCV) may hang
CONTEXT = _Context()


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)

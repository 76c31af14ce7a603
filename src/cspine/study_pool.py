"""Studies read in worker processes: a decoder written in C may take its process with it, which costs one study."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import cv2

from cspine.errors import CspineError
from cspine.pools import pool

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # mallopt(3)
Job = TypeVar("Job")
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Task(Generic[Job, Answer]):
    """What is done with every study.

    Attributes:
        work: in a worker process: a study's job and ``given`` -> an answer. A function of a module.
        given: what all jobs share.
        lost: the answer that stands for a study whose reading killed its process.
    """

    work: Callable[[Job, Any], Answer]
    given: Any
    lost: Callable[[Job], Answer]


@contextlib.contextmanager
def studies_read(jobs: Sequence[Job], task: Task[Job, Answer], workers: int) -> Iterator[Iterator[Answer]]:
    """The answer to every job, in order, by ``workers`` processes (at least 1); they start when this is entered.

    At most twice as many studies as workers are read and not yet taken, so memory does not grow with the jobs. Left
    early, it ends the processes at once.
    """
    results = _read(deque(jobs), task, workers)
    next(results, None)
    try:
        yield (result for result in results if result is not None)
    finally:
        results.close()


def _read(waiting: deque[Job], task: Task[Job, Answer], workers: int) -> Generator[Answer | None]:
    while waiting:
        yield from _until_crash(waiting, task, workers)


def _until_crash(waiting: deque[Job], task: Task[Job, Answer], workers: int) -> Iterator[Answer | None]:
    """Take jobs from ``waiting`` until none is left or a worker dies; a None before each result: work is handed out.

    A dead worker takes the whole pool with it and does not say what it was reading. So every study that was under way
    is read again on its own; the one that kills its process again is reported, and the caller goes on in a new pool.
    """
    running: deque[tuple[Job, Future[Answer]]] = deque()
    with pool(workers, _prepare) as processes:
        while waiting or running:
            try:
                while waiting and len(running) < 2 * workers:
                    running.append((waiting[0], processes.submit(task.work, waiting[0], task.given)))
                    waiting.popleft()
                yield None
                yield running[0][1].result()
                running.popleft()
            except BrokenProcessPool:
                break
    for job, future in running:
        finished = future.done() and not future.cancelled() and future.exception() is None
        yield future.result() if finished else _alone(job, task)


def _alone(job: Job, task: Task[Job, Answer]) -> Answer:
    try:
        with pool(1, _prepare) as process:
            return process.submit(task.work, job, task.given).result()
    except BrokenProcessPool:
        _check_workers_start()
    return task.lost(job)


def _check_workers_start() -> None:
    """A process that cannot start at all must not be blamed on a study."""
    try:
        with pool(1, _prepare) as process:
            process.submit(os.getpid).result()
    except BrokenProcessPool as error:
        raise CspineError(
            "worker processes, which read the studies, cannot start here; call ingest from the command line, or from a"
            " script whose main part stands under `if __name__ == '__main__':`"
        ) from error


def _prepare() -> None:
    """Make a worker ready: one thread, and memory that is kept between the studies."""
    cv2.setNumThreads(1)
    # A study is hundreds of arrays of half a megabyte. Given back and asked for again, their pages cost more time than
    # reading the files: a third of what a slice takes.
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None  # glibc has it
    if mallopt is not None:
        mallopt(M_TRIM_THRESHOLD, 1 << 30)
        mallopt(M_MMAP_THRESHOLD, 1 << 30)

"""Studies read in worker processes: a decoder written in C may take its process with it, which costs one study."""

from __future__ import annotations

import contextlib
import ctypes
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import cv2

from cspine.crew import Task, shared_out

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # mallopt(3)
Job = TypeVar("Job")
Answer = TypeVar("Answer")


def studies_read(
    jobs: Sequence[Job],
    work: Callable[[Job, Any], Answer],
    given: Any,
    lost: Callable[[Job], Answer],
    workers: int,
    seconds: float | None = None,
) -> contextlib.AbstractContextManager[Iterator[Answer]]:
    """``crew.shared_out`` for studies, by workers that are ready to read them.

    Args:
        jobs: a study each.
        work: a job and ``given`` -> an answer.
        given: what all jobs share.
        lost: the answer that stands for a study whose reading killed its process, or did not end.
        workers: processes.
        seconds: after which a study counts as lost, too; None = never. (A decoder may loop on a damaged frame.)
    """
    return shared_out(jobs, Task(work, given, lost, _prepare, seconds), workers)


def _prepare() -> None:
    """Make a worker ready: one thread, and memory that is kept between the studies."""
    cv2.setNumThreads(1)
    # A study is hundreds of arrays of half a megabyte. Given back and asked for again, their pages cost more time than
    # reading the files: a third of what a slice takes.
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None  # glibc has it
    if mallopt is not None:
        mallopt(M_TRIM_THRESHOLD, 1 << 30)
        mallopt(M_MMAP_THRESHOLD, 1 << 30)

"""Studies read in worker processes: a decoder written in C may take its process with it, which costs one study."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import cv2

from cspine.allocator import keep_memory
from cspine.crew import Task, shared_out

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
    keep_memory()  # a study is hundreds of arrays of half a megabyte

"""What there is to see of a run at one moment."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cspine import progress, runs
from cspine.amounts import job
from cspine.gpu_memory import GpuMemory, gpu_memory
from cspine.runs import StageCount
from cspine.store import locks
from cspine.store.holdings import Held, holdings, recorded_size
from cspine.store.records import WORK


@dataclass(frozen=True)
class AtWork:
    """A job that is running."""

    name: str  # in the person's words: the stage and where it runs
    standing: Mapping[str, Any] | None  # what its progress.json holds; None while it has not said anything


@dataclass(frozen=True)
class Seen:
    """One moment."""

    time: float  # seconds since 1970
    run: str | None  # who runs, in words; None when no run is at work
    began: float | None  # when the run at work, or the last one, began; None where none has left word
    seconds_left: float | None  # of the time budget of the run at work; None without one
    stages: list[StageCount]  # of that run, in its order
    at_work: list[AtWork]
    work_bytes: int
    max_gb: float  # store.max_gb; 0 = no limit
    free_bytes: int | None  # on the disk of work/
    gpus: list[GpuMemory]


def look(max_gb: float) -> Seen:
    """This moment of the project in the current folder."""
    now, found, run = time.time(), holdings(), runs.recorded()
    who = locks.run_holder()
    deadline = run.deadline if run and who else None
    return Seen(
        time=now,
        run=who,
        began=run.began if run else None,
        seconds_left=None if deadline is None else deadline - now,
        stages=runs.counted(run) if run else [],
        at_work=[_at_work(held) for held in found if not held.finished and locks.holder(held.folder)],
        work_bytes=recorded_size(found),
        max_gb=max_gb,
        free_bytes=_free(WORK),
        gpus=gpu_memory(),
    )


def _at_work(held: Held) -> AtWork:
    return AtWork(job(held.stage, held.at), progress.standing(held.folder))


def _free(folder: Path) -> int | None:
    try:
        return shutil.disk_usage(folder if folder.exists() else Path()).free
    except OSError:
        return None

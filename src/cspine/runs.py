"""What a run of the workflow leaves for who watches it: when it began, its deadline, and every job it stands on.

It lies beside the run's lock, is written before the first job and replaced by the next run. No stage reads it, so it is
in no key. Standard library only.
"""

from __future__ import annotations

import json
import math
import os
import re
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cspine import budget
from cspine.store.locks import RUN_LOCK
from cspine.store.records import DONE, write_json

RUN = RUN_LOCK.with_name("run.json")
STAGE = re.compile(r"python -m cspine (\w+)")  # in a rule's shell command


@dataclass(frozen=True)
class RunJob:
    """One job of a run."""

    stage: str
    outputs: tuple[str, ...]  # their declared places
    due: bool = True  # False: all was in place when the run began


@dataclass(frozen=True)
class RecordedRun:
    """The run at work, or the last one."""

    began: float  # seconds since 1970
    deadline: float | None  # likewise; None without a time budget
    jobs: tuple[RunJob, ...]  # in the order of the rules


def stage_of(command: str) -> str:
    """The stage that a rule's shell command calls; "" when it calls none."""
    found = STAGE.search(command)
    return found.group(1) if found else ""


def jobs_of(workflow: Any) -> list[RunJob]:
    """The jobs of Snakemake's plan that run a stage, in the order of the rules."""
    due = set(workflow.dag.needrun_jobs())
    order = {rule.name: place for place, rule in enumerate(workflow.rules)}
    jobs = sorted(workflow.dag.jobs, key=lambda job: (order[job.rule.name], list(map(str, job.output))))
    named = ((stage_of(job.rule.shellcmd or ""), job) for job in jobs)
    return [RunJob(stage, tuple(map(str, job.output)), job in due) for stage, job in named if stage and job.output]


def record(jobs: Iterable[RunJob]) -> None:
    """Leave word of the run that begins now, in this process."""
    left = budget.seconds_left()
    now = time.time()
    run = RecordedRun(round(now, 1), round(now + left, 1) if math.isfinite(left) else None, tuple(jobs))
    RUN.parent.mkdir(exist_ok=True)
    write_json(RUN, asdict(run))


def recorded() -> RecordedRun | None:
    """The run at work, or the last one, as it has left word of itself; None where there is none to be read."""
    try:
        found = json.loads(RUN.read_text(encoding="utf-8"))
        jobs = tuple(RunJob(job["stage"], tuple(job["outputs"]), job["due"]) for job in found["jobs"])
        return RecordedRun(float(found["began"]), found["deadline"], jobs)
    except (OSError, ValueError, KeyError, TypeError):
        return None


@dataclass(frozen=True)
class StageCount:
    """How many jobs of a stage a run stands on, and how many of them are finished."""

    stage: str
    jobs: int
    done: int
    made: int  # of the done ones, by this run; the others were in place or found in the store


def counted(run: RecordedRun) -> list[StageCount]:
    """The stages of a run, in its order."""
    counts: dict[str, list[int]] = {}
    for job in run.jobs:
        own = counts.setdefault(job.stage, [0, 0, 0])
        done = all(_in_place(path, run.began if job.due else -math.inf) for path in job.outputs)
        own[0] += 1
        own[1] += done
        own[2] += done and job.due and _made_since(job.outputs[0], run.began)
    return [StageCount(stage, *numbers) for stage, numbers in counts.items()]


def _in_place(path: str, since: float) -> bool:
    """Whether an output is there, and was put there no earlier: a job that is due may have old ones until it begins."""
    try:
        return os.lstat(path).st_mtime >= since - 1 and Path(path).exists()  # file systems round
    except OSError:
        return False


def _made_since(path: str, began: float) -> bool:
    """Whether the result behind an output was finished by the run; else the run has found it."""
    try:
        return (Path(path).resolve().parent / DONE).stat().st_mtime >= began - 1
    except OSError:  # a real file, not a link into the store
        return True

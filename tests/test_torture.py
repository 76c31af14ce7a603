"""kill -9 by a seeded clock, again and again, of everything, of snakemake or of one job: the same bytes in the end.

`make torture KILLS=25 SEED=1`. What is killed when depends on the seed and on the machine's speed; what comes out, not.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cspine.faults import TRACE
from runs_alive import Run, until
from smoke_projects import Project, checkout, smoke_project

KILLS, SEED = int(os.environ.get("KILLS", "25")), int(os.environ.get("SEED", "1"))
INTERVAL = 10  # steps between two checkpoints
# trainings long enough to be met: 600 steps in all
SETTINGS = f"methods.semi_supervised.training.epoch_steps=200 runtime.checkpoint_steps={INTERVAL}"
COMMAND = ("submission", "--config", f"set={SETTINGS}")
FOLD = "results/semi_supervised/fold-0"
RESULTS = ("results/submission.csv", f"{FOLD}/round-0/model.safetensors", f"{FOLD}/round-1/model.safetensors")
KEPT = ("make_phantom", "inventory", "ingest")  # when a run has ended before the last kill, the rest is made again

pytestmark = [pytest.mark.torture, pytest.mark.workflow]


@dataclass
class Figures:
    """What happened."""

    kills: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    laps: int = 1  # how often the submission was made
    orphans: int = 0  # jobs alive after snakemake was killed
    resumed: int = 0  # trainings that went on from a checkpoint

    def lines(self, seconds: float, steps: int, needed: int) -> str:
        kinds = ", ".join(f"{kind} {number}" for kind, number in sorted(self.kills.items()))
        return (
            f"\nkills: {self.kills.total()} ({kinds}), seed {SEED}\nruns: {self.runs}, submissions made: {self.laps}\n"
            f"seconds: {seconds:.0f}\norphans seen: {self.orphans}\nresumed trainings: {self.resumed}\n"
            f"steps: {steps} trained, {needed} needed, {steps - needed} repeated\n"
        )


def jobs_of(run: Run) -> list[int]:
    """The processes of a run's session that are not snakemake itself: its jobs, their shells and their workers."""
    listed = subprocess.run(["ps", "-A", "-o", "pid=,state="], capture_output=True, text=True, check=True).stdout
    alive = [int(pid) for pid, state in map(str.split, listed.splitlines()) if state[0] != "Z"]
    return [pid for pid in alive if pid != run.process.pid and session_of(pid) == run.process.pid]


def session_of(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return 0


def kill(run: Run, kind: str, draw: random.Random) -> str | None:
    """Kill in this way; the kind it came to, None when the run had ended before."""
    jobs = jobs_of(run)
    if run.process.poll() is not None:
        return None
    if kind == "one job" and jobs:
        victim = draw.choice(jobs)
        try:
            os.kill(victim, signal.SIGKILL)
        except ProcessLookupError:
            return kill(run, "snakemake and all jobs", draw)
        run.end()
        return kind
    if kind == "snakemake alone" and jobs:
        run.kill_alone()
        return kind
    run.kill_group()
    return "snakemake and all jobs"


def results(project: Project) -> dict[str, bytes]:
    return {path: project.read(path) for path in RESULTS}


def begin_again(project: Project) -> None:
    for folder in (project.folder / "work").iterdir():
        if folder.is_dir() and folder.name not in KEPT:
            shutil.rmtree(folder)


def steps_in(trace: Path) -> int:
    """Optimiser steps that were taken while every fault point was noted in ``trace``."""
    return trace.read_text().splitlines().count("train-step")


def test_killed_many_times_the_run_ends_in_the_bytes_of_an_uninterrupted_one(
    tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = smoke_project(tmp_path_factory, "whole")
    uninterrupted = whole.folder.parent / "trace.txt"
    whole.run(*COMMAND, CSPINE_FAULT_TRACE=str(uninterrupted))
    wanted = results(whole)
    project = checkout(tmp_path_factory.mktemp("torture") / "run")
    trace = project.folder.parent / "trace.txt"
    begun = time.monotonic()
    project.run("-n", "submission")
    startup = time.monotonic() - begun
    draw, figures, runs = random.Random(SEED), Figures(), list[Run]()
    try:
        while figures.kills.total() < KILLS:
            kind = draw.choice(("snakemake and all jobs", "snakemake alone", "one job"))
            delay = startup * draw.uniform(0.5, 5)
            run = Run(project, *COMMAND, **{TRACE: str(trace)})
            runs.append(run)
            try:
                run.process.wait(delay)  # not for luck: the clock is what is drawn
            except subprocess.TimeoutExpired:
                if came_to := kill(run, kind, draw):
                    figures.kills[came_to] += 1
                figures.orphans += came_to == "snakemake alone" and bool(jobs_of(run))
            if run.process.returncode == 0:
                assert results(project) == wanted
                figures.laps += 1
                begin_again(project)
        run = Run(project, *COMMAND, **{TRACE: str(trace)})
        runs.append(run)
        assert run.end() == 0, run.printed()[-6000:]
        assert results(project) == wanted
        until(lambda: not any(jobs_of(run) for run in runs), "the end of every orphan")
    finally:
        for run in runs:
            for pid in jobs_of(run):
                os.kill(pid, signal.SIGKILL)
    figures.runs = len(runs)
    figures.resumed = sum(run.printed().count("train: goes on at epoch") for run in runs)
    steps, needed = steps_in(trace), figures.laps * steps_in(uninterrupted)
    assert steps - needed <= INTERVAL * figures.kills.total()
    with capsys.disabled():
        print(figures.lines(time.monotonic() - begun, steps, needed))
    assert left_behind(project.folder) == []


def left_behind(folder: Path) -> list[Path]:
    """Temporaries of what was killed while it wrote."""
    return [path for place in ("work", "results") for path in (folder / place).rglob("*.tmp")]

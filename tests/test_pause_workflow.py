"""The workflow told to stop, by its time budget or by signals: status 75, PAUSED, and the same command goes on.

Where a job is when the stop comes is decided by fault points: it stands still (SIGSTOP) until the stop is there.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

import forks
from cspine.budget import LEAST_MARGIN
from smoke_projects import ENOUGH_SECONDS, Project, clean, smoke_project

STUDENT = "results/semi_supervised/fold-0/round-1"
WANTED = ("results/submission.csv", f"{STUDENT}/model.safetensors", f"{STUDENT}/history.parquet")
STEPS = 15  # of the student at smoke size
GO_ON = "Run the same command again: what is finished stays, what was begun goes on."

pytestmark = pytest.mark.workflow


@dataclass(frozen=True)
class Session:
    """One call of the command that did not reach the end."""

    status: int
    printed: str

    @property
    def ending(self) -> str:
        return self.printed[self.printed.index("PAUSED") :]


@dataclass(frozen=True)
class CutOff:
    """The student's training, cut off by everything that can ask for it."""

    unbegun: Session  # the budget was over before the first job
    budgets: list[Session]  # the budget was over after some steps
    signalled: dict[str, Session]
    log: str  # of the training
    before: dict[str, bytes]  # without any of it
    after: dict[str, bytes]


@pytest.fixture(scope="module")
def cut_off(tmp_path_factory: pytest.TempPathFactory) -> CutOff:
    project = smoke_project(tmp_path_factory, "paused")
    before = {path: project.read(path) for path in WANTED}
    folder = forget(project, f"{STUDENT}/model.safetensors")
    budget = f"time_budget={LEAST_MARGIN:.0f}s"  # all of it is kept back for the end
    unbegun = ended(project, "submission", "--config", budget)
    assert not folder.exists()
    budgets = [ended(project, CSPINE_FAULT=f"train-step:{steps}:deadline") for steps in (2, 3)]
    signalled = {
        "SIGTERM to snakemake": signalled_at(project, "train-step:1", signal.SIGTERM, os.kill),
        "SIGINT to the group": signalled_at(project, "train-step:1", signal.SIGINT, os.killpg),
    }
    project.run()
    after = {path: project.read(path) for path in WANTED}
    return CutOff(unbegun, budgets, signalled, (folder / "log.txt").read_text(encoding="utf-8"), before, after)


def forget(project: Project, output: str) -> Path:
    """Take the result behind ``output`` out of the store; returns its folder."""
    folder = (project.folder / output).resolve().parent
    shutil.rmtree(folder)
    return folder


def ended(project: Project, *arguments: str, **environment: str) -> Session:
    """The command until it ends by itself."""
    done = forks.run("snakemake", project.words(*arguments), project.folder, clean(environment))
    return Session(done.returncode, done.stdout + done.stderr)


def signalled_at(
    project: Project,
    place: str,
    number: signal.Signals,
    send: Callable[[int, int], None],
    *arguments: str,
) -> Session:
    """The command, sent a signal while its job stands still at ``place``; nothing of it is left running."""
    printed = project.folder / "printed.txt"
    with printed.open("w", encoding="utf-8") as stream:
        running = subprocess.Popen(
            project.command(*arguments), cwd=project.folder, env=clean({"CSPINE_FAULT": f"{place}:SIGSTOP"}),
            start_new_session=True, stdout=stream, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        until(lambda: standing_still(running.pid) or running.poll() is not None)
        (job,) = standing_still(running.pid)
        send(running.pid, number)
        until(lambda: any((project.folder / ".snakemake").glob("stop-*")) or running.poll() is not None)
        os.kill(job, signal.SIGCONT)
        running.wait(ENOUGH_SECONDS)
        until(lambda: not of_session(running.pid))
    finally:
        for pid in of_session(running.pid):
            os.kill(pid, signal.SIGKILL)
    return Session(running.returncode, printed.read_text(encoding="utf-8"))


def until(done: Callable[[], object]) -> None:
    end = time.monotonic() + ENOUGH_SECONDS
    while not done():
        assert time.monotonic() < end, "it did not come about"
        threading.Event().wait(0.02)


def of_session(leader: int) -> dict[int, str]:
    """The living processes that ``leader`` started, itself included, with their states (proc(5))."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, session = path.read_text(encoding="utf-8").rpartition(")")[2].split()[:4]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(session) == leader and state not in "ZX":
            found[int(path.parent.name)] = state
    return found


def standing_still(leader: int) -> list[int]:
    return [pid for pid, state in of_session(leader).items() if state == "T"]


def test_every_cut_off_session_ends_with_status_75(cut_off: CutOff) -> None:
    assert [session.status for session in (cut_off.unbegun, *cut_off.budgets)] == [75] * 3
    assert {name: session.status for name, session in cut_off.signalled.items()} == dict.fromkeys(cut_off.signalled, 75)


def test_the_last_words_say_why_how_far_it_is_and_what_to_do(cut_off: CutOff) -> None:
    for session, done in zip(cut_off.budgets, (2, 5), strict=True):
        lines = session.ending.split("\n\n")[0].splitlines()
        assert lines[0] == "PAUSED: the time budget is used up" and lines[-1] == GO_ON
        assert re.fullmatch(
            rf"  train \(.*fold 0.*round 1\): {done} of {STEPS} steps, about \d+ (s|min) to go", lines[1]
        )
        for stage in ("predict_slices", "aggregate_studies", "write_submission", "score"):
            assert re.search(rf" 1 {stage} \(about \d+ (s|min)\)", lines[2]), stage
        assert "train" not in lines[2]
    for name, session in cut_off.signalled.items():
        assert session.ending.startswith(f"PAUSED: asked to stop ({name.split()[0]})\n  train (")


def test_after_the_deadline_no_job_begins(cut_off: CutOff) -> None:
    assert "PAUSED: the time budget is used up" in cut_off.unbegun.ending
    assert re.search(r"  still to do: 1 train \(about \d+ (s|min)\), 1 predict_slices", cut_off.unbegun.ending)
    assert ": starts" not in cut_off.unbegun.printed


def test_no_step_is_trained_twice(cut_off: CutOff) -> None:
    paused = re.findall(rf"paused at (\d+) of {STEPS} steps", cut_off.log)
    resumed = re.findall(r"goes on at epoch 1, step \d+ \((\d+) steps done\)", cut_off.log)
    assert paused == resumed == ["2", "5", "6", "7"]


def test_the_end_is_the_same_to_the_byte(cut_off: CutOff) -> None:
    assert cut_off.after == cut_off.before


def test_a_pause_is_no_traceback(cut_off: CutOff) -> None:
    for session in (cut_off.unbegun, *cut_off.budgets, *cut_off.signalled.values()):
        assert "Traceback" not in session.printed, session.printed


# -- the rest of the ways to stop it -------------------------------------------------------------------------------

PLACES = {  # a fault point of a stage, and an output of it
    "train": ("train-step:1", f"{STUDENT}/model.safetensors"),
    "ingest": ("ingest-study:2", "results/cache/slice/train/shard-0.parquet"),
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return smoke_project(tmp_path_factory, "signalled")


@pytest.mark.slow
@pytest.mark.parametrize("send", [os.kill, os.killpg], ids=["snakemake", "group"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("stage", PLACES)
def test_a_stop_while_a_stage_runs(
    project: Project, stage: str, number: signal.Signals, send: Callable[[int, int], None]
) -> None:
    before = project.read("results/submission.csv")
    place, output = PLACES[stage]
    forget(project, output)
    session = signalled_at(project, place, number, send)
    assert session.status == 75 and f"PAUSED: asked to stop ({number.name})" in session.printed
    assert "Traceback" not in session.printed
    project.run()
    assert project.read("results/submission.csv") == before


@pytest.mark.slow
def test_a_job_whose_workflow_was_killed_stops_by_itself_and_the_next_run_goes_on(project: Project) -> None:
    before = project.read("results/submission.csv")
    folder = forget(project, f"{STUDENT}/model.safetensors")
    running = subprocess.Popen(
        project.command(), cwd=project.folder, env=clean({"CSPINE_FAULT": "train-step:3:SIGSTOP"}),
        start_new_session=True, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    until(lambda: standing_still(running.pid))
    (job,) = standing_still(running.pid)
    running.kill()  # not waited for: a process whose end nobody asked about is dead all the same
    os.kill(job, signal.SIGCONT)
    printed = project.run()  # waits for the job to let go of the folder
    running.wait()
    log = (folder / "log.txt").read_text(encoding="utf-8")
    assert f"paused at 3 of {STEPS} steps: the workflow that started it is gone" in log
    assert "(3 steps done)" in printed and project.read("results/submission.csv") == before


@pytest.mark.slow
def test_three_real_budgets_and_a_full_run(project: Project) -> None:
    """Each budget is such that on this machine about three tenths of the training fit into it."""
    model = f"{STUDENT}/model.safetensors"
    setting = "set=methods.semi_supervised.student.training.epoch_steps=600"
    start = time.monotonic()
    project.run(model, "--config", setting)
    whole, seconds = project.read(model), time.monotonic() - start
    done = (project.folder / model).resolve().parent / "done.json"
    training = json.loads(done.read_text(encoding="utf-8"))["costs"]["seconds"]
    budget = f"time_budget={seconds - 0.7 * training + LEAST_MARGIN:.0f}s"
    folder = forget(project, model)
    sessions = [ended(project, model, "--config", budget, setting) for _ in range(3)]
    assert [session.status for session in sessions] == [75, 75, 75]
    project.run(model, "--config", setting)
    assert project.read(model) == whole
    log = (folder / "log.txt").read_text(encoding="utf-8")
    paused = re.findall(r"paused at (\d+) of 600 steps: the time budget is used up", log)
    assert paused == re.findall(r"\((\d+) steps done\)", log) and paused

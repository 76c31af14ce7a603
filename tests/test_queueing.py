"""Jobs on other machines: here each is a process of its own, started by a submit command that keeps a list of them.

The executor is Snakemake's for any batch system; with Slurm itself the same is tested in test_slurm.py.
"""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from cspine import cli, planning, queueing
from cspine.signature import known_stages, signature_of
from cspine.store import roots
from sessions import FOLDS, Start
from smoke_projects import Project, smoke_project

pytestmark = pytest.mark.workflow
PLAN = "results/cache/slice/size_plan.json"
MODEL = "results/semi_supervised/fold-0/round-1/model.safetensors"
ANSWERED = re.compile(r"^(\w+)(?: \(.*\))?: found in the store$", re.MULTILINE)
COMMAND = "python -m cspine assign_folds --studies results/studies.parquet --folds {folds} --config '{config}'"
SUBMIT = """\
#!/bin/sh
grep -o '"rule": "[a-z_]*"' "$1" | cut -d'"' -f4 >> submitted.txt
setsid sh "$1" >> jobs.log 2>&1 < /dev/null &
echo $!
"""
QUEUE = (
    "--executor", "cluster-generic", "--cluster-generic-submit-cmd", "./submit.sh", "--jobs", "4",
    "--seconds-between-status-checks", "1", "--latency-wait", "30",
)  # fmt: skip


@dataclass(frozen=True)
class Queued:
    """A run on other machines that is paused, and the same command again, with the rules of the jobs of each."""

    paused: str
    jobs: list[str]
    printed: str
    jobs_after: list[str]
    executed: set[str]
    log: str  # of the training
    as_before: bool  # the submission


@pytest.fixture(scope="module")
def queued(tmp_path_factory: pytest.TempPathFactory) -> Queued:
    """Two results are not in the store: one on which all others stand, made again as it was, and a training."""
    project = smoke_project(tmp_path_factory, "queued")
    (project.folder / "submit.sh").write_text(SUBMIT)
    (project.folder / "submit.sh").chmod(0o755)
    was = project.read("results/submission.csv")
    plan, training = ((project.folder / path).resolve().parent for path in (PLAN, MODEL))
    for folder in (plan, training):
        shutil.rmtree(folder)
    before = project.segments()
    paused = project.run("submission", *QUEUE, ok=False, CSPINE_FAULT="train-step:2:deadline")
    jobs = submitted(project)
    printed = project.run("submission", *QUEUE)
    log = (training / "log.txt").read_text(encoding="utf-8")
    same = project.read("results/submission.csv") == was
    return Queued(paused, jobs, printed, submitted(project), project.executed(before), log, same)


def submitted(project: Project) -> list[str]:
    """The rules of the jobs submitted since the last question."""
    place = project.folder / "submitted.txt"
    rules = place.read_text().split()
    place.unlink()
    return rules


def test_only_what_the_store_lacks_is_queued_and_all_else_is_answered_here(queued: Queued) -> None:
    assert queued.jobs == ["plan_cache", "train"] and queued.jobs_after == ["train"]
    assert queued.executed == {"plan_cache", "train"} and queued.as_before
    answered = set(ANSWERED.findall(queued.paused + queued.printed))
    assert {"ingest", "train", "label_presence", "predict_slices", "score"} <= answered


def test_a_job_that_pauses_elsewhere_pauses_the_run_and_the_same_command_goes_on(queued: Queued) -> None:
    words = "PAUSED: the time budget is used up\n  train (method semi_supervised,fold 0,round 1): 2 of 15 steps"
    assert words in queued.paused and "(2 steps done)" in queued.log


def test_a_command_is_answered_only_by_a_result_that_is_whole(start: Start) -> None:
    session = start("here")
    folder = session.run()
    command = COMMAND.format(folds=FOLDS, config=json.dumps({"count": 5, "select": 0.2, "seed": 7}))
    assert queueing.is_answered(command)
    assert not queueing.is_answered(command.replace('"seed": 7', '"seed": 8'))
    assert not queueing.is_answered("cat results/semi_supervised/score.txt")
    assert not queueing.is_answered(command.replace("studies.parquet", "gone.parquet"))
    (folder / "folds.parquet").chmod(0o644)
    (folder / "folds.parquet").write_bytes(b"x")
    assert not queueing.is_answered(command)


def test_a_result_of_an_earlier_session_is_an_answer_where_it_is_small(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = start("first"), start("second")
    command = COMMAND.format(folds=FOLDS, config=json.dumps({"count": 5, "select": 0.2, "seed": 7}))
    first.enter().run()
    second.enter([first.folder / "work"])
    assert queueing.is_answered(command)
    monkeypatch.setenv(roots.COPY_MB, "0")  # it would be left there, and read whole to know its digest
    assert not queueing.is_answered(command)


def test_what_looks_into_the_raw_folder_for_its_key_is_left_to_its_job(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*_: object) -> None:
        raise AssertionError("the raw folder was listed")

    monkeypatch.setattr(cli, "call", asked)
    monkeypatch.setattr(planning, "request_of", asked)
    observing = [name for name in known_stages() if signature_of(name).observe]
    assert observing == ["inventory"]
    options = {p.name.replace("_", "-"): str(Path("x")) for p in signature_of("inventory").parameters}
    words = " ".join(f"--{name} {value}" for name, value in options.items())
    assert not queueing.is_answered(f"python -m cspine inventory {words}")

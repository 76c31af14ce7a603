"""The workflow on a real Slurm: jobs with their resources, wall times, and a node whose daemon goes away.

Where a job is when something happens to it is decided by fault points: it stands still (SIGSTOP) until the test has
done it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cspine import budget
from slurm_clusters import PACE, Cluster, NoClusterError, cluster, until, why_not
from smoke_projects import Project, checkout, clean, smoke_project

PROFILE = ("--workflow-profile", "profiles/slurm")
MODEL = "results/semi_supervised/fold-0/round-1/model.safetensors"
PREDICTIONS = "results/semi_supervised/fold-0/round-1/predictions.parquet"
STEPS = 15  # of the student at smoke size
SHARDS = 2  # of each cohort
ENDED_WITHIN = 180  # seconds, of a wall time of a minute: Slurm looks every half minute, waits as long, then kills

pytestmark = [pytest.mark.slurm, pytest.mark.workflow]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster of one node; without one these tests are skipped, and say why."""
    missing = importlib.util.find_spec("snakemake_executor_plugin_slurm") is None
    if why := "snakemake-executor-plugin-slurm not installed" if missing else why_not():
        pytest.skip(why)
    with contextlib.ExitStack() as stack:
        try:
            made = stack.enter_context(cluster(tmp_path_factory.mktemp("slurm")))
        except NoClusterError as error:  # a container that allows less than a machine
            pytest.skip(str(error))
        yield made


@pytest.fixture(scope="module")
def project(slurm: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A finished smoke run, made without Slurm, that saves after every step."""
    made = smoke_project(tmp_path_factory, "slurm")
    text = (made.folder / "presets/smoke.yaml").read_text(encoding="utf-8")
    (made.folder / "presets/smoke.yaml").write_text(f"{text}\nruntime: {{checkpoint_steps: 1}}\n", encoding="utf-8")
    return made


@dataclass
class Command:
    """``snakemake submission --workflow-profile profiles/slurm`` in a project, begun or ended."""

    process: subprocess.Popen[str]

    def ended(self, slurm: Cluster) -> tuple[int, str]:
        """Its status and what it printed; it is killed if it does not end in the cluster's time."""
        try:
            printed, _ = self.process.communicate(timeout=slurm.left())
        except subprocess.TimeoutExpired:
            self.process.kill()  # asked to end it would wait for its jobs
            printed, _ = self.process.communicate()
            pytest.fail(f"no end in the time of these tests\n{printed[-6000:]}")
        return self.process.returncode, printed


def begun(project: Project, *arguments: str, **environment: str) -> Command:
    words = ["submission", *(arguments or PROFILE), *PACE, "--configfile", "presets/smoke.yaml"]
    call = [sys.executable, "-m", "snakemake", *words]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return Command(subprocess.Popen(call, cwd=project.folder, env=clean(environment), text=True, **streams))  # type: ignore[call-overload]


@contextlib.contextmanager
def jobs_of(slurm: Cluster) -> Iterator[dict[str, dict[str, str]]]:
    """The jobs submitted within the block, by rule and wildcards, to be read after it."""
    before, found = set(slurm.submitted()), dict[str, dict[str, str]]()
    yield found
    for number, job in slurm.submitted().items():
        if number not in before:
            found[job["Comment"].removeprefix("rule_").replace("_wildcards_", " ")] = job


def forget(project: Project, output: str) -> Path:
    """Take the result behind an output out of the store; returns its folder."""
    folder = (project.folder / output).resolve().parent
    shutil.rmtree(folder)
    return folder


def standing_still(project: Project, slurm: Cluster) -> int:
    """The stage that stands at its fault point, once there is one."""

    def found() -> list[int]:
        stages = []
        for place in Path("/proc").glob("[0-9]*"):
            try:
                words = (place / "cmdline").read_bytes().split(b"\0")
                state = (place / "stat").read_text().rpartition(")")[2].split()[0]
                if state == "T" and b"train" in words and (place / "cwd").resolve() == project.folder:
                    stages.append(int(place.name))
            except OSError:
                continue
        return stages

    until(lambda: bool(found()), slurm.left())
    return found()[0]


def test_one_missing_result_is_one_job_with_the_profile_s_resources(project: Project, slurm: Cluster) -> None:
    was = project.read("results/submission.csv")
    forget(project, PREDICTIONS)
    with jobs_of(slurm) as jobs:
        status, printed = begun(project).ended(slurm)
    assert status == 0, printed[-6000:]
    (job,) = jobs.values()
    assert list(jobs) == ["predict_slices semi_supervised_0_1"] and project.read("results/submission.csv") == was
    assert (job["Partition"], job["TresPerJob"], job["TimeLimit"]) == ("gpu", "gres:gpu:1", "04:00:00")
    assert job["TRES"].startswith("cpu=4,mem=16000M,node=1")


def test_the_whole_chain_runs_there_to_the_same_submission_and_a_run_here_finds_all_of_it(
    project: Project, slurm: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> None:
    there = checkout(tmp_path_factory.mktemp("chain") / "run")
    with jobs_of(slurm) as jobs:
        status, printed = begun(there).ended(slurm)
    assert status == 0, printed[-6000:]
    on_gpu = {f"{stage} semi_supervised_0_{number}" for stage in ("train", "predict_slices") for number in (0, 1)}
    shards = {f"ingest slice_{cohort}_{shard}" for cohort in ("train", "test") for shard in range(SHARDS)}
    on_cpu = {"make_phantom", "inventory", "plan_cache slice", *shards, "label_presence"}
    assert jobs.keys() == on_gpu | on_cpu  # tables, labels, folds and scores were made here
    assert {name for name, job in jobs.items() if job["Partition"] == "gpu"} == on_gpu
    assert {job["JobState"] for job in jobs.values()} == {"COMPLETED"}
    assert there.read("results/submission.csv") == project.read("results/submission.csv")
    before = there.segments()
    shutil.rmtree(there.folder / "results")
    there.forget()
    there.run()
    assert there.segments() == before
    assert there.read("results/submission.csv") == project.read("results/submission.csv")


def test_a_training_cut_off_by_budget_wall_time_and_a_lost_daemon_ends_in_the_same_model(
    project: Project, slurm: Cluster
) -> None:
    was = project.read(MODEL)
    folder = forget(project, MODEL)
    _pauses(project, slurm)
    _stopped_at_its_wall_time(project, slurm)
    _outlives_the_daemon(project, slurm)
    log = (folder / "log.txt").read_text(encoding="utf-8")
    # it stood still after its fourth step; of two signals in a row the second leaves it at its last checkpoint
    assert re.findall(r"train: goes on at .* \((\d+) steps done\)", log) in (["2", "4"], ["2", "3"])
    assert project.read(MODEL) == was


def _pauses(project: Project, slurm: Cluster) -> None:
    """The time budget is over after two steps: the job says so, and the run with it."""
    status, printed = begun(project, CSPINE_FAULT="train-step:2:deadline").ended(slurm)
    assert status == 75, printed[-6000:]
    assert f"  train (method semi_supervised,fold 0,round 1): 2 of {STEPS} steps" in printed


def _stopped_at_its_wall_time(project: Project, slurm: Cluster) -> None:
    """A job of a minute that does not look at its clock: Slurm wakes it and asks it to end, and it saves."""
    place = project.folder / "profiles/minute/profile.yaml"
    place.parent.mkdir()
    text = (project.folder / "profiles/slurm/profile.yaml").read_text(encoding="utf-8")
    place.write_text(text.replace("runtime: 1440", "runtime: 1"), encoding="utf-8")
    with jobs_of(slurm) as jobs:
        command = begun(project, "--workflow-profile", "profiles/minute", CSPINE_FAULT="train-step:2:SIGSTOP")
        stage = standing_still(project, slurm)
        _stops_before_its_end(stage, slurm)
        until(lambda: not Path(f"/proc/{stage}").is_dir(), ENDED_WITHIN)
        status, printed = command.ended(slurm)
    assert [job["JobState"] for job in jobs.values()] == ["TIMEOUT"], jobs
    assert status == 75 and "PAUSED: asked to stop (SIGTERM)" in printed, printed[-6000:]


def _stops_before_its_end(stage: int, slurm: Cluster) -> None:
    variables = Path(f"/proc/{stage}/environ").read_bytes().decode().split("\0")
    deadline = float(next(v for v in variables if v.startswith(budget.VARIABLE)).split("=")[1])
    job = slurm.submitted()[max(slurm.submitted())]
    end = time.mktime(time.strptime(job["EndTime"], "%Y-%m-%dT%H:%M:%S"))
    assert deadline == end - budget.LEAST_MARGIN and job["TimeLimit"] == "00:01:00"


def _outlives_the_daemon(project: Project, slurm: Cluster) -> None:
    """The node's daemon is stopped and started while the training stands still; the job knows nothing of it."""
    with jobs_of(slurm) as jobs:
        command = begun(project, CSPINE_FAULT="train-step:2:SIGSTOP")
        stage = standing_still(project, slurm)
        slurm.stop_node()
        slurm.start_node()
        os.kill(stage, signal.SIGCONT)
        status, printed = command.ended(slurm)
    assert status == 0, printed[-6000:]
    assert [job["JobState"] for job in jobs.values()] == ["COMPLETED"] and "train semi_supervised_0_1" in jobs

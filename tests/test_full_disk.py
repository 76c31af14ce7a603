"""A full disk ends a stage with one clear line and no half result; after space is made the same command goes on."""

from __future__ import annotations

import errno
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import forks
from cspine import full_disk
from smoke_projects import ENOUGH_SECONDS, Project, clean, smoke_project

FOLD = "results/semi_supervised/fold-0"
HOW_TO_GO_ON = "`python -m cspine gc --dry-run` says what can go) and run the same command again"
MAY_MOUNT = ["unshare", "--user", "--map-root-user", "--mount"]  # a mount of one's own, without being root


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return smoke_project(tmp_path_factory, "full-disk")


class Job:
    """One job of the finished run, to be made again: its store folder is moved away."""

    def __init__(self, project: Project, output: str) -> None:
        self.project = project
        folder = (project.folder / output).resolve().parent
        self.folder, self.done = folder, json.loads((folder / "done.json").read_text())
        line = next(line for line in (folder / "log.txt").read_text().splitlines() if "python -m cspine" in line)
        self.words = [sys.executable, *shlex.split(line[line.index("-m cspine") :])]
        shutil.rmtree(folder)
        often = {"checkpoint_steps": 3, "device": "cpu"}
        self.environment = clean({"CSPINE_RUNTIME": json.dumps(often), "PYTHONPATH": str(project.folder / "src")})

    def run(self, bytes_of_a_file: int | None = None) -> subprocess.CompletedProcess[str]:
        """Run it, with no file larger than so many bytes."""
        return forks.run("cspine", self.words[3:], self.project.folder, self.environment, bytes_of_a_file)

    def digests(self) -> list[tuple[str, str]]:
        done = json.loads((self.folder / "done.json").read_text())
        return digests(done)

    def left(self) -> list[str]:
        """Files of the folder that a stage writes: neither records nor logs."""
        kept = ("lock", "log.txt", "request.json", "progress.json", "batch-size.json")
        found = [p for p in self.folder.rglob("*") if p.is_file() and p.parent.name != "segments"]
        return [str(p.relative_to(self.folder)) for p in found if p.name not in kept]


def digests(done: dict[str, Any]) -> list[tuple[str, str]]:
    return [(output["file"], output["digest"]) for outputs in done["outputs"].values() for output in outputs]


@pytest.mark.workflow
@pytest.mark.parametrize(
    ("output", "limit"),
    [
        (f"{FOLD}/round-0/model.safetensors", 200_000),  # torch's bytes, written by Python
        ("results/cache/slice/train/shard-0.parquet", 20_000),  # pyarrow's own file
        ("results/inventory/train/shard-0.csv", 6_000),  # Python's text
    ],
)
def test_a_stage_that_cannot_write_says_which_file_and_leaves_no_half_result(
    project: Project, output: str, limit: int
) -> None:
    job = Job(project, output)
    ended = job.run(limit)
    assert ended.returncode == 1 and "Traceback" not in ended.stderr, ended.stderr
    line = next(line for line in ended.stderr.splitlines() if "error: cannot write" in line)
    place = re.search(r"cannot write (\S+): a file may not be that large here", line)
    assert place and Path(job.project.folder, place[1]).is_relative_to(job.folder), line
    assert re.search(r"\d [kMGT]?B are free there", line) and HOW_TO_GO_ON in line
    assert job.left() == []  # no output, no half of one, no temporary
    assert job.run().returncode == 0
    assert job.digests() == digests(job.done)


@pytest.mark.workflow
def test_processes_that_a_stage_starts_tell_it_of_a_full_disk(project: Project) -> None:
    job = Job(project, "results/phantom/manifest.csv")
    job.words[job.words.index("--workers") + 1] = "2"
    ended = job.run(6_000)  # a slice of 64 x 64 takes more
    assert ended.returncode == 1 and "Traceback" not in ended.stderr, ended.stderr
    assert "make_phantom: error: cannot write" in ended.stderr and HOW_TO_GO_ON in ended.stderr
    assert not (job.folder / "done.json").exists()
    printed = project.run("-n", "submission")  # a phantom half made disturbs no plan
    assert "make_phantom: 1 output would be made again: its result is not in the store" in printed
    assert job.run().returncode == 0


def may_mount() -> bool:
    if shutil.which("unshare") is None:
        return False
    mount = "mount -t tmpfs -o size=64k tmpfs /tmp"
    return subprocess.run([*MAY_MOUNT, "sh", "-c", mount], capture_output=True).returncode == 0


FULL_THEN_SPACE = """
mount -t tmpfs -o size={small} tmpfs work/train || exit 99
{command}; echo "first: $?"
ls -R work/train; cat logs/train/semi_supervised/fold-0/round-0.txt
mount -o remount,size=64m work/train
{command}; echo "second: $?"
mkdir -p after && cp {results} after
"""


def on_a_small_disk(project: Project, command: list[str], results: list[str], environment: dict[str, str]) -> str:
    script = FULL_THEN_SPACE.format(small="3m", command=shlex.join(command), results=shlex.join(results))
    ended = subprocess.run(
        [*MAY_MOUNT, "sh", "-c", script], cwd=project.folder, env=environment,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=ENOUGH_SECONDS,
    )  # fmt: skip
    return ended.stdout


def check_full_then_finished(printed: str) -> None:
    first, rest = printed.split("first: 1\n")
    assert re.search(r"train: error: cannot write work/train/\S+: the disk is full; \S+ [kM]?B are free there", first)
    assert HOW_TO_GO_ON in first and "Traceback" not in first
    listed = rest.split("second: ")[0]
    assert "done.json" not in listed and ".tmp" not in listed
    assert "train: goes on at epoch" in rest and "second: 0" in rest


@pytest.mark.workflow
@pytest.mark.skipif(not may_mount(), reason="mounting a small disk is not permitted here")
def test_a_training_on_a_full_disk_goes_on_from_its_checkpoint_when_there_is_space(project: Project) -> None:
    model = f"{FOLD}/round-0/model.safetensors"
    wanted, job = project.read(model), Job(project, model)
    (project.folder / "work/train").mkdir(exist_ok=True)
    check_full_then_finished(on_a_small_disk(project, job.words, [model], job.environment))
    assert project.read("after/model.safetensors") == wanted
    assert job.run().returncode == 0  # the small disk is gone again


@pytest.mark.slow
@pytest.mark.workflow
@pytest.mark.skipif(not may_mount(), reason="mounting a small disk is not permitted here")
def test_the_workflow_on_a_full_disk_ends_in_the_same_submission(project: Project) -> None:
    wanted = project.read("results/submission.csv")
    shutil.rmtree(project.folder / "work/train")
    (project.folder / "work/train").mkdir()
    command = project.command("submission", "--config", "set=runtime.checkpoint_steps=3")
    check_full_then_finished(on_a_small_disk(project, command, ["results/submission.csv"], clean({})))
    assert project.read("after/submission.csv") == wanted
    project.run()


def test_an_error_that_came_from_a_full_disk_is_known_through_what_wraps_it(tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    try:
        try:
            raise full
        except OSError as error:
            raise ValueError("cannot save") from error
    except ValueError as error:
        assert full_disk.is_full(error)
        full_disk.name(error, tmp_path)
        assert f"cannot write {tmp_path}: the disk is full" in full_disk.words(error)
    assert not full_disk.is_full(OSError(errno.EACCES, "Permission denied"))
